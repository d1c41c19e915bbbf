"""Parity with the original PyTorch models: every golden file, within 1e-4 of a deviation."""

import jax
import numpy as np
import pytest
from golden import rebuild

import drn_jax
from drn_jax.models.weights import torch_settings
from drn_jax.ops import resize

CLASSIFICATION = [
    'drn_a_18',
    'drn_a_34',
    'drn_a_50',
    'drn_a_50_release',
    'drn_b_26',
    'drn_c_26',
    'drn_c_42',
    'drn_c_58',
    'drn_d_105',
    'drn_d_22',
    'drn_d_38',
    'drn_d_54',
    'resnet_101',
    'resnet_18',
    'resnet_34',
    'resnet_50',
]
SEGMENTATION = ['drn_c_26_segmentation', 'drn_d_22_segmentation']


def test_no_golden_file_is_left_out():
    files = {path.stem for path in rebuild.FOLDER.glob('*.npz')}
    assert files == {*CLASSIFICATION, *SEGMENTATION, 'drn_c_26_train_step'}


def close(found, wanted, deviation):
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4 * deviation)


@pytest.mark.parametrize('name', CLASSIFICATION)
def test_classification(name):
    golden = rebuild.load(name)
    state = rebuild.state_dict(golden['names'])
    variant = name.removesuffix('_release')
    variables = drn_jax.from_torch(variant, state)
    back = drn_jax.to_torch(variant, variables)
    assert list(back) == list(state)
    unused = [key for key in state if name == 'drn_c_58' and 'layer7.0.downsample' in key]
    assert all(np.array_equal(back[key], state[key]) for key in state if key not in unused)

    model = drn_jax.create_model(variant, first_block='release' if name != variant else 'paper')
    images = rebuild.images(0, (1, 3, 224, 224))
    logits, levels = jax.jit(lambda v, x: (model.apply(v, x), model.apply(v, x, method='levels')))(
        variables, images
    )
    close(logits, golden['logits'], golden['logits'].std())
    assert {f'{level}_shape' for level in levels} == {
        key for key in golden if key.endswith('_shape')
    }
    for level, found in levels.items():
        found = np.asarray(found).transpose(0, 3, 1, 2)
        mean, deviation = golden[f'{level}_mean_std']
        assert found.shape == tuple(golden[f'{level}_shape'])
        close(found.mean(), mean, deviation)
        close(found.std(), deviation, deviation)
        close(found[0, :4, :3, :3], golden[f'{level}_corner'], deviation)
    count = sum(leaf.size for leaf in jax.tree.leaves(variables['params']))
    assert count == golden['parameters'] - sum(
        state[key].size for key in unused if 'running' not in key
    )


@pytest.mark.parametrize('name', SEGMENTATION)
def test_segmentation(name):
    golden = rebuild.load(name)
    state = rebuild.state_dict(golden['names'])
    variant = name.removesuffix('_segmentation')
    variables = drn_jax.from_torch(variant, state)
    back = drn_jax.to_torch(variant, variables, task='segmentation')
    assert list(back) == list(state)
    assert all(np.array_equal(back[key], state[key]) for key in state)

    model = drn_jax.create_model(variant, **torch_settings(variant, state)._asdict())
    logits = jax.jit(model.apply)(variables, rebuild.images(2, (1, 3, 96, 136)))
    deviation = golden['logits'].std()
    close(np.asarray(logits).transpose(0, 3, 1, 2), golden['logits'], deviation)
    for key, border in (('bilinear', 'extend'), ('release', 'fade')):
        maps = np.asarray(resize.upsample(logits, 96, 136, border=border))[0]
        close(maps[:8, :8].transpose(2, 0, 1), golden[f'{key}_corner'], deviation)
        second, first = np.sort(maps, axis=-1)[..., -2:].transpose(2, 0, 1)
        decided = first - second > 1e-4 * deviation
        assert decided.mean() > 0.99
        np.testing.assert_array_equal(maps.argmax(-1)[decided], golden[f'{key}_labels'][0][decided])
