"""Color perturbation against the operations done one after another on the pixels."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

from drn_jax.ops import color


def in_sequence(image, order, brightness, contrast, saturation):
    """The three operations as Howard describes them, each on the image that the last one gave."""
    for operation in order:
        gray = image @ color.GRAY
        if operation == 0:
            image = brightness * image
        elif operation == 1:
            image = contrast * image + (1 - contrast) * gray.mean()
        else:
            image = saturation * image + (1 - saturation) * gray[..., None]
    return image


def test_brightness_alone_scales_every_value(monkeypatch):
    monkeypatch.setattr(jax.random, 'uniform', lambda *_, **__: jnp.array([0.5, 1.0, 1.0]))
    matrix, offset = color.random_color(jax.random.key(0), jnp.ones(3), lighting=0.0)
    np.testing.assert_allclose(matrix, 0.5 * np.eye(3), atol=1e-6)
    np.testing.assert_allclose(offset, np.zeros(3), atol=1e-6)


def test_contrast_alone_draws_towards_the_mean_gray(monkeypatch):
    monkeypatch.setattr(jax.random, 'uniform', lambda *_, **__: jnp.array([1.0, 0.5, 1.0]))
    matrix, offset = color.random_color(jax.random.key(0), jnp.array([1.0, 0.0, 0.0]), lighting=0.0)
    np.testing.assert_allclose(matrix, 0.5 * np.eye(3), atol=1e-6)
    np.testing.assert_allclose(offset, np.full(3, 0.5 * 0.299), atol=1e-6)


def test_the_affine_map_equals_the_operations_in_each_of_their_orders():
    image = np.random.default_rng(0).uniform(size=(5, 7, 3)).astype(np.float32)
    key = jax.random.key(0)
    factors = np.asarray(jax.random.uniform(jax.random.split(key)[0], (3,), minval=0.5, maxval=1.5))
    matrix, offset = color.random_color(key, image.mean((0, 1)), lighting=0.0)
    result = color.transform_color(image, matrix, offset)
    for order in itertools.permutations(range(3)):
        np.testing.assert_allclose(in_sequence(image, order, *factors), result, atol=1e-5)


def test_lighting_lies_on_the_principal_axes_with_their_deviations():
    keys = jax.random.split(jax.random.key(0), 4000)
    matrices, offsets = jax.vmap(
        lambda key: color.random_color(key, jnp.zeros(3), factor_range=(1.0, 1.0), lighting=0.1)
    )(keys)
    np.testing.assert_allclose(matrices, np.broadcast_to(np.eye(3), (4000, 3, 3)), atol=1e-6)
    along = np.asarray(offsets) @ color.PCA_VECTORS
    np.testing.assert_allclose(along.std(0), 0.1 * color.PCA_DEVIATIONS, rtol=0.05)
    np.testing.assert_allclose(along.mean(0), np.zeros(3), atol=2e-3)


def test_all_factors_stay_in_their_range():
    keys = jax.random.split(jax.random.key(1), 500)
    image = jnp.full((1, 1, 3), 0.5)  # gray and flat: contrast and color leave it, brightness not
    matrices, offsets = jax.vmap(
        lambda key: color.random_color(
            key, image.mean((0, 1)), factor_range=(0.5, 1.5), lighting=0.0
        )
    )(keys)
    values = jax.vmap(lambda m, o: color.transform_color(image, m, o))(matrices, offsets)
    assert 0.25 <= values.min() < 0.27 and 0.73 < values.max() <= 0.75
