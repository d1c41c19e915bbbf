"""Convolution of few channels: neighboring pixels of a row are the channels of one strip.

A processor multiplies blocks of numbers, and 4 or 16 channels do not fill one. An image [H, W, C]
is, without moving a number, an image [H, W / n, n * C] of strips of n pixels, and its convolution
with a kernel K pixels wide is one of strips, with a kernel that has the taps once for each of the
n outputs and zeros beside them. There are more products, many of them by zero, and yet it takes as
little as a fifth of the time.

Source: Qualcomm AI Runtime, HTP network design guidelines, on space-to-depth; this is its form
along rows, width-to-depth.
"""

import jax
import jax.numpy as jnp
from jax import lax

# Of a strip, by side of the kernel: the fastest in benchmarks/convolution.py.
_CHANNELS = {3: 16, 7: 32}


def pixels(kernel_size: int, channels: int) -> int:
    """Returns how many pixels make a strip; 1 where strips are not faster.

    Args:
        kernel_size: side of the kernel.
        channels: of the image, or of the outputs if these are more.

    Example:
        >>> pixels(7, 16), pixels(3, 4), pixels(3, 64)
        (2, 4, 1)
    """
    return max(1, _CHANNELS.get(kernel_size, 1) // max(1, channels))


def conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolves images with a kernel, zero outside the image.

    Args:
        x: images, [B, H, W, Cin].
        kernel: taps, [K, K, Cin, Cout], K odd.

    Returns:
        [B, H, W, Cout], dtype of x.

    Example:
        >>> conv(jnp.ones((1, 5, 5, 1)), jnp.ones((3, 3, 1, 1)))[0, :, 0, 0].tolist()
        [4.0, 6.0, 6.0, 6.0, 4.0]
    """
    size, _, inputs, outputs = kernel.shape
    length, reach = pixels(size, max(inputs, outputs)), size // 2
    batch, height, width, _ = x.shape
    strips = -(-width // length)
    window = -(-(length + size - 1) // length)  # strips that the outputs of one read
    read = strips + window - 1
    x = jnp.pad(x, ((0, 0), (0, 0), (reach, read * length - width - reach), (0, 0)))
    y = lax.conv_general_dilated(
        x.reshape(batch, height, read, length * inputs),
        _kernel_of_strips(kernel, length, window),
        window_strides=(1, 1),
        padding=((reach, reach), (0, 0)),
        dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    )
    return y.reshape(batch, height, strips * length, outputs)[:, :, :width]


def _kernel_of_strips(kernel, length, window):
    """[K, K, Cin, Cout] -> [K, window, length * Cin, length * Cout]; an output reads K pixels.

    In float32 at least, so that the gradient sums the taps of all outputs in it.
    """
    dtype = kernel.dtype
    kernel = kernel.astype(jnp.promote_types(dtype, jnp.float32))
    size, _, inputs, outputs = kernel.shape
    spare = window * length - size
    shifted = [
        jnp.pad(kernel, ((0, 0), (shift, spare - shift), (0, 0), (0, 0))) for shift in range(length)
    ]
    kernel = jnp.stack(shifted, 3).reshape(size, window, length * inputs, length * outputs)
    return kernel.astype(dtype)
