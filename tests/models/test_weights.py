import json
import logging
import subprocess
import sys

import jax
import numpy as np
import pytest
from fills import random_variables
from golden import rebuild

import drn_jax
from drn_jax.models.weights import torch_settings

UNUSED = [
    'layer7.0.downsample.0.weight',
    'layer7.0.downsample.1.bias',
    'layer7.0.downsample.1.running_mean',
    'layer7.0.downsample.1.running_var',
    'layer7.0.downsample.1.weight',
]


def tiny_variables(variant, num_classes=3, width=0.125):
    return random_variables(drn_jax.create_model(variant, num_classes=num_classes, width=width))


def tiny_state(variant, task='classification', **options):
    return drn_jax.to_torch(variant, tiny_variables(variant, **options), task=task)


def assert_same(found, wanted):
    assert list(found) == list(wanted)
    for name in wanted:
        assert found[name].dtype == np.float32
        np.testing.assert_array_equal(found[name], wanted[name], err_msg=name)


def test_kernel_layout():
    variables = tiny_variables('drn_c_26')
    state = drn_jax.to_torch('drn_c_26', variables)
    kernel = variables['params']['level3']['block0']['conv1']['kernel']
    assert state['layer3.0.conv1.weight'].shape == (8, 4, 3, 3)
    assert state['layer3.0.conv1.weight'][5, 1, 0, 2] == kernel[0, 2, 1, 5]
    head = variables['params']['head']['kernel']
    assert state['fc.weight'].shape == (3, 64, 1, 1)
    assert state['fc.weight'][2, 7, 0, 0] == head[0, 0, 7, 2]
    linear = drn_jax.to_torch('resnet_18', tiny_variables('resnet_18'))['fc.weight']
    assert linear.shape == (3, 64)


@pytest.mark.parametrize(
    'variant, task, ours, theirs',
    [
        ('drn_c_26', 'classification', 'stem/conv', 'conv1'),
        ('drn_c_26', 'classification', 'stem/bn', 'bn1'),
        ('drn_c_26', 'classification', 'level3/block0/shortcut/conv', 'layer3.0.downsample.0'),
        ('drn_c_26', 'classification', 'level3/block1/bn2', 'layer3.1.bn2'),
        ('drn_c_26', 'segmentation', 'stem/bn', 'base.1'),
        ('drn_c_26', 'segmentation', 'level8/block0/conv2', 'base.10.0.conv2'),
        ('drn_c_26', 'segmentation', 'head', 'seg'),
        ('drn_d_24', 'classification', 'stem/conv', 'layer0.0'),
        ('drn_d_24', 'classification', 'stem/bn', 'layer0.1'),
        ('drn_d_24', 'classification', 'level8/layer1/conv', 'layer8.3'),
        ('drn_d_24', 'classification', 'level8/layer1/bn', 'layer8.4'),
        ('drn_d_24', 'segmentation', 'stem/conv', 'base.0.0'),
        ('drn_d_24', 'segmentation', 'level8/layer1/bn', 'base.8.4'),
        ('drn_a_50', 'classification', 'level3/block0/conv3', 'layer1.0.conv3'),
        ('drn_a_50', 'classification', 'level6/block2/bn1', 'layer4.2.bn1'),
        ('drn_a_50', 'segmentation', 'stem/conv', 'base.0'),
        ('drn_a_50', 'segmentation', 'level3/block0/shortcut/bn', 'base.4.0.downsample.1'),
        ('resnet_18', 'classification', 'head', 'fc'),
    ],
)
def test_names(variant, task, ours, theirs):
    variables = tiny_variables(variant)
    state = drn_jax.to_torch(variant, variables, task=task)
    place = variables['params']
    for part in ours.split('/'):
        place = place[part]
    weight = place['scale'] if 'scale' in place else place['kernel']
    assert np.array_equal(np.sort(state[f'{theirs}.weight'].ravel()), np.sort(weight.ravel()))


