"""Upsampling of class maps to the pixels of the image, whole or a tile of rows at a time."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from drn_jax.cityscapes import IGNORE_LABEL
from drn_jax.ops.phases import inside

BORDERS = ('extend', 'fade')
TILES = 8  # of an image, in `map_upsampled`

Stride = float | Sequence[float]  # one for both axes, or one for rows and one for columns


def bilinear_weights(
    pixels: int, cells: int, stride: float, *, start: float = 0.0, border: str = 'extend'
) -> np.ndarray:
    """Returns the weight of every cell in every pixel of one axis.

    Cell i is centered at pixel start + stride * (i + 1/2) - 1/2. A pixel between two centers gets
    the mean of both cells, weighted by nearness. Beyond the outermost centers 'extend' repeats the
    outermost cell, as bilinear resizing does everywhere; 'fade' lets it fall off towards zero.

    Args:
        pixels, cells: how many there are.
        stride: pixels from one cell to the next, above 0.
        start: where the first cell begins, in pixels.
        border: 'extend' or 'fade'.

    Returns:
        [pixels, cells], float32, in [0, 1]; a row of 'extend' adds up to 1.

    Example:
        >>> bilinear_weights(4, 2, 2).tolist()
        [[1.0, 0.0], [0.75, 0.25], [0.25, 0.75], [0.0, 1.0]]
    """
    position = (np.arange(pixels) + 0.5 - start) / stride - 0.5
    if border == 'extend':
        position = position.clip(0, cells - 1)
    return np.maximum(1 - np.abs(position[:, None] - np.arange(cells)), 0).astype(np.float32)


def image_weights(
    maps: jax.Array, height: int, width: int, *, stride: Stride, border: str
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the `bilinear_weights` of an image's rows and of its columns.

    Args:
        maps, height, width, stride, border: as `upsample` takes them; of the maps the shape counts.

    Returns:
        [height, h] and [width, w], float32.

    Raises:
        ValueError: the image is larger than the maps reach, or `border` is unknown.

    Example:
        >>> maps = jnp.zeros((1, 1, 2, 3))
        >>> [each.shape for each in image_weights(maps, 8, 16, stride=8, border='extend')]
        [(8, 1), (16, 2)]
    """
    if border not in BORDERS:
        raise ValueError(f'border {border!r} is unknown; known: {", ".join(BORDERS)}')
    stride_y, stride_x = np.broadcast_to(stride, 2)
    _, rows, columns, _ = maps.shape
    reach_y, reach_x = (round(float(reach), 3) for reach in (stride_y * rows, stride_x * columns))
    if not (0 < height <= reach_y and 0 < width <= reach_x):
        raise ValueError(
            f'{rows} x {columns} cells of {_number(stride)} pixels do not cover an '
            f'image of {height} x {width} pixels; give at most {reach_y:g} x '
            f'{reach_x:g}'
        )
    return (
        bilinear_weights(height, rows, stride_y, border=border),
        bilinear_weights(width, columns, stride_x, border=border),
    )


def upsample(
    maps: jax.Array,
    height: int,
    width: int,
    *,
    stride: Stride = 8,
    border: str = 'extend',
) -> jax.Array:
    """Interpolates maps bilinearly, as products with the `bilinear_weights` of rows and columns.

    Both borders give every pixel the same largest class; 'fade' is what the release's frozen
    transposed convolution does.

    Args:
        maps: [B, h, w, C], float32.
        height, width: of the image in pixels, at most stride * h and stride * w.
        stride: pixels from one cell to the next, a number, or one for rows and one for columns.
        border: 'extend' or 'fade'.

    Returns:
        [B, height, width, C], float32.

    Raises:
        ValueError: the image is larger than the maps reach, or `border` is unknown.

    Example:
        >>> upsample(jnp.array([0., 4.]).reshape(1, 1, 2, 1), 1, 8, stride=4)[0, 0, :, 0].tolist()
        [0.0, 0.0, 0.5, 1.5, 2.5, 3.5, 4.0, 4.0]

    Source: section 5.3 of the paper ('extend'); the release's `up` layer ('fade').
    """
    rows, columns = image_weights(maps, height, width, stride=stride, border=border)
    return _product(rows, columns, maps)


