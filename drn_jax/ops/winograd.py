"""Winograd's minimal filtering: 3x3 convolution with a quarter of the products, or half of them.

F(4x4, 3x3): a tile of 6x6 pixels gives 4x4 outputs. Along each axis tile and kernel are seen as
polynomials and evaluated at the six points 0, 1, -1, 2, -2 and infinity; the products of these
values, summed over the channels, are values of the outputs, and interpolation makes pixels of them:
36 products where the sum over taps has 144. Where 4 does not divide an image, its last tile gives 1
to 3 outputs and is evaluated at the first points and infinity only, two more than it has outputs.

F(2x2, 3x3) has the points 0, 1, -1 and infinity, and 16 products where the sum over taps has 36.
Its numbers stay small: with factors of bfloat16 the largest error is 5e-3 of the largest output,
where F(4x4) has 8e-2. So bfloat16 takes it on processors that multiply bfloat16 faster.

Source: Winograd, Arithmetic complexity of computations, 1980; Lavin and Gray, Fast algorithms for
convolutional neural networks, 2015, sections 4 and 5.
"""

import functools
import math
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import DTypeLike

from drn_jax import processors

_FINITE = (0, 1, -1, 2, -2)


def _powers(points: int, degree: int) -> np.ndarray:
    """Returns the matrix that evaluates polynomials at points; the last one is infinity."""
    finite = np.vander(_FINITE[: points - 1], degree, increasing=True)
    return np.concatenate([finite, np.eye(degree)[-1:]])


# By number of outputs: pixels of a tile -> values at points, values at points -> outputs.
# The first are 24ths; inversion gives them but for its rounding, which float64 would show.
_TILE = {m: (24 * np.linalg.inv(_powers(m + 2, m + 2)).T).round() / 24 for m in range(1, 5)}
_OUTPUT = {m: _powers(m + 2, m).T for m in _TILE}


def multiplied_in_bfloat16(dtype: DTypeLike) -> bool:
    """Returns whether images of a dtype are multiplied in bfloat16 here, by F(2x2)."""
    return jnp.dtype(dtype) == jnp.bfloat16 and processors.BFLOAT16 in processors.instructions()


def transform_kernel(kernel: jax.Array, dtype: DTypeLike = 'float32') -> tuple[jax.Array, ...]:
    """Evaluates a kernel at all pairs of points: those of F(4x4), or for bfloat16 of F(2x2).

    Args:
        kernel: taps, [3, 3, Cin, Cout].
        dtype: of the images.

    Returns:
        36 matrices, float32 (float64 of float64) [Cin, Cout], or 16 of bfloat16 where
        `multiplied_in_bfloat16(dtype)`. They are arrays of their own because XLA:CPU multiplies 36
        pairs of matrices faster than one batch of 36.

    Example:
        >>> points = transform_kernel(jnp.ones((3, 3, 1, 1)))
        >>> len(points), points[35].item()  # at infinity the kernel is its last tap
        (36, 1.0)
    """
    if multiplied_in_bfloat16(dtype):
        return tuple(point.astype(jnp.bfloat16) for point in _at_points(_exact(kernel), 4))
    return _at_points(_exact(kernel), 6)


def _at_points(kernel, points):
    matrix = _powers(points, 3)
    taps = [tap for row in kernel for tap in row]
    # Both axes at once: of large kernels XLA:CPU would write what lies between and read it again,
    # and the gradient would take three times as long.
    return tuple(_combine(np.kron(matrix, matrix), taps))


