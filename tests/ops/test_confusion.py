"""Confusion matrices: by hand, against a loop, and beyond the numbers that a float32 counts."""

import jax.numpy as jnp
import numpy as np
import pytest

from drn_jax.ops import confusion


def test_a_matrix_by_hand():
    labels = jnp.array([[[0, 0], [1, 255]], [[2, 2], [2, 0]]], jnp.uint8)
    predictions = jnp.array([[[0, 1], [1, 1]], [[2, 0], [2, 0]]], jnp.uint8)
    assert confusion.confusion_matrix(labels, predictions, 3).tolist() == [
        [2, 1, 0],
        [0, 1, 0],
        [1, 0, 2],
    ]


@pytest.mark.parametrize('shape', [(3, 5, 7), (1, 300, 301), (2, 1, 1), (1, 1)])
def test_a_matrix_equals_a_loop(shape):
    rng = np.random.default_rng(0)
    labels = rng.choice([*range(6), 255], shape).astype(np.uint8)
    predictions = rng.integers(0, 6, shape).astype(np.uint8)
    wanted = np.zeros((6, 6), int)
    for label, prediction in zip(labels.ravel(), predictions.ravel()):
        if label != 255:
            wanted[label, prediction] += 1
    found = confusion.confusion_matrix(jnp.asarray(labels), jnp.asarray(predictions), 6)
    assert found.dtype == jnp.int32 and (np.asarray(found) == wanted).all()


def test_more_pixels_than_a_float32_can_count_one_by_one():
    labels = jnp.zeros((2, 4096, 2200), jnp.uint8)  # 18,022,400 pixels, 2^24 is 16,777,216
    assert confusion.confusion_matrix(labels, labels, 2).tolist() == [[18_022_400, 0], [0, 0]]


def test_iou_leaves_out_classes_without_pixels():
    matrix = np.array([[3, 1, 0, 0], [2, 4, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]])
    found = confusion.iou(matrix)
    np.testing.assert_allclose(found, [3 / 7, 4 / 7, np.nan, 0])
