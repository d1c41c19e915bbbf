"""Upsampling: by hand, against JAX's own resizing, and its limits."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from drn_jax.errors import InputError
from drn_jax.ops import resize


def test_fading_edges_by_hand():
    # Half-pixel centres at 3.5 and 11.5; the release's outer weights are .5625 .6875 .8125 .9375.
    found = resize.upsample(jnp.ones((1, 1, 2, 1)), 1, 16, edges='fade')[0, 0, :, 0]
    outer = np.array([.5625, .6875, .8125, .9375])
    rows = .5625  # one row of pixels, the outermost
    np.testing.assert_allclose(found, rows * np.r_[outer, np.ones(8), outer[::-1]], rtol=1e-6)


def test_whole_multiples_equal_bilinear_resizing():
    maps = jax.random.normal(jax.random.key(0), (2, 5, 7, 3))
    np.testing.assert_allclose(resize.upsample(maps, 40, 56),
                               jax.image.resize(maps, (2, 40, 56, 3), 'bilinear'), atol=1e-5)


def test_other_sizes_are_cut_off():
    maps = jax.random.normal(jax.random.key(0), (1, 5, 7, 3))
    for edges in resize.EDGES:
        np.testing.assert_allclose(resize.upsample(maps, 35, 50, edges=edges),
                                   resize.upsample(maps, 40, 56, edges=edges)[:, :35, :50])


def test_both_edges_have_the_same_largest_class():
    maps = jax.random.normal(jax.random.key(1), (1, 6, 6, 9))
    extended, faded = (resize.upsample(maps, 48, 48, edges=edges) for edges in resize.EDGES)
    np.testing.assert_array_equal(extended.argmax(-1), faded.argmax(-1))


def test_bad_sizes_and_edges_are_named():
    maps = jnp.zeros((1, 5, 7, 3))
    with pytest.raises(InputError, match='5 x 7 cells of 8 pixels do not cover .* 41 x 56'):
        resize.upsample(maps, 41, 56)
    with pytest.raises(InputError, match="edges 'wrap' is unknown; known: extend, fade"):
        resize.upsample(maps, 40, 56, edges='wrap')
