"""Boxes round the responses of class maps, for many thresholds at once, and their overlap.

A box is y0, x0, y1, x1; its upper ends are exclusive. The tightest box round the cells that exceed
a threshold starts at the first row and ends at the last row that hold such a cell, and a row
holds one exactly where its maximum exceeds the threshold; the same goes for columns. So the maxima
of rows and columns give the box of every threshold, and the maps are read once.
"""

from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np

from drn_jax.geometry import Geometry
from drn_jax.ops.scores import Array, minmax_scale


def argmax_row_col_maxima(maps: jax.Array, classes: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns the largest response of classes, where they dominate, in every row and column.

    response[y, x] of class c is softmax(maps[y, x])[c] where no class scores higher at that cell,
    else 0. So classes that tie for the best score all dominate, as in the paper's set g(w, h).
    There softmax is 1 / sum over c' of exp(maps[y, x, c'] - max), so no map of probabilities is
    kept. A cell with a score that is not a number has no dominant class.

    Args:
        maps: class scores before softmax, [B, h, w, C], float32.
        classes: which classes are asked for, [B, K], int32 in [0, C).

    Returns:
        Maxima of rows, [B, K, h], and of columns, [B, K, w], float32 in [0, 1]; rounding
        leaves steps of about 1e-7 near 1.

    Raises:
        ValueError: a shape does not fit.

    Example:
        >>> maps = jnp.log(jnp.array([[[3., 1.], [1., 4.]]]))[None]  # one row of two cells
        >>> rows, columns = argmax_row_col_maxima(maps, jnp.array([[0, 1]]))
        >>> [[round(response, 4) for response in of_class] for of_class in columns[0].tolist()]
        [[0.75, 0.0], [0.0, 0.8]]

    Source: section 5.2 of the paper; the paper does not say whether f is taken after softmax.
    """
    scores = _scores(maps, classes)
    best = maps.max(-1, keepdims=True)
    strongest = 1 / jnp.exp(maps - best).sum(-1, keepdims=True)
    # An infinite score makes `strongest` not a number; such a cell counts as empty.
    responses = jnp.where((scores == best) & (strongest > 0), strongest, 0)
    return _row_col_maxima(responses)


def minmax_row_col_maxima(maps: jax.Array, classes: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns the largest scaled score of classes in every row and column.

    The score of class c, whether it dominates or not, is scaled by the smallest and the largest
    score of c in the image, see `minmax_scale`.

    Args:
        maps: class scores before softmax, [B, h, w, C], float32.
        classes: which classes are asked for, [B, K], int32 in [0, C).

    Returns:
        Maxima of rows, [B, K, h], and of columns, [B, K, w], float32 in [0, 1]; all 0 where the
        score is the same everywhere or not finite somewhere.

    Raises:
        ValueError: a shape does not fit.

    Example:
        >>> maps = jnp.array([[1., 3.], [2., 5.]])[None, :, :, None]
        >>> rows, columns = minmax_row_col_maxima(maps, jnp.array([[0]]))
        >>> rows.tolist(), columns.tolist()
        ([[[0.5, 1.0]]], [[[0.25, 1.0]]])

    Source: Choe et al., Evaluating Weakly Supervised Object Localization Methods Right, 2020.
    """
    return _row_col_maxima(minmax_scale(_scores(maps, classes), (1, 2)))


def _scores(maps, classes):
    """Returns the scores of the classes asked for, [B, h, w, K]."""
    if maps.ndim != 4 or classes.ndim != 2 or len(maps) != len(classes):
        raise ValueError(
            f'maps {maps.shape} and classes {classes.shape} do not fit; give '
            '[B, h, w, C] and [B, K]'
        )
    return jnp.take_along_axis(maps, classes[:, None, None], axis=-1)


def _row_col_maxima(responses):
    """Returns the maxima of rows and of columns of [B, h, w, K]."""
    return responses.max(2).swapaxes(1, 2), responses.max(1).swapaxes(1, 2)


