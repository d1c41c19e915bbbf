"""The networks as ONNX gets them answer as the networks do."""

import jax
import numpy as np
import pytest
from exporting import narrow

import drn_jax
from drn_jax.exporting import channels_first
from drn_jax.ops import resize


@pytest.mark.parametrize(
    'variant, method, degridding, width, strip',
    [
        ('drn_a_18', '__call__', 'own', 41, 1),
        ('drn_c_58', 'class_maps', 'own', 41, 1),
        ('drn_a_18', 'class_maps', 'smooth', 41, 1),
        ('drn_a_18', 'class_maps', 'own', 40, 4),  # its stem strides
        ('drn_d_22', 'class_maps', 'own', 44, 4),
        ('drn_d_22', 'class_maps', 'own', 42, 4),  # no whole strips
        ('drn_d_22', '__call__', 'own', 12, 2),
    ],
)
def test_channels_first_answers_as_the_network(variant, method, degridding, width, strip):
    source = narrow.source(variant, degridding=degridding)
    images = np.random.default_rng(0).standard_normal((2, 24, width, 3), np.float32)
    wanted = jax.jit(source.model.apply, static_argnames='method')(
        source.variables, images, method=method
    )
    model, variables = drn_jax.optimize_for_inference(source.model, source.variables)
    params = jax.device_get(variables['params'])
    found = jax.jit(lambda x: channels_first.apply(model, params, x, method, strip))(images)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.parametrize('border', resize.BORDERS)
def test_label_maps_are_the_best_of_upsampled_scores(border):
    scores = np.random.default_rng(0).standard_normal((2, 3, 5, 4), np.float32)
    found = channels_first.label_maps(scores, 24, 37, stride=8, border=border)
    wanted = resize.upsample(scores, 24, 37, border=border).argmax(-1)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, wanted)
