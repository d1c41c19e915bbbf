"""Upsampling: by hand, against JAX's own resizing, and its limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from drn_jax.ops import resize


def test_fading_edges_by_hand():
    # Half-pixel centers at 3.5 and 11.5; the release's outer weights are .5625 .6875 .8125 .9375.
    found = resize.upsample(jnp.ones((1, 1, 2, 1)), 1, 16, border='fade')[0, 0, :, 0]
    outer = np.array([0.5625, 0.6875, 0.8125, 0.9375])
    rows = 0.5625  # one row of pixels, the outermost
    np.testing.assert_allclose(found, rows * np.r_[outer, np.ones(8), outer[::-1]], rtol=1e-6)


def test_whole_multiples_equal_bilinear_resizing():
    maps = jax.random.normal(jax.random.key(0), (2, 5, 7, 3))
    np.testing.assert_allclose(
        resize.upsample(maps, 40, 56), jax.image.resize(maps, (2, 40, 56, 3), 'bilinear'), atol=1e-5
    )


def test_other_sizes_are_cut_off():
    maps = jax.random.normal(jax.random.key(0), (1, 5, 7, 3))
    for border in resize.BORDERS:
        np.testing.assert_allclose(
            resize.upsample(maps, 35, 50, border=border),
            resize.upsample(maps, 40, 56, border=border)[:, :35, :50],
        )


def test_both_edges_have_the_same_largest_class():
    maps = jax.random.normal(jax.random.key(1), (1, 6, 6, 9))
    extended, faded = (resize.upsample(maps, 48, 48, border=border) for border in resize.BORDERS)
    np.testing.assert_array_equal(extended.argmax(-1), faded.argmax(-1))


def test_bad_sizes_and_edges_are_named():
    maps = jnp.zeros((1, 5, 7, 3))
    with pytest.raises(ValueError, match='5 x 7 cells of 8 pixels do not cover .* 41 x 56'):
        resize.upsample(maps, 41, 56)
    with pytest.raises(ValueError, match="border 'wrap' is unknown; known: extend, fade"):
        resize.upsample(maps, 40, 56, border='wrap')


@pytest.mark.parametrize('size', [(40, 56), (33, 50), (7, 3), (1, 1)])
@pytest.mark.parametrize('border', resize.BORDERS)
def test_tiles_of_rows_are_those_of_the_whole(size, border):
    maps = jax.random.normal(jax.random.key(0), (2, 5, 7, 3))
    tiles = resize.map_upsampled(lambda scores: scores, [maps], *size, strides=[8], border=border)
    assert tiles.shape[:3] == (resize.TILES, 2, -(-size[0] // resize.TILES))
    np.testing.assert_allclose(
        resize.join_rows(tiles, size[0]), resize.upsample(maps, *size, border=border), atol=1e-6
    )


def test_labels_come_in_the_same_tiles():
    labels = jnp.arange(10 * 4, dtype=jnp.uint8).reshape(1, 10, 4)
    tiles = resize.map_upsampled(
        lambda _, labels: labels, [jnp.zeros((1, 2, 1, 1))], 10, 4, strides=[8], labels=labels
    )
    assert (resize.join_rows(tiles, 10) == labels).all()
    assert (tiles[2:, :, 1] == 255).all()  # rows beyond the last


def test_maps_of_a_scaled_and_of_a_mirrored_image_meet_in_the_image():
    """A ramp over the columns, seen at 1.5 times the size and in the mirror."""

    def cells(number, stride):  # what a cell of a ramp over 48 columns holds
        return jnp.asarray((np.arange(number) + 0.5) * stride - 0.5, jnp.float32)[
            None, None, :, None
        ]

    found = resize.join_rows(
        resize.map_upsampled(
            lambda *scores: jnp.concatenate(scores, -1),
            [cells(9, 48 / 9), cells(6, 8)[:, :, ::-1], cells(6, 8)[:, :, ::-1]],
            1,
            48,
            strides=[(8, 8 * 48 / 72), 8, (8, 8)],
            mirrored=[False, True, False],
        ),
        1,
    )[0, 0]
    inside = slice(4, 44)
    np.testing.assert_allclose(found[inside, 0], np.arange(48)[inside], atol=1e-4)
    np.testing.assert_allclose(found[inside, 1], np.arange(48)[inside], atol=1e-4)
    np.testing.assert_allclose(found[inside, 2], np.arange(48)[::-1][inside], atol=1e-4)
