"""Boxes of the connected parts of a score map, on the host, as MaxBoxAcc and MaxBoxAccV2 need."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage

from drn_jax.ops.resize import bilinear_weights
from drn_jax.ops.scores import minmax_scale

EIGHT = np.ones((3, 3), bool)  # a cell's neighbors, corners included


class Contours(NamedTuple):
    """The contours of one score map at all thresholds, a row each.

    Attributes:
        boxes: y0, x0, y1, x1, upper ends exclusive, [N, 4], int32.
        threshold: index of the threshold in the list, ascending, [N], int32.
        largest: whether it is the largest contour at its threshold, [N], bool; one at each
            threshold that a cell exceeds.
    """

    boxes: np.ndarray
    threshold: np.ndarray
    largest: np.ndarray


def scaled_map(scores: ArrayLike, height: int, width: int, *, stride: int = 8) -> np.ndarray:
    """Resizes a map of scores to the network's input and scales it to [0, 1].

    Resizing is that of `bilinear_weights`, scaling that of `minmax_scale`.

    Args:
        scores: of one class, [h, w], a float type.
        height, width: of the network's input in pixels, at most stride * h and stride * w.
        stride: pixels from one cell to the next; 1 leaves the size as it is.

    Returns:
        [height, width], float32 in [0, 1]; all 0 where the scores are all the same or one is not
        finite.

    Raises:
        ValueError: the cells do not cover the input.

    Example:
        >>> scaled_map(np.array([[1., 5.]]), 1, 4, stride=2).tolist()
        [[0.0, 0.25, 0.75, 1.0]]

    Source: Choe et al., Evaluating Weakly Supervised Object Localization Methods Right, 2020.
    """
    # Differs: their code resizes by cubic interpolation, which overshoots beside edges.
    scores = np.asarray(scores, np.float32)
    if not (0 < height <= stride * scores.shape[0] and 0 < width <= stride * scores.shape[1]):
        raise ValueError(
            f'{scores.shape[0]} x {scores.shape[1]} cells of {stride} pixels do not '
            f'cover an input of {height} x {width} pixels; give the size of the '
            'input that the scores were computed from'
        )
    # Weights that add up to 1 leave rounding in a flat map; scaling would blow it up.
    if not minmax_scale(scores).any():
        return np.zeros((height, width), np.float32)
    rows, columns = (
        bilinear_weights(pixels, cells, stride)
        for pixels, cells in zip((height, width), scores.shape)
    )
    return minmax_scale(rows @ scores @ columns.T)


def contours(scores: ArrayLike, thresholds: Iterable[float]) -> Contours:
    """Returns the boxes of all connected parts of a map above each threshold, and of their holes.

    Cells that touch at a side or a corner belong together. A hole counts too, with the cells
    round it, as the protocol's code lists the contours of holes beside the others. The largest
    contour encloses the largest area, measured between the centers of its cells with holes filled;
    of equal ones it has the most cells, then comes first in reading order.

    Args:
        scores: [h, w], a float type, such as `scaled_map` gives.
        thresholds: [T], float; a score must be above it, not equal.

    Returns:
        `Contours`. A threshold that no score exceeds has no row. MaxBoxAcc uses the rows marked
        `largest`, MaxBoxAccV2 all rows.

    Example:
        >>> scores = np.array([[.9, 0, 0, 0], [0, .9, 0, .4]])
        >>> found = contours(scores, [.2, .5, .95])
        >>> found.boxes.tolist(), found.threshold.tolist(), found.largest.tolist()
        ([[0, 0, 2, 2], [1, 3, 2, 4], [0, 0, 2, 2]], [0, 0, 1], [True, False, True])

    Source: Choe et al., Evaluating Weakly Supervised Object Localization Methods Right, 2020, and
    its code, which calls OpenCV's findContours, contourArea and boundingRect.
    """
    # Differs: their code rounds scores to 256 steps and counts a box's upper ends as inside it.
    scores = np.asarray(scores)
    rows, columns = scores.max(1), scores.max(0)
    found = [_above(scores, rows, columns, threshold) for threshold in thresholds]
    counts = [len(boxes) for boxes, _ in found]
    largest = np.zeros(sum(counts), bool)
    starts = np.cumsum([0, *counts])
    largest[[start + first for start, (_, first) in zip(starts, found) if first is not None]] = True
    return Contours(
        np.concatenate([np.zeros((0, 4), np.int32), *(boxes for boxes, _ in found)]),
        np.repeat(np.arange(len(found), dtype=np.int32), counts),
        largest,
    )


def _above(scores, rows, columns, threshold):
    """Returns the boxes at one threshold, [n, 4], and which of them is the largest contour's."""
    in_rows, in_columns = (np.flatnonzero(maxima > threshold) for maxima in (rows, columns))
    if not len(in_rows):
        return np.zeros((0, 4), np.int32), None
    # Only the part that holds cells is looked at; at high thresholds it is small.
    y, x = in_rows[0], in_columns[0]
    mask = scores[y : in_rows[-1] + 1, x : in_columns[-1] + 1] > threshold
    labels, count = ndimage.label(mask, EIGHT)
    boxes = _bounds(labels) if count > 1 else np.array([[0, 0, *mask.shape]])
    filled = mask
    if _has_holes(mask, count):
        # Without corners, as background touches background only at sides where cells touch at
        # corners. The first part is the surroundings, the others are holes.
        background, _ = ndimage.label(~np.pad(mask, 1))
        # A cell further on each side, and back to coordinates without the padding.
        boxes = np.concatenate([boxes, _bounds(background)[1:] + [-2, -2, 0, 0]])
        filled = background[1:-1, 1:-1] != 1
    first = 0
    if count > 1:
        first = _largest(labels, count, filled)
    return (boxes + [y, x, y, x]).astype(np.int32), first


