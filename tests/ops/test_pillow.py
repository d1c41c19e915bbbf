"""Pillow's filter as matrices, against Pillow; the best class, against the scripts of papers."""

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from support import street_scripts

from drn_jax.ops import pillow

SIZES = [((32, 64), (128, 256)), ((32, 32), (128, 256)), ((24, 40), (24, 40)), ((7, 30), (20, 11)),
         ((64, 48), (13, 12)), ((5, 9), (17, 17))]  # fmt: skip


def axes(size, scored, stride=8):
    """The axes of rows and columns for an image of a size."""
    return [pillow.axis(-(-n // stride), stride, n, m) for n, m in zip(size, scored)]


@pytest.mark.parametrize('size, wanted', SIZES)
def test_the_filter_is_pillows_to_the_last_digit(size, wanted):
    scores = np.random.default_rng(0).standard_normal(size).astype(np.float32)
    right = np.asarray(Image.fromarray(scores).resize(wanted[::-1], Image.BILINEAR))
    rows, columns = map(pillow.bilinear_matrix, wanted, size)
    for along, matrix in ((1, columns), (0, rows)):
        scores = np.moveaxis(scores, along, 0).astype(np.float64)
        total = np.zeros((len(matrix), *scores.shape[1:]))
        for cell, value in enumerate(scores):
            total += np.multiply.outer(matrix[:, cell], value)
        scores = np.moveaxis(total.astype(np.float32), 0, along)
    np.testing.assert_array_equal(scores, right)


@pytest.mark.parametrize('size, scored', [((32, 64), (128, 256)), ((32, 32), (128, 256)),
                                          ((40, 64), (24, 40))])  # fmt: skip
def test_two_products_give_the_scores_of_the_script_to_a_millionth(size, scored):
    maps = np.random.default_rng(1).standard_normal((size[0] // 8, size[1] // 8, 3))
    maps = maps.astype(np.float32)
    right = street_scripts.resize_scores(street_scripts.enlarge(maps), scored)
    rows, columns = (axis.weights for axis in axes(size, scored))
    found = np.einsum('yh,hwc,xw->yxc', rows, maps, columns)
    assert abs(found - right).max() < 1e-6


def test_labels_are_those_of_the_script_where_scores_are_equal_or_close():
    rng = np.random.default_rng(2)
    maps = rng.integers(-2, 3, (2, 4, 8, 19)).astype(np.float32)  # many ties
    maps[1] += rng.standard_normal(maps[1].shape).astype(np.float32) * 1e-6
    size, scored = (32, 64), (128, 256)
    rows, columns = axes(size, scored)
    labels, close = map(
        np.array, pillow.best_classes(jnp.asarray(maps), rows.weights, columns.weights)
    )
    assert close.any((1, 2)).all()
    for image, label, unsure in zip(maps, labels, close):
        right = street_scripts.label_map([image], scored)
        assert (label == right)[~unsure].all()
        y, x = np.nonzero(unsure)
        label[y, x] = pillow.exact_classes(image[None], y, x, rows, columns)
        np.testing.assert_array_equal(label, right)


def test_what_is_close_is_what_rounding_can_turn():
    maps = jnp.array([[3.0, 1, 3 - 2e-5], [3, 3 - 2e-6, 0]]).reshape(1, 1, 2, 3)
    one = pillow.axis(1, 1, 1, 1).weights, pillow.axis(2, 1, 2, 2).weights
    labels, close = pillow.best_classes(maps, *one)
    assert labels.tolist() == [[[0, 0]]] and close.tolist() == [[[True, True]]]
    labels, close = pillow.best_classes(maps.at[0, 0, 0, 2].add(-1e-3), *one)
    assert close.tolist() == [[[False, True]]]
