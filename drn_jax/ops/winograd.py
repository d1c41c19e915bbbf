"""Winograd's minimal filtering F(4x4, 3x3): 3x3 convolution with a quarter of the products.

A tile of 6x6 pixels gives 4x4 outputs. Along each axis tile and kernel are seen as polynomials and
evaluated at the six points 0, 1, -1, 2, -2 and infinity; the products of these values, summed over
the channels, are values of the outputs, and interpolation makes pixels of them: 36 products where
the sum over taps has 144. Where 4 does not divide an image, its last tile gives 1 to 3 outputs and
is evaluated at the first points and infinity only, two more than it has outputs.

Source: Winograd, Arithmetic complexity of computations, 1980; Lavin and Gray, Fast algorithms for
convolutional neural networks, 2015, sections 4 and 5.
"""

from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

_FINITE = (0, 1, -1, 2, -2)
_POINTS = len(_FINITE) + 1
_OUTPUTS = _POINTS - 2  # that a tile gives along an axis


def _powers(points: int, degree: int) -> np.ndarray:
    """Returns the matrix that evaluates polynomials at points; the last one is infinity."""
    finite = np.vander(_FINITE[: points - 1], degree, increasing=True)
    return np.concatenate([finite, np.eye(degree)[-1:]])


# By number of outputs: pixels of a tile -> values at points, values at points -> outputs.
# The first are 24ths; inversion gives them but for its rounding, which float64 would show.
_TILE = {
    m: (24 * np.linalg.inv(_powers(m + 2, m + 2)).T).round() / 24 for m in range(1, _OUTPUTS + 1)
}
_OUTPUT = {m: _powers(m + 2, m).T for m in _TILE}
_KERNEL = _powers(_POINTS, 3)


def transform_kernel(kernel: jax.Array) -> tuple[jax.Array, ...]:
    """Evaluates a kernel at the 36 pairs of points.

    Args:
        kernel: taps, [3, 3, Cin, Cout].

    Returns:
        36 matrices, float32 (float64 of float64) [Cin, Cout]. They are arrays of their own because
        XLA:CPU multiplies 36 pairs of matrices faster than one batch of 36.

    Example:
        >>> points = transform_kernel(jnp.ones((3, 3, 1, 1)))
        >>> len(points), points[35].item()  # at infinity the kernel is its last tap
        (36, 1.0)
    """
    taps = [tap for row in _exact(kernel) for tap in row]
    # Both axes at once: of large kernels XLA:CPU would write what lies between and read it again,
    # and the gradient would take three times as long.
    return tuple(_combine(np.kron(_KERNEL, _KERNEL), taps))