def _has_holes(mask, count):
    """Says whether parts enclose background: there are more of them than the Euler number says.

    The number comes from the 2 x 2 windows with one cell, with three and with two on a diagonal,
    (ones - threes - 2 diagonals) / 4, which is quicker than labelling the background.
    """
    cells = np.pad(mask, 1).view(np.int8)
    upper, lower = cells[:-1], cells[1:]
    members = upper[:, :-1] + upper[:, 1:] + lower[:, :-1] + lower[:, 1:]
    diagonals = (members == 2) & (upper[:, :-1] == lower[:, 1:])
    ones, threes = np.count_nonzero(members == 1), np.count_nonzero(members == 3)
    return count > (ones - threes - 2 * np.count_nonzero(diagonals)) // 4


def _bounds(labels):
    """Returns the box of every label from 1 on, [n, 4]."""
    return np.array(
        [
            [rows.start, columns.start, rows.stop, columns.stop]
            for rows, columns in ndimage.find_objects(labels)
        ]
    )


def _largest(labels, count, filled):
    """Returns the index of the part that encloses the largest area; `filled` has no holes."""
    parts = labels
    if filled.sum() > np.count_nonzero(labels):
        parts, count = ndimage.label(filled, EIGHT)
    # Four neighboring centers span a square; three of them half of it.
    corners = [
        parts[rows, columns]
        for rows in (slice(-1), slice(1, None))
        for columns in (slice(-1), slice(1, None))
    ]
    members = sum((corner > 0).view(np.int8) for corner in corners)
    squares, halves = corners[0][members == 4], members == 3
    twice = 2 * np.bincount(squares, minlength=count + 1) + np.bincount(
        np.max([corner[halves] for corner in corners], axis=0), minlength=count + 1
    )
    cells = np.bincount(parts.ravel(), minlength=count + 1)
    best = 1 + np.argmax((twice * (parts.size + 1) + cells)[1:])
    # Filled parts are numbered anew: the first cell of one, never a hole's, has the old number.
    return labels.flat[np.argmax(parts.ravel() == best)] - 1
