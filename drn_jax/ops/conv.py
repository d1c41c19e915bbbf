"""Dilated convolution, the one operation of which these networks are made, in four algorithms."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from drn_jax.ops import phases, strips, winograd

ALGORITHMS = ('native', 'phase', 'winograd', 'strips')
# Those of another form than lax's, for no stride and no dilation.
_DENSE: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {
    'winograd': winograd.conv,
    'strips': strips.conv,
}


def dilated_conv(
    x: jax.Array,
    kernel: jax.Array,
    *,
    stride: int = 1,
    dilation: int = 1,
    algorithm: str = 'native',
) -> jax.Array:
    """Convolves images with a kernel whose taps lie `dilation` pixels apart.

    out[p] = sum over taps k of x[stride * p + dilation * (k - center)] . kernel[k], zero outside
    the image. The padding is symmetric; XLA's 'SAME' is lopsided where the stride is above 1.

    The algorithms give the same, up to rounding: 'native' is `lax.conv_general_dilated` with
    `rhs_dilation`; 'phase' sorts the pixels into dilation**2 phases, on which the convolution is
    dense; 'winograd' has, on the phases, a quarter of the products; 'strips' takes neighboring
    pixels of few channels together. The largest errors beside the largest output are 1e-5
    ('winograd' in float32), 1e-6 (the others) and 4e-3 (bfloat16; 'winograd' on processors that
    multiply it 6e-3).
    'winograd' is differentiated backwards only (`jax.grad`, also of a gradient, not `jax.jvp`).

    Args:
        x: images, [B, H, W, Cin], float32 or bfloat16.
        kernel: taps, [K, K, Cin, Cout], dtype of x, K odd.
        stride: pixels between neighboring outputs, at least 1.
        dilation: pixels between neighboring taps, at least 1.
        algorithm: one of `ALGORITHMS`; 'winograd' takes 3x3 kernels only.

    Returns:
        [B, ceil(H / stride), ceil(W / stride), Cout], dtype of x.

    Raises:
        ValueError: a shape or dtype does not fit, K is even, stride or dilation is below 1, or the
            algorithm is unknown or cannot do this.

    Example:
        >>> import jax.numpy as jnp
        >>> x, kernel = jnp.ones((1, 5, 5, 1)), jnp.ones((3, 3, 1, 1))
        >>> dilated_conv(x, kernel, dilation=2)[0, 2, 2, 0].item()
        9.0

    Source: Yu, Koltun and Funkhouser, Dilated Residual Networks, 2017, section 2, equations 2 to 4.
    """
    if x.ndim != 4 or kernel.ndim != 4:
        raise ValueError(
            f'x {x.shape} must be [B, H, W, Cin], kernel {kernel.shape} [K, K, Cin, Cout]'
        )
    if kernel.shape[0] != kernel.shape[1] or kernel.shape[0] % 2 == 0:
        raise ValueError(f'kernel {kernel.shape} must be square with an odd side')
    if kernel.shape[2] != x.shape[3]:
        raise ValueError(
            f'kernel {kernel.shape} reads {kernel.shape[2]} channels, x {x.shape} has {x.shape[3]}'
        )
    if x.dtype != kernel.dtype:
        raise ValueError(f'x is {x.dtype}, kernel is {kernel.dtype}; cast one to the other')
    if stride < 1 or dilation < 1:
        raise ValueError(f'stride {stride} and dilation {dilation} must be at least 1')
    if algorithm not in ALGORITHMS:
        raise ValueError(f'algorithm {algorithm!r} is unknown; known: {", ".join(ALGORITHMS)}')
    if algorithm == 'winograd' and kernel.shape[0] != 3:
        raise ValueError(
            f'winograd takes 3x3 kernels, kernel is {kernel.shape}; use phase or native'
        )
    if algorithm == 'winograd' and not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(f'winograd divides, x is {x.dtype}; use phase or native, or cast it')
    if algorithm == 'native':
        return _native(x, kernel, stride, dilation)
    # Every output reads the same pixels modulo a common factor: take these, and it is gone.
    common = math.gcd(stride, dilation)
    x = x[:, ::common, ::common]
    stride, dilation = stride // common, dilation // common
    if dilation == 1 and algorithm == 'phase':
        return _native(x, kernel, stride, 1)
    dense = _DENSE.get(algorithm, _native)
    out = phases.batch_to_space(
        dense(phases.space_to_batch(x, dilation), kernel), dilation, *x.shape[1:3]
    )
    return out[:, ::stride, ::stride]


def _native(x, kernel, stride=1, dilation=1):
    if len(kernel) == stride == 1:  # XLA:CPU is up to three times as fast with a matrix product
        return jnp.dot(x, kernel[0, 0])
    reach = dilation * (kernel.shape[0] // 2)  # from the center tap to the outermost one
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(stride, stride),
        padding=((reach, reach), (reach, reach)),
        rhs_dilation=(dilation, dilation),
        dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    )