@pytest.mark.parametrize('task', ['classification', 'segmentation'])
@pytest.mark.parametrize('variant', drn_jax.list_models())
def test_there_and_back_bit_for_bit(variant, task):
    variables = tiny_variables(variant)
    state = drn_jax.to_torch(variant, variables, task=task)
    again = drn_jax.from_torch(variant, state)
    jax.tree.map(np.testing.assert_array_equal, again, variables)
    assert_same(drn_jax.to_torch(variant, again, task=task), state)
    assert torch_settings(variant, state) == (3, task, 0.125)


def test_prefix_counters_and_wrapper_change_nothing(caplog):
    state = tiny_state('drn_d_22')
    wanted = drn_jax.from_torch('drn_d_22', state)
    assert not caplog.records
    wrapped = {
        'epoch': 3,
        'arch': 'drn_d_22',
        'best_prec1': 70.5,
        'state_dict': {f'module.{name}': value for name, value in state.items()},
    }
    wrapped['state_dict']['module.layer0.1.num_batches_tracked'] = np.int64(7)
    jax.tree.map(np.testing.assert_array_equal, drn_jax.from_torch('drn_d_22', wrapped), wanted)
    assert torch_settings('drn_d_22', wrapped) == (3, 'classification', 0.125)
    assert not caplog.records


def test_unused_projection_of_c_58(caplog):
    state = tiny_state('drn_c_58')
    assert sorted(name for name in state if 'layer7.0.downsample' in name) == UNUSED
    assert not any(state[name].any() for name in UNUSED)
    with caplog.at_level(logging.WARNING):
        wanted = drn_jax.from_torch('drn_c_58', state)
    assert all(name in caplog.text for name in UNUSED)
    without = {name: value for name, value in state.items() if name not in UNUSED}
    jax.tree.map(np.testing.assert_array_equal, drn_jax.from_torch('drn_c_58', without), wanted)


def test_frozen_upsampling(caplog):
    state = tiny_state('drn_c_26', task='segmentation')
    wanted = rebuild.state_dict(['up.weight 3x1x16x16'])['up.weight']
    np.testing.assert_array_equal(state['up.weight'], wanted)
    drn_jax.from_torch('drn_c_26', state)
    assert 'up.weight' in caplog.text
    with pytest.raises(ValueError, match='up.weight is not the bilinear kernel'):
        drn_jax.from_torch('drn_c_26', {**state, 'up.weight': wanted + 0.1})
    del state['up.weight']
    assert drn_jax.from_torch('drn_c_26', state)


def test_without_a_classifier(caplog):
    variables = tiny_variables('drn_c_26', num_classes=0)
    state = drn_jax.to_torch('drn_c_26', variables)
    assert 'fc.weight' not in state
    assert torch_settings('drn_c_26', state).num_classes == 0
    jax.tree.map(np.testing.assert_array_equal, drn_jax.from_torch('drn_c_26', state), variables)
    assert 'drn_c_26: the weights hold no classifier; num_classes is 0' in caplog.text


@pytest.mark.parametrize('width', [0.04, 0.3, 0.77, 1.0])
def test_settings_make_the_model_again(width):
    state = tiny_state('drn_d_22', width=width)
    settings = torch_settings('drn_d_22', state)
    made = random_variables(drn_jax.create_model('drn_d_22', **settings._asdict()))
    assert_same(drn_jax.to_torch('drn_d_22', drn_jax.from_torch('drn_d_22', state)), state)
    jax.tree.map(
        lambda a, b: np.testing.assert_equal(a.shape, b.shape),
        made,
        drn_jax.from_torch('drn_d_22', state),
    )


def test_results_are_new_float32_arrays():
    state = {name: value.astype(np.float64) for name, value in tiny_state('drn_a_18').items()}
    variables = drn_jax.from_torch('drn_a_18', state)
    state['bn1.weight'][:] = 0
    state['conv1.weight'][:] = 0
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {np.dtype('float32')}
    assert variables['params']['stem']['bn']['scale'].all()
    assert variables['params']['stem']['conv']['kernel'].all()