def cell_boxes(
    rows: jax.Array, columns: jax.Array, thresholds: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Returns the tightest box round the cells whose response exceeds each threshold.

    Args:
        rows: largest response of every row, [..., h], float32.
        columns: largest response of every column, [..., w], float32.
        thresholds: [T], float32; a response must be above it, not equal.

    Returns:
        Boxes in cells, [..., T, 4], int32, all 0 where no cell exceeds the threshold; and whether
        one does, [..., T], bool.

    Example:
        >>> rows, columns = jnp.array([.2, .9, .4]), jnp.array([.9, .1])
        >>> cells, found = cell_boxes(rows, columns, jnp.array([0., .3, .9]))
        >>> cells.tolist(), found.tolist()
        ([[0, 0, 3, 2], [1, 0, 3, 1], [0, 0, 0, 0]], [True, True, False])

    Source: section 5.2 of the paper, all cells rather than the largest component.
    """
    y0, y1 = _span(rows, thresholds)
    x0, x1 = _span(columns, thresholds)
    boxes = jnp.stack([y0, x0, y1, x1], axis=-1)
    found = y1 > 0
    return jnp.where(found[..., None], boxes, 0), found


def _span(maxima, thresholds):
    """Returns the first index above each threshold, and the index after the last: [..., T] each."""
    above = maxima[..., None, :] > jnp.asarray(thresholds)[:, None]
    index = jnp.arange(maxima.shape[-1], dtype=jnp.int32)
    return (
        jnp.where(above, index, maxima.shape[-1]).min(-1),
        jnp.where(above, index + 1, 0).max(-1),
    )


def image_boxes(cells: Array, stride: int, geometry: Array) -> Array:
    """Maps boxes from cells of a class map to pixels of the original image.

    Cell i of stride s is pixels [s * i, s * (i + 1)) of the network's input. The input starts
    at the crop's corner in the resized image, so an edge at cell i lies at
    (s * i + crop) * size / resized size, for each axis by itself; boxes end at the image's edge.

    Args:
        cells: boxes in cells, [B, ..., 4], int32 or float32.
        stride: pixels from one cell to the next; 1 maps boxes in pixels of the input.
        geometry: a `Geometry` of every image, packed, [B, 6], int32 or float32.

    Returns:
        Boxes in pixels, [B, ..., 4], float32, a NumPy array where both arguments are, else a JAX
        array. An empty box stays all 0.

    Raises:
        ValueError: a shape does not fit.

    Example:
        >>> geometry = jnp.array([[500, 1000, 250, 500, 13, 138]])  # halved, then cropped
        >>> image_boxes(jnp.array([[1, 2, 3, 28]]), 8, geometry).tolist()
        [[42.0, 308.0, 74.0, 724.0]]
    """
    fields = len(Geometry._fields)
    if cells.shape[-1] != 4 or geometry.shape != (len(cells), fields):
        raise ValueError(
            f'boxes {cells.shape} and geometry {geometry.shape} do not fit; give '
            f'[B, ..., 4] and [B, {fields}]'
        )
    xp = _numpy_of(cells, geometry)
    packed = geometry.astype(xp.float32).reshape(len(cells), *[1] * (cells.ndim - 2), fields)
    image = Geometry.unpack(packed)
    size, resized, crop = (
        xp.stack([y, x, y, x], axis=-1)
        for y, x in (
            (image.height, image.width),
            (image.resized_height, image.resized_width),
            (image.top, image.left),
        )
    )
    pixels = (stride * cells.astype(xp.float32) + crop) * size / resized
    empty = (cells[..., 2:] <= cells[..., :2]).any(-1, keepdims=True)
    return xp.where(empty, 0, xp.clip(pixels, 0, size))


def iou(a: Array, b: Array) -> Array:
    """Returns the overlap of boxes: area of the intersection / area of the union.

    Args:
        a, b: boxes y0, x0, y1, x1, upper ends exclusive, [..., 4]; the leading axes broadcast,
            so [N, 1, 4] and [M, 4] give all pairs.

    Returns:
        [...], float32 in [0, 1], a NumPy array where both boxes are, else a JAX array. A box
        without area overlaps nothing, not even itself.

    Example:
        >>> iou(jnp.array([0, 0, 2, 2]), jnp.array([[1, 0, 3, 2], [2, 2, 4, 4]])).round(3).tolist()
        [0.3330000042915344, 0.0]
    """
    xp = _numpy_of(a, b)
    a, b = xp.asarray(a, dtype=xp.float32), xp.asarray(b, dtype=xp.float32)
    corners = xp.maximum(a[..., :2], b[..., :2]), xp.minimum(a[..., 2:], b[..., 2:])
    common = xp.maximum(corners[1] - corners[0], 0).prod(-1)
    area_a, area_b = (xp.maximum(box[..., 2:] - box[..., :2], 0).prod(-1) for box in (a, b))
    union = area_a + area_b - common
    return xp.where(common > 0, common / xp.where(common > 0, union, 1), 0).astype(xp.float32)


def _numpy_of(*arrays) -> ModuleType:
    """Returns NumPy where all arrays are NumPy's, else `jax.numpy`."""
    return np if all(isinstance(array, np.ndarray) for array in arrays) else jnp
