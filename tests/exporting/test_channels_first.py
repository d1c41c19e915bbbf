"""The networks as ONNX gets them answer as the networks do."""

import jax
import numpy as np
import pytest
from exporting import narrow

import drn_jax
from drn_jax.exporting import channels_first


@pytest.mark.parametrize('variant, method', [('drn_a_18', '__call__'), ('drn_c_58', 'class_maps')])
def test_channels_first_answers_as_the_network(variant, method):
    source = narrow.source(variant)
    images = np.random.default_rng(0).standard_normal((2, 24, 41, 3), np.float32)
    wanted = jax.jit(source.model.apply, static_argnames='method')(
        source.variables, images, method=method
    )
    model, variables = drn_jax.optimize_for_inference(source.model, source.variables)
    params = jax.device_get(variables['params'])
    found = jax.jit(lambda x: channels_first.apply(model, params, x, method))(images)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())
