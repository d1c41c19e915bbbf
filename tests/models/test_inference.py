import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models import fills

import drn_jax
from drn_jax import processors
from drn_jax.models import convolutions, inference, layers, variants

VARIANTS = ['resnet_18', 'drn_a_50', 'drn_b_26', 'drn_c_26', 'drn_d_22', 'drn_d_54']


def network(variant, seed=0, **options):
    """A narrow network whose normalizations have seen something."""
    model = drn_jax.create_model(variant, **{'num_classes': 5, 'width': 0.0625, **options})
    images = jnp.asarray(np.random.default_rng(seed).standard_normal((2, 44, 57, 3)), jnp.float32)
    return model, fills.random_variables(model, seed), images


def assert_close(found, wanted, bound=1e-4):
    jax.tree.map(
        lambda a, b: np.testing.assert_array_less(
            np.abs(np.float64(a) - np.float64(b)).max(), bound * np.abs(np.float64(b)).max()
        ),
        found,
        wanted,
    )


@pytest.mark.parametrize('variant', VARIANTS)
def test_folded_native_networks_answer_the_same(variant):
    model, variables, images = network(variant, convolution='native')
    fast, folded = drn_jax.optimize_for_inference(model, variables)
    levels = jax.jit(lambda model, v: model.apply(v, images, method='levels'), static_argnums=0)
    assert_close(levels(fast, folded), levels(model, variables))
    assert set(folded) == {'params'}


@pytest.mark.parametrize(
    'variant, convolution', [('drn_a_18', 'phase'), ('drn_c_26', 'phase'), ('drn_d_22', 'winograd')]
)
def test_algorithms_answer_the_same(variant, convolution):
    model, variables, images = network(variant)  # 44 x 57: dilations do not divide the maps
    wanted = jax.jit(model.clone(convolution='native').apply)(variables, images)
    fast, folded = drn_jax.optimize_for_inference(model.clone(convolution=convolution), variables)
    assert_close(jax.jit(fast.apply)(folded, images), wanted)


@pytest.mark.parametrize('degridding, convolution', [('smooth', 'phase'), ('hdc', 'winograd')])
def test_other_ways_against_gridding(degridding, convolution):
    model, variables, images = network('drn_a_18', degridding=degridding, convolution=convolution)
    native = model.clone(convolution='native').apply(variables, images)
    assert_close(jax.jit(model.apply)(variables, images), native)
    fast, folded = drn_jax.optimize_for_inference(model, variables)
    assert_close(jax.jit(fast.apply)(folded, images), native)


def test_segmentation_and_bfloat16():
    model, variables, images = network('drn_d_22', task='segmentation', dtype='bfloat16')
    fast, folded = drn_jax.optimize_for_inference(model, variables)
    found, wanted = jax.jit(fast.apply)(folded, images), jax.jit(model.apply)(variables, images)
    assert found.dtype == jnp.float32 and found.shape == (2, 6, 8, 5)
    assert_close(found, wanted, bound=5e-2)


def test_training_in_phases_is_training():
    model, variables, images = network('drn_c_26')

    def step(convolution):
        def loss(params):
            logits, new = model.clone(convolution=convolution).apply(
                {**variables, 'params': params}, images, train=True, mutable=['batch_stats']
            )
            return jnp.square(logits).mean(), new

        return jax.jit(jax.value_and_grad(loss, has_aux=True))(variables['params'])

    (loss, new), gradient = step('native')
    (again, statistics), also = step('phase')
    assert again == pytest.approx(float(loss), rel=1e-4)
    assert_close(statistics, new)
    norms = [
        np.sqrt(sum(np.square(leaf).sum() for leaf in jax.tree.leaves(tree)))
        for tree in (gradient, also)
    ]
    assert norms[0] == pytest.approx(norms[1], rel=1e-3)


def test_twice_is_once():
    model, variables, _ = network('drn_c_26')
    fast, folded = drn_jax.optimize_for_inference(model, variables)
    again, same = drn_jax.optimize_for_inference(fast, folded)
    assert again is fast and same is folded


def test_foreign_variables_are_refused():
    model, _, _ = network('drn_c_26')
    _, variables, _ = network('drn_c_26', num_classes=3)
    with pytest.raises(ValueError, match=r'variables are not those of the model \(drn_c_26, width'):
        drn_jax.optimize_for_inference(model, variables)


