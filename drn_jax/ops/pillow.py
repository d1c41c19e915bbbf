"""Class scores resized by Pillow's rule to the pixels that are scored, and the best class there."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from drn_jax.ops.resize import bilinear_weights

TILES = 8  # of an image, of which one after another is computed
# Scores that differ by less, as a part of the largest, are compared again in `exact_classes`; the
# rounding of `best_classes` and of float32 in the steps that it skips stays below a fifth of it.
CLOSE = 1e-5
_CHUNK = 1 << 13  # pixels that `exact_classes` holds at a time


class Axis(NamedTuple):
    """What leads from the cells of class maps to scored pixels, along one axis.

    Attributes:
        enlarge: weights of the cells in each pixel that the network saw, float64 [seen, cells].
        resize: weights of those pixels in each that is scored, float64 [scored, seen].
    """

    enlarge: np.ndarray
    resize: np.ndarray

    @property
    def weights(self) -> np.ndarray:
        """Weights of the cells in each pixel that is scored, float32 [scored, cells]."""
        return (self.resize @ self.enlarge).astype(np.float32)


def axis(cells: int, stride: int, seen: int, scored: int) -> Axis:
    """Describes one axis: the release's enlargement, then Pillow's bilinear filter.

    Args:
        cells: of the class maps.
        stride: pixels from one cell to the next.
        seen: pixels that the network saw.
        scored: pixels that scores are wanted for.

    Example:
        >>> axis(cells=2, stride=2, seen=4, scored=4).weights.tolist()
        [[0.75, 0.0], [0.75, 0.25], [0.25, 0.75], [0.0, 0.75]]
    """
    enlarge = bilinear_weights(seen, cells, stride, border='fade').astype(np.float64)
    return Axis(enlarge, bilinear_matrix(scored, seen))


def bilinear_matrix(pixels: int, cells: int) -> np.ndarray:
    """Returns the weights with which Pillow's bilinear filter resizes one axis.

    Pixel i lies at (i + 1/2) * s in the units of cells, s = cells / pixels. A cell weighs
    1 - |distance| / max(s, 1), so that reducing averages, and the weights of a pixel add up to 1.

    Args:
        pixels: how many there shall be.
        cells: how many there are.

    Returns:
        float64 [pixels, cells].

    Example:
        >>> bilinear_matrix(4, 2).tolist()
        [[1.0, 0.0], [0.75, 0.25], [0.25, 0.75], [0.0, 1.0]]

    Source: Pillow, `Image.resize` with `Resampling.BILINEAR`; the order of its operations, so that
    the numbers are the same to the last digit.
    """
    scale = cells / pixels
    stretch = max(scale, 1.0)
    center = (np.arange(pixels)[:, None] + 0.5) * scale
    cell = np.arange(cells)
    first = np.maximum((center - stretch + 0.5).astype(int), 0)
    last = np.minimum((center + stretch + 0.5).astype(int), cells)
    weights = np.maximum(1 - np.abs((cell - center + 0.5) * (1 / stretch)), 0)
    weights = np.where((first <= cell) & (cell < last), weights, 0)
    return weights / weights.cumsum(1)[:, -1:]


def best_classes(
    maps: jax.Array, rows: np.ndarray, columns: np.ndarray
) -> tuple[jax.Array, jax.Array]:
    """Finds the class of the largest score at every scored pixel, without holding the scores.

    Scores are two products with the weights of rows and columns, a tile of rows at a time.

    Args:
        maps: class scores, [B, h, w, C], float32.
        rows, columns: `Axis.weights`, [H, h] and [W, w].

    Returns:
        uint8 [B, H, W], the first of equal ones; and bool [B, H, W], whether the second largest
        score is closer than `CLOSE` times the largest magnitude in the image's maps.

    Example:
        >>> maps = jnp.array([[0., 4.], [1., 0.]]).reshape(1, 1, 2, 2)
        >>> labels, close = best_classes(maps, axis(1, 2, 2, 1).weights, axis(2, 2, 4, 4).weights)
        >>> labels.tolist(), close.any().item()
        ([[[1, 1, 1, 0]]], False)
    """
    height = len(rows)
    padded = np.pad(rows, [(0, -height % TILES), (0, 0)])
    tolerance = CLOSE * jnp.abs(maps).max((1, 2, 3), keepdims=True)[..., 0]
    turned = jnp.moveaxis(maps, 3, 1)

    def tile(rows):
        scores = jnp.einsum('yh,bchw->bcyw', rows, turned, precision='highest')
        scores = jnp.einsum('bcyw,xw->bcyx', scores, columns, precision='highest')
        best, label = scores[:, 0], jnp.zeros(scores[:, 0].shape, jnp.uint8)
        second = jnp.full_like(best, -jnp.inf)
        # Not argmax: XLA compiles that for CPUs without vector instructions.
        for place in range(1, scores.shape[1]):
            score = scores[:, place]
            label = jnp.where(score > best, jnp.uint8(place), label)
            second = jnp.maximum(second, jnp.minimum(score, best))
            best = jnp.maximum(best, score)
        return label, best - second <= tolerance

    tiles = jax.lax.map(tile, padded.reshape(TILES, -1, rows.shape[1]))
    label, close = (
        jnp.moveaxis(each, 0, 1).reshape(len(maps), -1, len(columns))[:, :height] for each in tiles
    )
    return label, close


def exact_classes(
    maps: np.ndarray, y: np.ndarray, x: np.ndarray, rows: Axis, columns: Axis
) -> np.ndarray:
    """Finds the class of the largest score at some pixels as the authors' scripts compute it.

    Enlarged scores, their log-softmax and what Pillow makes of it are float32, each computed in
    double precision and rounded; Pillow resizes columns first. Several maps are added last.

    Args:
        maps: class scores of one image, at each scale, float32 [S, h, w, C].
        y, x: the pixels, [N].
        rows, columns: of the image.

    Returns:
        uint8 [N].

    Source: `DRNSeg`, `resize_4d_tensor` and `test_ms` of the release's segment.py.
    """
    found = [
        sum(_resized(scores, y[at:][:_CHUNK], x[at:][:_CHUNK], rows, columns) for scores in maps)
        for at in range(0, len(y), _CHUNK)
    ]
    return np.concatenate([np.asarray(each).argmax(-1) for each in found]).astype(np.uint8)


def _resized(scores, y, x, rows, columns):
    """Resizes the log-probabilities of one map to some pixels: [h, w, C] -> float32 [N, C]."""
    (seen_y, weight_y), (seen_x, weight_x) = _taps(rows.resize, y), _taps(columns.resize, x)
    (cell_y, part_y), (cell_x, part_x) = _taps(rows.enlarge, seen_y), _taps(columns.enlarge, seen_x)
    # [N, pixels in y, pixels in x, cells in y, cells in x, C]
    near = scores[cell_y[:, :, None, :, None], cell_x[:, None, :, None, :]].astype(np.float64)
    seen = np.einsum('nyp,nxq,nyxpqc->nyxc', part_y, part_x, near).astype(np.float32)
    exact = seen.astype(np.float64)
    exact -= exact.max(-1, keepdims=True)
    log = (exact - np.log(np.exp(exact).sum(-1, keepdims=True))).astype(np.float32)
    return _weighed(_weighed(log, weight_x[:, None, :, None], 2), weight_y[..., None], 1)


def _weighed(values, weights, along):
    """Adds up products in double precision, one after another, and rounds the sum to float32."""
    products = np.moveaxis(values * weights, along, 0)
    return sum(products[1:], start=products[0]).astype(np.float32)


def _taps(matrix, places):
    """Returns columns and values of what is not 0 in some rows, [..., K], filled up with zeros."""
    count = (matrix != 0).sum(1).max()
    column = np.argsort(matrix == 0, axis=1, kind='stable')[:, :count]
    return column[places], np.take_along_axis(matrix, column, 1)[places]
