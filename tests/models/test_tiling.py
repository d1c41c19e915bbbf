"""Tiled class maps equal those of the whole image."""

import jax
import numpy as np
import pytest
from models import fills

import drn_jax
from drn_jax.models import tiling


@pytest.mark.parametrize(
    'variant, halo', [('drn_c_26', 296), ('drn_d_22', 264), ('resnet_18', 224), ('drn_d_105', 536)]
)
def test_the_halo_is_half_the_receptive_field(variant, halo):
    assert tiling.halo_px(drn_jax.create_model(variant)) == halo


@pytest.mark.parametrize(
    'variant, size',
    [
        ('drn_a_18', (603, 520)),  # neither a multiple of the stride nor of the tile
        ('drn_d_22', (640, 72)),  # narrower than a tile and its halo
        ('resnet_18', (700, 64)),
    ],
)
def test_tiles_equal_the_whole_image(variant, size):
    model = drn_jax.create_model(variant, num_classes=5, task='segmentation', width=0.0625)
    variables = fills.random_variables(model)
    images = jax.random.normal(jax.random.key(0), (2, *size, 3))
    whole = jax.jit(model.apply)(variables, images)
    tiled = jax.jit(tiling.tiled_class_maps, static_argnums=(0, 3))(model, variables, images, 64)
    assert np.asarray(whole).std() > 0.01
    np.testing.assert_allclose(tiled, whole, atol=1e-5 * np.asarray(whole).std())


def test_all_windows_lie_inside_and_see_their_halo():
    for length in range(1, 200):
        starts, window = tiling._cuts(length, tile=16, halo=24, stride=8)
        for number, start in enumerate(starts):
            first, last = 16 * number, min(16 * number + 16, length)
            assert start % 8 == 0 and 0 <= start and start + window <= length
            assert start == 0 or first - start >= 24
            assert start + window == length or start + window - last >= 24


def test_a_tile_that_is_no_multiple_of_the_stride_is_named():
    model = drn_jax.create_model('drn_c_26')
    with pytest.raises(ValueError, match='tiles of 100 pixels .* multiple of the stride .* 8'):
        tiling.tiled_class_maps(model, {}, np.zeros((1, 64, 64, 3)), 100)
