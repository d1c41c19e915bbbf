"""What is read off class scores: the rank of a class, and its score scaled to [0, 1]."""

from types import ModuleType
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np

Array = TypeVar('Array', jax.Array, np.ndarray)


def label_rank(scores: jax.Array, labels: jax.Array) -> jax.Array:
    """Returns the rank of the right class among the scores of all classes; 1 is the best.

    A class that scores as high as the right one counts as placed before it, and so does a score
    that is not a number, so a network that answers nothing gets nothing right.

    Args:
        scores: [B, C], float32.
        labels: the right classes, [B], int32 in [0, C).

    Returns:
        [B], int32 in [1, C].

    Example:
        >>> label_rank(jnp.array([[3., 1., 2.], [1., 1., 0.]]), jnp.array([2, 0])).tolist()
        [2, 2]
    """
    of_label = jnp.take_along_axis(scores, labels[:, None], axis=-1)
    return (~(scores < of_label)).sum(-1)


def minmax_scale(scores: Array, axis: int | tuple[int, ...] | None = None) -> Array:
    """Scales maps of scores to [0, 1]: (scores - min) / (max - min).

    Args:
        scores: a float type, a NumPy or JAX array of any shape.
        axis: the axes of one map, int or tuple; None: all.

    Returns:
        An array like `scores`; a map is all 0 where its scores are all the same or one of them is
        not finite.

    Example:
        >>> minmax_scale(jnp.array([[1., 2., 5.], [0., 1., jnp.nan]]), axis=1).tolist()
        [[0.0, 0.25, 1.0], [0.0, 0.0, 0.0]]

    Source: Choe et al., Evaluating Weakly Supervised Object Localization Methods Right, 2020.
    """
    xp: ModuleType = np if isinstance(scores, np.ndarray) else jnp
    with np.errstate(invalid='ignore', over='ignore'):  # of maps that become all 0
        low, high = (reduce(scores, axis, keepdims=True) for reduce in (xp.min, xp.max))
        size = high - low
        varies = (high > low) & xp.isfinite(size)
    scaled = (scores - xp.where(varies, low, 0)) / xp.where(varies, size, 1)
    return xp.where(varies, scaled, 0)