@jax.custom_vjp
def conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolves images with a 3x3 kernel, zero outside the image.

    Computes in float32 also for bfloat16 (in float64 for float64).

    Args:
        x: images, [B, H, W, Cin].
        kernel: taps, [3, 3, Cin, Cout].

    Returns:
        [B, H, W, Cout], dtype of x.

    Example:
        >>> conv(jnp.ones((1, 5, 5, 1)), jnp.ones((3, 3, 1, 1)))[0, :, 0, 0].round(4).tolist()
        [4.0, 6.0, 6.0, 6.0, 4.0]
    """
    return transformed_conv(x, transform_kernel(kernel))


def transformed_conv(x: jax.Array, points: Sequence[jax.Array]) -> jax.Array:
    """Convolves images with a kernel that `transform_kernel` has evaluated.

    Args:
        x: images, [B, H, W, Cin].
        points: 36 matrices, float32 [Cin, Cout].

    Returns:
        [B, H, W, Cout], dtype of x.

    Example:
        >>> x, kernel = jnp.ones((1, 5, 5, 1)), jnp.ones((3, 3, 1, 1))
        >>> transformed_conv(x, transform_kernel(kernel))[0, 0, :, 0].round(4).tolist()
        [4.0, 6.0, 6.0, 6.0, 4.0]
    """
    return _transformed_conv(x, points, contract=0)


def _transformed_conv(x, points, contract):
    values = _evaluate(_exact(x))
    products = [_dot(value, point, (1, contract)) for value, point in zip(values, points)]
    return _interpolate(products, x.shape[:3]).astype(x.dtype)


def _forward(x, kernel):
    return conv(x, kernel), (x, kernel)


def _backward(residuals, gradient):
    """The adjoint: for x a convolution again, for the kernel one matrix product a point."""
    x, kernel = residuals
    values, exact = _evaluate(_exact(x)), _exact(kernel)
    like = [
        jax.ShapeDtypeStruct((*value.shape[:-1], kernel.shape[3]), exact.dtype) for value in values
    ]
    (products,) = jax.linear_transpose(lambda products: _interpolate(products, x.shape[:3]), like)(
        _exact(gradient)
    )
    points = tuple(_dot(value, product, (0, 0)) for value, product in zip(values, products))
    (taps,) = jax.linear_transpose(transform_kernel, exact)(points)
    # The products sum over the kernel's outputs as it lies: XLA would transpose it for each of the
    # 36 points anew.
    flipped = transform_kernel(jnp.flip(kernel, (0, 1)))
    return _transformed_conv(gradient, flipped, contract=1), taps.astype(kernel.dtype)


conv.defvjp(_forward, _backward)


def _evaluate(x):
    """Returns the values of all tiles at the pairs of points: 36 arrays [tiles, C].

    Tiles at the lower and right edge may lack values at some points, whose arrays are shorter.
    """
    rows = _axis_values(jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))), axis=1)
    return [value.reshape(-1, x.shape[3]) for row in rows for value in _axis_values(row, axis=2)]


def _interpolate(products, shape):
    """Returns the images [B, H, W, C] whose tiles have these values at the pairs of points."""
    batch, height, width = shape
    rows, columns = _tiles_at_point(height), _tiles_at_point(width)
    products, channels = iter(products), products[0].shape[-1]
    pixels = [
        _axis_pixels(
            [next(products).reshape(batch, row, column, channels) for column in columns],
            width,
            axis=2,
        )
        for row in rows
    ]
    return _axis_pixels(pixels, height, axis=1)


def _axis_values(x, axis):
    """Evaluates all tiles along an axis: six arrays with the tiles instead of the pixels."""
    values = [[lax.slice_in_dim(x, 0, 0, axis=axis)] for _ in range(_POINTS)]  # perhaps no tile
    for start, outputs, tiles in _tilings(x.shape[axis] - 2):
        last = start + _OUTPUTS * (tiles - 1) + 1
        pixels = [
            lax.slice_in_dim(x, start + i, last + i, _OUTPUTS, axis) for i in range(outputs + 2)
        ]
        for point, value in zip(_points(outputs), _combine(_TILE[outputs], pixels)):
            values[point].append(value)
    return [jnp.concatenate(each, axis) for each in values]


def _axis_pixels(values, length, axis):
    """The way back from `_axis_values`: pixels of the outputs along an axis."""
    if length == 0:
        return values[0]  # no tile, so no pixel
    done, pixels = [0] * _POINTS, []
    for _, outputs, tiles in _tilings(length):
        present = []
        for point in _points(outputs):
            present.append(
                lax.slice_in_dim(values[point], done[point], done[point] + tiles, axis=axis)
            )
            done[point] += tiles
        block = jnp.stack(_combine(_OUTPUT[outputs], present), axis + 1)
        pixels.append(lax.collapse(block, axis, axis + 2))
    return jnp.concatenate(pixels, axis)


def _tilings(length: int) -> Iterator[tuple[int, int, int]]:
    """Yields first pixel, outputs a tile and number of tiles, of the full ones and of the last."""
    full, rest = divmod(length, _OUTPUTS)
    if full:
        yield 0, _OUTPUTS, full
    if rest:
        yield full * _OUTPUTS, rest, 1


def _points(outputs):
    """Returns the indices of the points at which a tile of so many outputs is evaluated."""
    return [*range(outputs + 1), _POINTS - 1]


def _tiles_at_point(length):
    return [
        sum(tiles for _, outputs, tiles in _tilings(length) if point in _points(outputs))
        for point in range(_POINTS)
    ]


def _combine(matrix, arrays):
    """Multiplies a matrix of few small numbers by a vector of arrays; zeros cost nothing."""
    return [
        sum(factor * array for factor, array in zip(row.tolist(), arrays) if factor)
        for row in matrix
    ]


def _exact(x):
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def _dot(x, y, axes):
    """Sums the products over one axis of each matrix."""
    x_axis, y_axis = axes
    return lax.dot_general(x, y, (((x_axis,), (y_axis,)), ((), ())), precision='highest')