def fill_outside(maps: jax.Array, sizes: jax.Array, border: str = 'extend') -> jax.Array:
    """Gives the cells beyond smaller maps what `upsample` takes there to be beyond a border.

    Args:
        maps: of which those that count lie at the upper left, [B, h, w, C].
        sizes: their heights and widths in cells, [B, 2], int32, at least 1.
        border: 'extend' or 'fade'.

    Returns:
        [B, h, w, C], which upsampled gives inside what the smaller maps alone would give.

    Example:
        >>> maps = jnp.array([1., 2., 9.]).reshape(1, 1, 3, 1)
        >>> fill_outside(maps, jnp.array([[1, 2]])).ravel().tolist()
        [1.0, 2.0, 2.0]
        >>> fill_outside(maps, jnp.array([[1, 2]]), 'fade').ravel().tolist()
        [1.0, 2.0, 0.0]
    """
    if border == 'fade':
        return jnp.where(inside(sizes, *maps.shape[1:3]), maps, 0)
    for axis in (1, 2):
        nearest = jnp.minimum(jnp.arange(maps.shape[axis]), sizes[:, axis - 1, None] - 1)
        maps = jnp.take_along_axis(maps, jnp.expand_dims(nearest, (3 - axis, 3)), axis)
    return maps


def map_upsampled(
    function: Callable[..., Any],
    maps: Sequence[jax.Array],
    height: int,
    width: int,
    *,
    strides: Sequence[Stride],
    labels: jax.Array | None = None,
    mirrored: Sequence[bool] | None = None,
    border: str = 'extend',
) -> Any:
    """Applies a function to upsampled maps of which only a part is held at a time.

    An image is cut into `TILES` tiles; tile t holds the rows t, t + TILES, t + 2 * TILES and so on.
    So a device that holds a block of the image's rows has a part of every tile. In derivatives
    the tiles are computed once more instead of being kept.

    Args:
        function: takes the upsampled tiles [B, R, width, C], one for each of `maps`, and the
            labels' tile [B, R, width]; R = ceil(height / TILES). Gives a tree of arrays.
        maps: list of [B, h, w, C], float32, of different h and w perhaps.
        height, width: of the image in pixels.
        strides: for each of `maps`, as `stride` in `upsample`.
        labels: uint8 [B, height, width], or None. Rows beyond the last one hold 255.
        mirrored: for each of `maps`, whether it belongs to the image's mirror image; None: no.
        border: see `upsample`.

    Returns:
        What the function gives, stacked on a new first axis: [TILES, ...]. `join_rows` makes images
        of tiles.

    Raises:
        ValueError: see `upsample`.

    Example:
        >>> maps = jnp.array([[1., 0.], [0., 3.]]).reshape(1, 1, 2, 2)
        >>> tiles = map_upsampled(lambda scores: scores.argmax(-1), [maps], 1, 8, strides=[4])
        >>> join_rows(tiles, 1)[0, 0].tolist()
        [0, 0, 0, 1, 1, 1, 1, 1]
    """
    weights = [
        image_weights(each, height, width, stride=stride, border=border)
        for each, stride in zip(maps, strides, strict=True)
    ]
    rows = [_cut_rows(jnp.asarray(each)[None], 0)[:, 0] for each, _ in weights]
    columns = [
        each[::-1] if mirror else each
        for (_, each), mirror in zip(weights, mirrored or [False] * len(maps), strict=True)
    ]

    @jax.checkpoint
    def tile(operands):
        rows, labels = operands
        scores = [_product(*each) for each in zip(rows, columns, maps)]
        return function(*scores) if labels is None else function(*scores, labels)

    return jax.lax.map(tile, (rows, None if labels is None else _cut_rows(labels, IGNORE_LABEL)))


def join_rows(tiles: jax.Array, height: int) -> jax.Array:
    """Puts the tiles of `map_upsampled` together: [TILES, B, R, ...] -> [B, height, ...].

    Example:
        >>> join_rows(jnp.arange(16).reshape(8, 1, 2), 10).tolist()
        [[0, 2, 4, 6, 8, 10, 12, 14, 1, 3]]
    """
    tiles = jnp.moveaxis(tiles, 0, 2)
    return tiles.reshape(tiles.shape[0], -1, *tiles.shape[3:])[:, :height]


def _cut_rows(x, fill):
    """[B, H, ...] -> [TILES, B, ceil(H / TILES), ...], with rows of `fill` beyond the last."""
    padding = [(0, 0)] * x.ndim
    padding[1] = 0, -x.shape[1] % TILES
    x = jnp.pad(x, padding, constant_values=fill)
    return jnp.moveaxis(x.reshape(x.shape[0], -1, TILES, *x.shape[2:]), 2, 0)


def _product(rows, columns, maps):
    def default(rows, columns, maps):
        return jnp.einsum('yh,bhwc,xw->byxc', rows, maps, columns, precision='highest')

    def cuda(rows, columns, maps):
        # The same products. XLA of jax 0.10.2 finds no tiles for the first one in the form above,
        # which is a third faster on CPUs.
        upsampled = jnp.tensordot(rows, maps, (1, 1), precision='highest')
        return jnp.einsum('ybwc,xw->byxc', upsampled, columns, precision='highest')

    return jax.lax.platform_dependent(rows, columns, maps, cuda=cuda, default=default)


def _number(stride):
    return f'{stride:g}' if np.ndim(stride) == 0 else ' x '.join(f'{each:g}' for each in stride)
