"""Ranks and scaling: by hand, and what has no number."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from drn_jax.ops.scores import label_rank, minmax_scale


def test_ties_and_what_is_no_number_count_before_the_label():
    scores = jnp.array([[3.0, 2.0, 1.0], [2.0, 2.0, 2.0], [jnp.nan, 5.0, 1.0], [jnp.nan] * 3])
    assert label_rank(scores, jnp.array([1, 0, 1, 2])).tolist() == [2, 3, 2, 3]


@pytest.mark.parametrize('xp', [np, jnp])
def test_every_map_is_scaled_by_itself(xp):
    scaled = minmax_scale(xp.asarray([[[1.0, 3.0]], [[-2.0, 6.0]]], dtype=xp.float32), (1, 2))
    assert isinstance(scaled, np.ndarray if xp is np else jax.Array)
    assert scaled.tolist() == [[[0, 1]], [[0, 1]]] and scaled.dtype == xp.float32


@pytest.mark.parametrize('xp', [np, jnp])
@pytest.mark.parametrize(
    'scores',
    [[0.1, 0.1], [np.nan, 1], [0, np.inf], [0, -np.inf], [np.inf, np.inf], [-3e38, 3e38]],
)
def test_maps_without_a_finite_range_are_empty(scores, xp):
    scaled = minmax_scale(xp.asarray(scores, dtype=xp.float32))
    assert scaled.tolist() == [0, 0]
