"""The gridding score of maps whose answer is known, and its properties."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from drn_jax.ops import gridding

SIZES = [(8, 8), (12, 12), (28, 28), (9, 15), (11, 30)]


def score(array, period):
    """Score of one map."""
    return float(gridding.gridding_score(jnp.asarray(array)[None, :, :, None], period)[0])


def grid_fraction(height, width, period):
    """How many of the frequencies, but for the mean, lie near the grid's."""
    near, low = [], []
    for size in (height // period * period, width // period * period):
        k = np.arange(size)
        k = np.minimum(k, size - k)
        near.append((4 * np.abs(k * period - np.round(k * period / size) * size) < size).sum())
        low.append((4 * period * k < size).sum())
    cells = (height // period * period) * (width // period * period)
    return (np.prod(near) - np.prod(low)) / (cells - 1)


def board(height, width):
    return np.indices((height, width)).sum(0) % 2.0


@pytest.mark.parametrize('height, width', SIZES)
def test_grids_score_one(height, width):
    y, x = np.indices((height, width))
    for grid in (board(height, width), y % 2, x % 2, (y % 2) * (x % 2)):
        for period in (2, 4):
            assert score(5 + 3.0 * grid, period) == pytest.approx(1, abs=1e-5)
    dots = (y % 4 == 1) & (x % 4 == 2)
    assert score(dots * 1.0, 4) == pytest.approx(1, abs=1e-5)


def test_a_grid_of_dots_by_hand():
    # 1 at every 4th cell of both axes has equal energy at the 16 multiples of 1/4; 15 are not the
    # mean, and 3 of them are multiples of 1/2, all that period 2 sees but for the small slope that
    # dots leave in the means of 2 x 2 cells.
    y, x = np.indices((16, 16))
    assert score((y % 4 == 0) * (x % 4 == 0) * 1.0, 2) == pytest.approx(3 / 15, abs=0.01)


@pytest.mark.parametrize('height, width', SIZES)
def test_flat_maps_and_slopes_score_zero(height, width):
    y, x = np.indices((height, width))
    for period in (2, 4):
        assert score(np.full((height, width), 0.3), period) == 0
        assert score(np.zeros((height, width)), period) == 0
        assert score(7 + 2.0 * y - x, period) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize('height, width, most', [(12, 12, 0.01), (28, 28, 0.003)])
def test_smooth_maps_score_almost_zero(height, width, most):
    y, x = ((np.arange(size) + 0.5) / size for size in (height, width))
    wave = np.cos(np.pi * y)[:, None] * np.ones(width)
    blob = np.exp(-((y - 0.5)[:, None] ** 2) / 0.08 - (x - 0.6) ** 2 / 0.08)
    for smooth in (wave, blob):
        assert 0 <= score(smooth, 2) < most
        assert 0 <= score(smooth, 4) < 4 * most


def test_waves_between_grid_frequencies_score_zero():
    # 7 waves in 24 cells: 7/24 is 1/24 from 1/4, within 1/16; 9/24 is 3/24 from both 1/4 and 1/2.
    x = np.arange(24)
    near, between = (np.cos(2 * np.pi * k * x / 24) * np.ones((24, 1)) for k in (7, 9))
    assert score(near, 4) > 0.97 and score(near, 2) < 0.01
    assert score(between, 4) < 0.01 and score(between, 2) < 0.01


@pytest.mark.parametrize('height, width', SIZES)
def test_white_noise_scores_its_fraction_of_the_frequencies(height, width):
    noise = jax.random.normal(jax.random.key(0), (2, height, width, 2000))
    for period in (2, 4):
        if gridding.applicable(height, width, period):
            np.testing.assert_allclose(
                gridding.gridding_score(noise, period),
                grid_fraction(height, width, period),
                rtol=0.06,
            )


def test_score_equals_the_fourier_transform():
    maps = np.random.default_rng(0).normal(size=(2, 12, 20, 3))
    maps -= np.asarray(gridding._plane(jnp.asarray(maps - maps.mean((1, 2), keepdims=True)), 2))
    power = np.abs(np.fft.fft2(maps, axes=(1, 2))) ** 2
    power[:, 0, 0] = 0
    u, v = (np.abs(np.fft.fftfreq(size)) for size in (12, 20))
    low_u, low_v = u < 1 / 8, v < 1 / 8
    near = (low_u | (u > 3 / 8))[:, None] & (low_v | (v > 3 / 8)) & ~(low_u[:, None] & low_v)
    wanted = power[:, near].sum((1, 2)) / power.sum((1, 2, 3))
    np.testing.assert_allclose(gridding.gridding_score(jnp.asarray(maps), 2), wanted, rtol=1e-4)


def test_a_grid_on_one_object_is_seen():
    y, x = np.indices((28, 28))
    blob = np.exp(-((y - 9.0) ** 2 + (x - 15.0) ** 2) / 18)
    smooth, gridded = score(blob, 2), score(blob * (1 + 0.5 * board(28, 28)), 2)
    assert smooth < 0.002 and gridded > 0.03


def test_score_is_the_same_for_other_scales_and_offsets():
    maps = jax.random.normal(jax.random.key(1), (3, 12, 12, 5))
    found = gridding.gridding_score(maps, 4)
    np.testing.assert_allclose(gridding.gridding_score(100 * maps + 7, 4), found, rtol=1e-3)


def test_dead_channels_count_nothing_and_images_stand_alone():
    maps = jax.random.normal(jax.random.key(1), (3, 12, 12, 5))
    found = jax.jit(gridding.gridding_score, static_argnums=1)(maps, 2)
    dead = jnp.concatenate([maps, jnp.full((3, 12, 12, 4), 0.7)], -1)
    np.testing.assert_allclose(gridding.gridding_score(dead, 2), found, rtol=1e-5)
    np.testing.assert_allclose(gridding.gridding_score(maps[1:2], 2), found[1:2], rtol=1e-5)
    assert found.dtype == jnp.float32
    assert gridding.gridding_score(maps.astype(jnp.bfloat16), 2).dtype == jnp.float32


@pytest.mark.parametrize('height, width, period', [(7, 28, 4), (28, 7, 4), (3, 3, 2), (28, 28, 1)])
def test_not_applicable_is_nan(height, width, period):
    assert not gridding.applicable(height, width, period)
    found = gridding.gridding_score(jnp.ones((2, height, width, 3)), period)
    assert found.shape == (2,) and np.isnan(found).all()


def test_bad_input_is_named():
    with pytest.raises(ValueError, match='period 0 must be at least 1 cell'):
        gridding.gridding_score(jnp.ones((1, 8, 8, 1)), 0)
    with pytest.raises(ValueError, match=r'maps \(8, 8, 1\) must be \[B, h, w, C\]'):
        gridding.gridding_score(jnp.ones((8, 8, 1)), 2)
