"""Boxes by hand, their properties, and against plain loops over cells."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from drn_jax.ops import boxes

THRESHOLDS = np.r_[-1, 0, np.linspace(0.05, 0.95, 19), 1 - 10.0 ** -np.arange(2, 7), 1].astype('f4')


def responses_by_loop(maps, c):
    """Softmax response of class c where no class scores higher, cell by cell."""
    responses = np.zeros(maps.shape[:2], np.float32)
    for y, x in itertools.product(*map(range, responses.shape)):
        scores = maps[y, x].astype(np.float64)
        if scores[c] == scores.max():
            responses[y, x] = 1 / np.exp(scores - scores[c]).sum()
    return responses


def scaled_by_loop(maps, c):
    scores = maps[..., c].astype(np.float64)
    return (scores - scores.min()) / max(scores.max() - scores.min(), 1e-30)


def box_by_loop(responses, threshold):
    """Tightest box round all cells above the threshold, cell by cell."""
    cells = [
        (y, x)
        for y, x in itertools.product(*map(range, responses.shape))
        if responses[y, x] > threshold
    ]
    if not cells:
        return [0, 0, 0, 0]
    ys, xs = zip(*cells)
    return [min(ys), min(xs), max(ys) + 1, max(xs) + 1]


def random_maps(spread, seed=0):
    """Scores of 2 images, 7 x 5 cells and 4 classes, with a tie, a flat map and a single cell."""
    maps = np.random.default_rng(seed).normal(0, spread, (2, 7, 5, 4)).astype(np.float32)
    maps[0, 3, 2, :3] = maps[0, 3, 2].max() + 1  # classes 0 to 2 tie
    maps[1, :, :, 3] = maps[1].min() - 50  # class 3 dominates nowhere, then in one cell
    maps[1, 6, 0, 3] = 60
    maps[0, :, :, 3] = -9  # flat
    return maps


def test_dominant_responses_by_hand():
    # Softmax of the cells: (.5 .3 .2) (.1 .6 .3) / (.4 .4 .2) (.2 .1 .7); classes 0 and 1 tie.
    maps = jnp.log(
        jnp.array([[[0.5, 0.3, 0.2], [0.1, 0.6, 0.3]], [[0.4, 0.4, 0.2], [0.2, 0.1, 0.7]]])
    )[None]
    rows, columns = boxes.argmax_row_col_maxima(maps, jnp.array([[0, 1, 2]]))
    np.testing.assert_allclose(rows[0], [[0.5, 0.4], [0.6, 0.4], [0, 0.7]], rtol=1e-6)
    np.testing.assert_allclose(columns[0], [[0.5, 0], [0.4, 0.6], [0, 0.7]], rtol=1e-6)


def test_boxes_by_hand():
    rows, columns = jnp.array([0.5, 0.4]), jnp.array([0.5, 0])
    cells, found = boxes.cell_boxes(rows, columns, jnp.array([0.0, 0.4, 0.45, 0.5]))
    assert cells.tolist() == [[0, 0, 2, 1], [0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 0, 0]]
    assert found.tolist() == [True, True, True, False]
    assert cells.dtype == jnp.int32


@pytest.mark.parametrize('spread', [0.5, 3, 30])
@pytest.mark.parametrize(
    'row_col_maxima, by_loop',
    [
        (boxes.argmax_row_col_maxima, responses_by_loop),
        (boxes.minmax_row_col_maxima, scaled_by_loop),
    ],
)
def test_boxes_equal_a_loop_for_every_threshold(row_col_maxima, by_loop, spread):
    maps, classes = random_maps(spread), np.array([[0, 1, 2, 3, 3], [3, 2, 0, 1, 1]])
    rows, columns = jax.jit(row_col_maxima)(maps, classes)
    cells, found = jax.jit(boxes.cell_boxes)(rows, columns, THRESHOLDS)
    assert cells.shape == (2, 5, len(THRESHOLDS), 4) and found.shape == cells.shape[:-1]
    for b, k in np.ndindex(2, 5):
        responses = by_loop(maps[b], classes[b, k])
        np.testing.assert_allclose(rows[b, k], responses.max(1), atol=1e-6)
        np.testing.assert_allclose(columns[b, k], responses.max(0), atol=1e-6)
        # A rounded response must not fall on the other side of a threshold than the exact one.
        gap = np.abs(responses[None] - THRESHOLDS[:, None, None]).min((1, 2))
        for t in np.flatnonzero((gap > 1e-6) | (gap == 0)):
            assert cells[b, k, t].tolist() == box_by_loop(responses, THRESHOLDS[t])
            assert found[b, k, t] == any(cells[b, k, t].tolist())


def test_classes_that_dominate_nowhere_have_no_box():
    maps = jnp.array([2.0, 1.0]).reshape(1, 1, 1, 2)
    cells, found = boxes.cell_boxes(
        *boxes.argmax_row_col_maxima(maps, jnp.array([[1]])), jnp.array([0.0])
    )
    assert cells.tolist() == [[[[0, 0, 0, 0]]]] and not found.any()


@pytest.mark.parametrize('bad', [np.nan, np.inf])
def test_scores_that_are_no_numbers_give_empty_cells(bad):
    maps = np.zeros((1, 2, 2, 2), np.float32)
    maps[0, 0, 0, 1] = bad
    rows, columns = boxes.argmax_row_col_maxima(jnp.array(maps), jnp.array([[0, 1]]))
    np.testing.assert_array_equal(rows[0], [[0.5, 0.5], [0.5, 0.5]])
    maps[0, 0, 1] = bad
    rows, columns = boxes.argmax_row_col_maxima(jnp.array(maps), jnp.array([[0, 1]]))
    np.testing.assert_array_equal(rows[0], [[0, 0.5], [0, 0.5]])
    assert not boxes.minmax_row_col_maxima(jnp.array(maps), jnp.array([[0, 1]]))[0].any()


def test_saturated_responses_keep_their_distance_from_one():
    # One of ten classes leads by 16: 9 e^-16 / (1 + 9 e^-16) = 1.0128e-6.
    maps = jnp.zeros((8, 12, 12, 10)).at[..., 7].set(16.0)
    rows, _ = boxes.argmax_row_col_maxima(maps, jnp.full((8, 1), 7))
    np.testing.assert_allclose(1 - rows, 1.0128e-6, atol=2e-7)


def test_raising_the_threshold_never_grows_a_box():
    rows, columns = boxes.minmax_row_col_maxima(random_maps(3), np.array([[0, 1], [2, 0]]))
    cells, _ = boxes.cell_boxes(rows, columns, np.linspace(0, 0.99, 50, dtype='f4'))
    assert (np.diff(cells[..., :2], axis=2) >= 0).all()
    assert (np.diff(cells[..., 2:], axis=2) <= 0).all()


def test_cells_in_pixels_by_hand():
    # 100 x 300 pixels resized to 50 x 75: an input pixel is 2 rows and 4 columns of the image.
    geometry = jnp.array([[100, 300, 50, 75, 0, 0], [100, 300, 50, 75, 9, 21]])
    cells = jnp.array([[1, 2, 3, 4]] * 2)
    assert boxes.image_boxes(cells, 8, geometry).tolist() == [
        [16, 64, 48, 128],  # 8 16 24 32 input pixels
        [(8 + 9) * 2, (16 + 21) * 4, (24 + 9) * 2, (32 + 21) * 4],
    ]


def test_boxes_are_clipped_to_the_image():
    geometry = jnp.array([[30, 33, 30, 33, 0, 0]])  # 5 x 5 cells of 8 reach to 40
    assert boxes.image_boxes(jnp.array([[0, 0, 5, 5]]), 8, geometry).tolist() == [[0, 0, 30, 33]]
    padded = jnp.array([[30, 33, 30, 33, -5, -5]])  # the input starts 5 pixels outside
    assert boxes.image_boxes(jnp.array([[0, 0, 2, 2]]), 8, padded).tolist() == [[0, 0, 11, 11]]


def test_empty_boxes_stay_empty():
    geometry = jnp.array([[100, 100, 50, 50, 9, 9]])
    assert not boxes.image_boxes(jnp.zeros((1, 3, 2, 4), jnp.int32), 8, geometry).any()


def test_every_image_has_its_own_geometry():
    geometry = np.array([[64, 64, 32, 32, 0, 0], [16, 16, 32, 32, 0, 0]])
    cells = jnp.ones((2, 3, 5, 4)) * jnp.array([0, 0, 2, 2])
    pixels = boxes.image_boxes(cells, 8, geometry)
    assert pixels.shape == (2, 3, 5, 4)
    assert pixels[0, 1, 1].tolist() == [0, 0, 32, 32] and pixels[1, 1, 1].tolist() == [0, 0, 8, 8]


IOUS = [
    ([0, 0, 2, 2], [0, 0, 2, 2], 1),
    ([0, 0, 2, 2], [1, 1, 3, 3], 1 / 7),
    ([0, 0, 4, 4], [1, 1, 3, 3], 1 / 4),
    ([0, 0, 2, 2], [2, 0, 4, 2], 0),
    ([0, 0, 2, 2], [5, 5, 6, 6], 0),
    ([1, 1, 1, 3], [0, 0, 4, 4], 0),
    ([0, 0, 0, 0], [0, 0, 0, 0], 0),
    ([3, 3, 1, 1], [0, 0, 4, 4], 0),
]


@pytest.mark.parametrize('a, b, wanted', IOUS)
def test_overlap_by_hand(a, b, wanted):
    for first, second in ((a, b), (b, a)):
        for array in (np.array, jnp.array):
            found = boxes.iou(array(first), array(second))
            np.testing.assert_allclose(found, wanted, rtol=1e-6)
            assert found.dtype == np.float32


def test_overlap_of_all_pairs_and_of_host_arrays():
    a, b = (np.array(side) for side in list(zip(*IOUS))[:2])
    pairs = boxes.iou(a[:, None], b)
    assert isinstance(pairs, np.ndarray) and pairs.shape == (8, 8)
    np.testing.assert_allclose(np.diag(pairs), [wanted for *_, wanted in IOUS], rtol=1e-6)
    np.testing.assert_allclose(jax.jit(boxes.iou)(a[:, None], b), pairs, rtol=1e-6)


def test_bad_shapes_are_named():
    maps = jnp.zeros((2, 3, 3, 4))
    with pytest.raises(ValueError, match=r'maps \(2, 3, 3, 4\) and classes \(2,\) do not fit'):
        boxes.argmax_row_col_maxima(maps, jnp.array([0, 1]))
    with pytest.raises(ValueError, match=r'classes \(1, 1\) do not fit; give \[B, h, w, C\]'):
        boxes.minmax_row_col_maxima(maps, jnp.array([[0]]))
    with pytest.raises(ValueError, match=r'geometry \(2, 4\) do not fit; give .* \[B, 6\]'):
        boxes.image_boxes(jnp.zeros((2, 4)), 8, jnp.zeros((2, 4)))