@jax.custom_vjp
def conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolves images with a 3x3 kernel, zero outside the image.

    Computes in float32 (in float64 for float64), of bfloat16 perhaps the products of factors that
    are rounded to it; see `transform_kernel`.

    Args:
        x: images, [B, H, W, Cin].
        kernel: taps, [3, 3, Cin, Cout].

    Returns:
        [B, H, W, Cout], dtype of x.

    Example:
        >>> conv(jnp.ones((1, 5, 5, 1)), jnp.ones((3, 3, 1, 1)))[0, :, 0, 0].round(4).tolist()
        [4.0, 6.0, 6.0, 6.0, 4.0]
    """
    return transformed_conv(x, transform_kernel(kernel, x.dtype))


def transformed_conv(x: jax.Array, points: Sequence[jax.Array]) -> jax.Array:
    """Convolves images with a kernel that `transform_kernel` has evaluated.

    Args:
        x: images, [B, H, W, Cin].
        points: its matrices, [Cin, Cout].

    Returns:
        [B, H, W, Cout], dtype of x.

    Example:
        >>> x, kernel = jnp.ones((1, 5, 5, 1)), jnp.ones((3, 3, 1, 1))
        >>> transformed_conv(x, transform_kernel(kernel))[0, 0, :, 0].round(4).tolist()
        [4.0, 6.0, 6.0, 6.0, 4.0]
    """
    return _transformed_conv(x, points, contract=0)


def _transformed_conv(x, points, contract):
    outputs = math.isqrt(len(points)) - 2
    values = _evaluate(x, outputs)
    products = [
        _dot(value.astype(point.dtype), point, (1, contract))
        for value, point in zip(values, points)
    ]
    return _interpolate(products, x.shape[:3], outputs).astype(x.dtype)


def _forward(x, kernel):
    return conv(x, kernel), (x, kernel)


def _backward(residuals, gradient):
    """The adjoint: for x a convolution again, for the kernel one matrix product a point."""
    x, kernel = residuals
    # The products sum over the kernel's outputs as it lies: XLA would transpose it for each of the
    # points anew.
    flipped = transform_kernel(jnp.flip(kernel, (0, 1)), x.dtype)
    outputs = math.isqrt(len(flipped)) - 2
    values, exact = _evaluate(x, outputs), _exact(kernel)
    like = [
        jax.ShapeDtypeStruct((*value.shape[:-1], kernel.shape[3]), exact.dtype) for value in values
    ]
    (products,) = jax.linear_transpose(
        lambda products: _interpolate(products, x.shape[:3], outputs), like
    )(_exact(gradient))
    dtype = flipped[0].dtype
    points = tuple(
        _dot(value.astype(dtype), product.astype(dtype), (0, 0))
        for value, product in zip(values, products)
    )
    (taps,) = jax.linear_transpose(lambda kernel: _at_points(kernel, outputs + 2), exact)(points)
    return _transformed_conv(gradient, flipped, contract=1), taps.astype(kernel.dtype)


conv.defvjp(_forward, _backward)


@functools.partial(jax.jit, static_argnums=1)
def _evaluate(x, outputs):
    """Returns the values of all tiles at the pairs of points: 36 or 16 arrays [tiles, C].

    Tiles at the lower and right edge may lack values at some points, whose arrays are shorter.
    """
    rows = _axis_values(jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))), 1, outputs)
    return [
        value.reshape(-1, x.shape[3]) for row in rows for value in _axis_values(row, 2, outputs)
    ]


@functools.partial(jax.jit, static_argnums=(1, 2))
def _interpolate(products, shape, outputs):
    """Returns the images [B, H, W, C] whose tiles have these values at the pairs of points."""
    batch, height, width = shape
    rows, columns = _tiles_at_point(height, outputs), _tiles_at_point(width, outputs)
    products, channels = iter(products), products[0].shape[-1]
    pixels = [
        _axis_pixels(
            [next(products).reshape(batch, row, column, channels) for column in columns],
            width,
            2,
            outputs,
        )
        for row in rows
    ]
    return _axis_pixels(pixels, height, 1, outputs)


def _axis_values(x, axis, most):
    """Evaluates all tiles along an axis: an array a point with the tiles instead of the pixels."""
    values = [[_exact(lax.slice_in_dim(x, 0, 0, axis=axis))] for _ in range(most + 2)]  # no tile
    for start, outputs, tiles in _tilings(x.shape[axis] - 2, most):
        last = start + most * (tiles - 1) + 1
        # Exact only now: before, a copy of the padded images would be written and read.
        pixels = [
            _exact(lax.slice_in_dim(x, start + i, last + i, most, axis)) for i in range(outputs + 2)
        ]
        for point, value in zip(_points(outputs, most), _combine(_TILE[outputs], pixels)):
            values[point].append(value)
    return [jnp.concatenate(each, axis) for each in values]


def _axis_pixels(values, length, axis, most):
    """The way back from `_axis_values`: pixels of the outputs along an axis."""
    if length == 0:
        return values[0]  # no tile, so no pixel
    done, pixels = [0] * (most + 2), []
    for _, outputs, tiles in _tilings(length, most):
        present = []
        for point in _points(outputs, most):
            present.append(
                lax.slice_in_dim(values[point], done[point], done[point] + tiles, axis=axis)
            )
            done[point] += tiles
        block = jnp.stack(_combine(_OUTPUT[outputs], present), axis + 1)
        pixels.append(lax.collapse(block, axis, axis + 2))
    return jnp.concatenate(pixels, axis)


def _tilings(length: int, most: int) -> Iterator[tuple[int, int, int]]:
    """Yields first pixel, outputs a tile and number of tiles, of the full ones and of the last."""
    full, rest = divmod(length, most)
    if full:
        yield 0, most, full
    if rest:
        yield full * most, rest, 1


def _points(outputs, most):
    """Returns the indices of the points at which a tile of so many outputs is evaluated."""
    return [*range(outputs + 1), most + 1]


def _tiles_at_point(length, most):
    return [
        sum(
            tiles for _, outputs, tiles in _tilings(length, most) if point in _points(outputs, most)
        )
        for point in range(most + 2)
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
    return lax.dot_general(
        x,
        y,
        (((x_axis,), (y_axis,)), ((), ())),
        precision='highest',
        preferred_element_type=jnp.promote_types(x.dtype, jnp.float32),
    )
