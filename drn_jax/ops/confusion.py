"""Counting which class was taken for which, in whole numbers."""

import jax
import jax.numpy as jnp
import numpy as np

from drn_jax.cityscapes import IGNORE_LABEL

_CHUNK = 1 << 16  # pixels whose classes are written out as vectors at a time


def confusion_matrix(labels: jax.Array, predictions: jax.Array, classes: int) -> jax.Array:
    """Counts the pixels of every class by the class that was predicted for them.

    The counts are products of one-hot vectors, which all accelerators compute fast and, below
    2^24 pixels, exactly.

    Args:
        labels: the right classes, uint8 or int32 [B, ...]; pixels of 255 do not count.
        predictions: the predicted classes, of the shape of `labels`, below `classes`.
        classes: number of classes C, at most 255.

    Returns:
        int32 [C, C]: in row i and column j, the pixels of class i for which j was predicted.

    Example:
        >>> labels, predictions = jnp.array([[0, 0, 1, 255]]), jnp.array([[0, 1, 1, 1]])
        >>> confusion_matrix(labels, predictions, 2).tolist()
        [[1, 1], [0, 1]]
    """

    def of_image(labels, predictions):
        labels, predictions = (
            jnp.pad(each.ravel(), (0, -each.size % chunk), constant_values=IGNORE_LABEL).reshape(
                -1, chunk
            )
            for each in (labels, predictions)
        )

        def add(sums, pixels):
            # A label of 255 is no class, so its vector is zero.
            right, predicted = (jax.nn.one_hot(each, classes) for each in pixels)
            return sums + jnp.dot(right.T, predicted).astype(jnp.int32), None

        sums = jnp.zeros((classes, classes), jnp.int32)
        return jax.lax.scan(add, sums, (labels, predictions))[0]

    chunk = min(_CHUNK, max(labels[0].size, 1))
    return jax.vmap(of_image)(labels, predictions).sum(0, dtype=jnp.int32)


def iou(confusion: np.ndarray) -> np.ndarray:
    """Returns the intersection over union of every class, not a number where it has no pixels.

    IoU of class c = confusion[c, c] / (row c + column c - confusion[c, c]).

    Args:
        confusion: NumPy array of numbers, [..., C, C], see `confusion_matrix`.

    Returns:
        NumPy array, float64 [..., C], in [0, 1] or nan.

    Example:
        >>> iou(np.array([[2, 1, 0], [0, 3, 0], [0, 0, 0]])).tolist()
        [0.6666666666666666, 0.75, nan]

    Source: Everingham et al., The Pascal visual object classes challenge, 2015, section 4.
    """
    right = np.diagonal(confusion, axis1=-2, axis2=-1)
    union = confusion.sum(-2) + confusion.sum(-1) - right
    return np.divide(right, union, out=np.full(right.shape, np.nan), where=union > 0)