def test_an_optimized_network_with_other_variables_is_refused():
    model, variables, _ = network('drn_c_26')
    fast, _ = drn_jax.optimize_for_inference(model, variables)
    with pytest.raises(ValueError, match='is optimized for inference, its variables are not'):
        drn_jax.optimize_for_inference(fast, variables)


def test_an_optimized_network_does_not_train():
    model, variables, images = network('drn_c_26')
    fast, folded = drn_jax.optimize_for_inference(model, variables)
    with pytest.raises(ValueError, match='optimized for inference and cannot train'):
        fast.apply(folded, images, train=True)


def test_unknown_convolution():
    with pytest.raises(ValueError, match="convolution 'fft' is unknown; known: auto, native, ph"):
        drn_jax.create_model('drn_c_26', convolution='fft')


def test_a_block_is_stored_once():
    """The third block finds the sum of two before, not its summands."""
    convs = tuple(variants.Conv(f'conv{i}', 3, 32, 32) for i in (1, 2))
    blocks = tuple(variants.Block(name, convs, residual=True) for name in 'abc')
    shape = (1, 64, 64, 32)

    def temporary(platform):
        level = layers.Level(
            blocks, layers.ComputeOptions(convolution='winograd', platform=platform, bn_folded=True)
        )
        variables = jax.eval_shape(level.init, jax.random.key(0), jnp.zeros(shape))
        images = jax.ShapeDtypeStruct(shape, jnp.float32)
        compiled = jax.jit(level.apply).lower(variables, images).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    saved = temporary('') - temporary('cpu')
    assert saved >= 0.9 * 4 * np.prod(shape)


def test_auto_on_an_unknown_platform_is_native_and_says_so_once():
    spec = variants.Conv('conv1', 3, 256, 256, dilation=2)
    with pytest.warns(UserWarning, match="no platform 'abacus'"):
        assert convolutions.choose('auto', 'abacus', 'folded', spec) == 'native'
    with warnings.catch_warnings(action='error'):
        assert convolutions.choose('auto', 'abacus', 'folded', spec) == 'native'
        assert convolutions.choose('auto', 'any', 'folded', spec) == 'native'


@pytest.mark.parametrize(
    'known, dtype, said',
    [
        (('avx2',), 'bfloat16', ['bfloat16 is no faster than float32 on this processor, which']),
        (('avx2',), 'float32', []),
        (('avx2', 'avx512_bf16'), 'bfloat16', []),
        ((), 'bfloat16', []),  # nothing is known
    ],
)
def test_a_processor_without_bfloat16_is_named(known, dtype, said, monkeypatch, caplog):
    monkeypatch.setattr(processors, 'instructions', lambda cpu: frozenset(known))
    model = drn_jax.create_model('resnet_18', width=0.0625, dtype=dtype)
    inference.warn_of_bfloat16(model)
    assert [message.partition(' has no')[0] for message in caplog.messages] == said
    caplog.clear()
    inference.warn_of_bfloat16(model.clone(platform='tpu'))
    assert not caplog.messages


def test_auto_on_cpus(monkeypatch):
    def chosen(size, inputs, outputs, use='folded', dtype='float32', **how):
        spec = variants.Conv('conv', size, inputs, outputs, **how)
        return convolutions.choose('auto', 'cpu', use, spec, dtype)

    monkeypatch.setattr(processors, 'instructions', lambda: {'avx512_bf16'})
    assert [chosen(7, 3, 16, use) for use in ('training', 'folded', 'plain')] == [
        'strips', 'strips', 'native',
    ]  # fmt: skip
    assert chosen(7, 3, 16, stride=2) == chosen(3, 16, 16) == chosen(3, 4, 8, stride=2) == 'native'
    assert chosen(3, 4, 4, dilation=2) == chosen(1, 4, 4) == 'native'
    assert [chosen(3, 64, 64, dtype=dtype) for dtype in ('float32', 'bfloat16')] == [
        'native', 'winograd',
    ]  # fmt: skip
    monkeypatch.setattr(processors, 'instructions', frozenset)
    assert chosen(3, 64, 64, dtype='bfloat16') == 'native'
