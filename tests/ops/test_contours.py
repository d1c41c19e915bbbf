"""Boxes of connected parts: drawn by hand, then against a flood fill cell by cell."""

import numpy as np
import pytest

from drn_jax.ops import boxes, contours


def drawn(*lines):
    """A map with .9 at 'X', .4 at 'o' and 0 elsewhere."""
    return np.array([[{'X': 0.9, 'o': 0.4}.get(cell, 0.0) for cell in line] for line in lines])


def largest_boxes(found, count):
    """The largest contour's box at each of `count` thresholds, 0 where there is none."""
    largest = np.zeros((count, 4), np.int32)
    largest[found.threshold[found.largest]] = found.boxes[found.largest]
    return largest


def by_flood_fill(mask):
    """Boxes of the parts of a mask that touch at sides or corners."""
    left, found = set(zip(*np.nonzero(mask))), []
    while left:
        queue = part = [left.pop()]
        while queue:
            y, x = queue[-1]
            queue = queue[:-1]
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            queue, part = queue + list(near), part + list(near)
        ys, xs = zip(*part)
        found.append((min(ys), min(xs), max(ys) + 1, max(xs) + 1))
    return sorted(found)


def test_parts_touch_at_corners():
    found = contours.contours(drawn('X..X', '.X..', 'o...'), [0.2, 0.5])
    assert found.boxes.tolist() == [[0, 0, 3, 2], [0, 3, 1, 4], [0, 0, 2, 2], [0, 3, 1, 4]]
    assert found.threshold.tolist() == [0, 0, 1, 1]
    assert found.largest.tolist() == [True, False, True, False]


def test_a_hole_has_a_contour_of_the_cells_round_it():
    found = contours.contours(drawn('.......', '.XXXXX.', '.X..XX.', '.XXXXX.'), [0.5])
    assert found.boxes.tolist() == [[1, 1, 4, 6], [1, 1, 4, 5]]
    assert found.largest.tolist() == [True, False]


def test_holes_do_not_open_at_corners_of_the_background():
    # The empty cell is closed in: its neighbors touch each other at corners.
    found = contours.contours(drawn('.X.', 'X.X', '.X.'), [0.5])
    assert found.boxes.tolist() == [[0, 0, 3, 3], [0, 0, 3, 3]]


def test_the_largest_contour_encloses_the_largest_area_with_its_hole():
    # The ring encloses 9 between centers, the block 4.5 though it has as many cells or more.
    ring = drawn('XXXX.....', 'X..X.XXXX', 'X..X.XXXX', 'XXXX.XXX.')
    found = contours.contours(ring, [0.5])
    assert found.boxes.tolist() == [[0, 0, 4, 4], [1, 5, 4, 9], [0, 0, 4, 4]]
    assert found.largest.tolist() == [True, False, False]


def test_a_block_within_a_ring_is_not_the_largest():
    found = contours.contours(
        drawn('X.......', '..XXXXXX', '..X....X', '..X.XX.X', '..X....X', '..XXXXXX'), [0.5]
    )
    assert found.boxes[found.largest].tolist() == [[1, 2, 6, 8]]
    assert sorted(found.boxes.tolist()) == [[0, 0, 1, 1], [1, 2, 6, 8], [1, 2, 6, 8], [3, 4, 4, 6]]


def test_of_lines_without_area_the_one_with_more_cells_is_the_largest():
    found = contours.contours(drawn('X.XXX', '.....', 'X.XXX'), [0.5])
    assert found.boxes[found.largest].tolist() == [[0, 2, 1, 5]]


def test_nothing_above_a_threshold_gives_no_row():
    found = contours.contours(drawn('o.'), [0.3, 0.4, 0.9])
    assert found.threshold.tolist() == [0]
    assert largest_boxes(found, 3).tolist() == [[0, 0, 1, 1], [0] * 4, [0] * 4]
    assert contours.contours(np.zeros((3, 3)), [0.5]).boxes.shape == (0, 4)


@pytest.mark.parametrize('seed', range(3))
def test_parts_equal_a_flood_fill_at_every_threshold(seed):
    scores = np.random.default_rng(seed).uniform(size=(13, 9)).astype(np.float32)
    thresholds = [-1, *np.linspace(0, 1, 21)]
    found = contours.contours(scores, thresholds)
    largest = largest_boxes(found, len(thresholds))
    for index, threshold in enumerate(thresholds):
        here = {tuple(box) for box in found.boxes[found.threshold == index].tolist()}
        parts = set(by_flood_fill(scores > threshold))
        assert parts <= here
        if not parts:
            assert not here and not largest[index].any()
        else:
            assert tuple(largest[index]) in parts
            assert found.largest[found.threshold == index].sum() == 1
            y, x = np.nonzero(scores > threshold)
            assert (found.boxes[found.threshold == index].min(0)[:2] == [y.min(), x.min()]).all()


def test_boxes_of_one_part_equal_those_of_the_maxima():
    y, x = np.mgrid[:20, :30]
    scores = np.exp(-((y - 8.0) ** 2) / 20 - (x - 11.0) ** 2 / 60).astype(np.float32)
    thresholds = np.linspace(0.05, 0.95, 19).astype('f4')
    cells, _ = boxes.cell_boxes(scores.max(1), scores.max(0), thresholds)
    found = contours.contours(scores, thresholds)
    np.testing.assert_array_equal(largest_boxes(found, 19), cells)


def test_scaled_map_by_hand():
    # Centers of two cells of 4 pixels lie at 1.5 and 5.5.
    found = contours.scaled_map(np.array([[2.0, 6.0]]), 2, 8, stride=4)
    np.testing.assert_allclose(found, [[0, 0, 0.125, 0.375, 0.625, 0.875, 1, 1]] * 2)
    assert found.dtype == np.float32


def test_maps_that_cannot_be_scaled_are_empty():
    for value in (0.1, np.nan, np.inf):
        scores = np.full((3, 3), 0.1)
        scores[0, 0] = value
        assert not contours.scaled_map(scores, 21, 24).any()


def test_cells_must_cover_the_input():
    with pytest.raises(ValueError, match='2 x 3 cells of 8 pixels do not cover .* 17 x 24'):
        contours.scaled_map(np.zeros((2, 3)), 17, 24)