def error_of(variant, state):
    with pytest.raises(ValueError) as error:
        drn_jax.from_torch(variant, state)
    return str(error.value)


def test_one_error_lists_everything_that_differs():
    state = tiny_state('drn_c_26')
    del state['layer3.0.bn1.weight'], state['fc.bias']
    state['layer3.9.bn1.weight'] = np.zeros(8)
    state['layer4.0.conv1.weight'] = state['layer4.0.conv1.weight'][1:]
    assert error_of('drn_c_26', state) == (
        "the state dict does not fit 'drn_c_26', it fits no other variant either: "
        'missing 2 (fc.bias, layer3.0.bn1.weight), extra 1 (layer3.9.bn1.weight), '
        'misshapen 1 (layer4.0.conv1.weight is 15x8x3x3 instead of 16x8x3x3)'
    )


def test_long_lists_are_cut():
    state = tiny_state('drn_c_26')
    few = {name: state[name] for name in list(state)[:100]}
    text = error_of('drn_c_26', few)
    assert 'missing 50 (' in text
    assert text.endswith(' and 30 more)')


def test_error_names_the_variants_that_fit():
    assert error_of('drn_d_22', tiny_state('drn_c_26')).startswith(
        "the state dict does not fit 'drn_d_22', it fits drn_b_26 and drn_c_26, "
        'name the one you mean: missing '
    )
    assert 'it fits drn_c_58,' in error_of('drn_d_54', tiny_state('drn_c_58'))
    assert 'it fits drn_a_50 and resnet_50,' in error_of('drn_a_18', tiny_state('resnet_50'))


@pytest.mark.parametrize(
    'state, text',
    [
        (
            {},
            "state dict does not fit 'drn_c_26', it fits no other variant either: missing 150 (",
        ),
        ([1, 2], 'a state dict maps names to arrays, list does not'),
        ({'state_dict': 5}, 'a state dict maps names to arrays, int does not'),
        ({'epoch': 3}, 'extra 1 (epoch)'),
        ({'layer8.0.conv1.weight': np.zeros((1, 1))}, 'missing 149 ('),
        ({'conv1.weight': np.zeros((0, 3, 7, 7))}, 'conv1.weight is 0x3x7x7 instead of 16x3x7x7'),
    ],
)
def test_what_is_no_state_dict(state, text):
    assert text in error_of('drn_c_26', state)


def test_numbers_must_be_finite():
    state = tiny_state('drn_d_22')
    state['layer5.0.bn1.bias'][1] = np.nan
    state['fc.weight'][0, 0] = np.inf
    assert error_of('drn_d_22', state) == (
        "the weights for 'drn_d_22' hold numbers that are not finite in layer5.0.bn1.bias, "
        'fc.weight; use an undamaged file'
    )


def test_to_torch_errors():
    variables = tiny_variables('drn_c_26')
    with pytest.raises(ValueError) as error:
        drn_jax.to_torch('drn_d_22', variables)
    assert "the variables do not fit 'drn_d_22': missing " in str(error.value)
    assert 'params/level1/layer0/conv/kernel' in str(error.value)
    assert 'params/level1/block0/bn1/scale' in str(error.value)
    with pytest.raises(ValueError, match="task 'detection' is unknown; known: classification, seg"):
        drn_jax.to_torch('drn_c_26', variables, task='detection')
    with pytest.raises(ValueError, match="variant 'drn_c_27' is unknown"):
        drn_jax.from_torch('drn_c_27', {})


def test_package_loads_neither_torch_nor_tensorflow():
    code = 'import json, sys, drn_jax; print(json.dumps(sorted(sys.modules)))'
    loaded = json.loads(subprocess.check_output([sys.executable, '-c', code]))
    assert not {'torch', 'tensorflow', 'tensorflow_datasets'} & set(loaded)
