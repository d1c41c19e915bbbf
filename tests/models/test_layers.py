import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from drn_jax.models import convolutions, layers, normalization, variants
from drn_jax.ops.phases import SpaceToBatchMap

POINT = variants.Block('layer0', (variants.Conv('conv', 1, 1, 2),))
PLAIN = variants.Block('layer0', (variants.Conv('conv', 3, 1, 2),))
PLAIN_2 = variants.Block('layer0', (variants.Conv('conv', 3, 2, 2),))
BASIC = variants.Block(
    'block0', (variants.Conv('conv1', 3, 2, 2), variants.Conv('conv2', 3, 2, 2)), residual=True
)
BOTTLENECK, *_ = variants.lookup('drn_c_58').levels[3].expand(8)


def test_convolution_starts_as_he_and_others_say():
    conv = layers.Conv(variants.Conv('conv', 3, 64, 128))
    kernel = conv.init(jax.random.key(0), SpaceToBatchMap.of(jnp.zeros((1, 1, 1, 64))))['params'][
        'kernel'
    ]
    assert kernel.shape == (3, 3, 64, 128)
    assert abs(float(kernel.mean())) < 1e-3
    assert float(kernel.std()) == pytest.approx(np.sqrt(2 / (3 * 3 * 128)), rel=0.01)


def test_normalization_by_hand():
    x = jnp.asarray([1.0, 3.0, 5.0, 7.0]).reshape(1, 2, 2, 1)  # mean 4, variance 5
    norm = normalization.batch_norm('bn', jnp.float32, train=True)
    variables = norm.init(jax.random.key(0), x)
    y, new = norm.apply(variables, x, mutable=['batch_stats'])
    np.testing.assert_allclose(
        y.ravel(), (np.array([1, 3, 5, 7]) - 4) / np.sqrt(5 + 1e-5), rtol=1e-6
    )
    stats = new['batch_stats']
    assert stats['mean'].item() == pytest.approx(0.9 * 0 + 0.1 * 4)
    assert stats['var'].item() == pytest.approx(0.9 * 1 + 0.1 * 5)  # the biased variance
    running = normalization.batch_norm('bn', jnp.float32, train=False)
    y = running.apply({**variables, 'batch_stats': stats}, x)
    np.testing.assert_allclose(
        y.ravel(), (np.array([1, 3, 5, 7]) - 0.4) / np.sqrt(1.4 + 1e-5), rtol=1e-6
    )


def test_normalization_is_accurate_far_from_zero():
    x = np.random.default_rng(0).normal(30, 1, (8, 32, 32, 4)).astype(np.float32)
    norm = normalization.batch_norm('bn', jnp.float32, train=True)
    variables = norm.init(jax.random.key(0), x)
    y, _ = jax.jit(lambda v, x: norm.apply(v, x, mutable=['batch_stats']))(variables, x)
    exact = x.astype(np.float64)
    want = (exact - exact.mean((0, 1, 2))) / np.sqrt(exact.var((0, 1, 2)) + 1e-5)
    np.testing.assert_allclose(y, want, atol=1e-3)


class Tail(nn.Module):
    """Two residual blocks and a plain layer, averaged over positions."""

    platform: str

    @nn.compact
    def __call__(self, x):
        options = layers.ComputeOptions(x.dtype, platform=self.platform)
        convs = [variants.Conv(f'conv{i}', 3, min(i, 2), 2, dilation=2) for i in (1, 2)]
        first = variants.Block('block0', tuple(convs), True, variants.Conv('conv', 1, 1, 2))
        second = BASIC._replace(name='block1')
        x, recipe = layers.Level((first, second), options, PLAIN_2, name='level6')(x, True)
        averaged = convolutions.averages_at_once(self.platform, PLAIN_2)
        x, _ = layers.Level((PLAIN_2,), options, name='level7')(x, True, averaged, recipe)
        return x.mean((1, 2))


def test_fused_normalizations_are_exact(monkeypatch):
    """What TPUs train, in float64: outputs, batch statistics and all gradients."""
    x = np.random.default_rng(0).standard_normal((3, 9, 7, 1))

    def step(platform, variables, x):
        def loss(params, x):
            y, new = Tail(platform).apply(
                {**variables, 'params': params}, x, mutable=['batch_stats']
            )
            return (y**3).sum(), (y, new)

        return jax.value_and_grad(loss, (0, 1), has_aux=True)(variables['params'], x)

    choice = convolutions.CHOICES['tpu']._replace(anew=2)
    monkeypatch.setitem(convolutions.CHOICES, 'tpu', choice)
    with jax.enable_x64(True):
        x = jnp.asarray(x)
        shapes = jax.eval_shape(Tail('tpu').init, jax.random.key(0), x)
        assert shapes == jax.eval_shape(Tail('gpu').init, jax.random.key(0), x)
        draw = np.random.default_rng(1).uniform
        variables = jax.tree.map(lambda leaf: jnp.asarray(draw(-1, 2, leaf.shape)), shapes)
        assert str(jax.make_jaxpr(lambda x: step('tpu', variables, x))(x)).count('barrier') > 4
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10),
            step('tpu', variables, x),
            step('gpu', variables, x),
        )


@pytest.mark.parametrize('side', [8, 7])
@pytest.mark.parametrize('platform', ['cpu', 'gpu', 'tpu'])
def test_projections_train_as_strided_convolutions(side, platform):
    spec = variants.Conv('conv', 1, 3, 4, stride=2)
    x = jax.random.normal(jax.random.key(0), (2, side, side, 3))
    conv = layers.Conv(spec, layers.ComputeOptions(platform=platform))
    variables = conv.init(jax.random.key(1), SpaceToBatchMap.of(x))
    kernel = variables['params']['kernel']

    def gradients(function):
        return jax.grad(lambda kernel, x: (function(kernel, x) ** 2).sum(), (0, 1))(kernel, x)

    def ours(kernel, x):
        return conv.apply({'params': {'kernel': kernel}}, SpaceToBatchMap.of(x), True).array

    def strided(kernel, x):
        return jax.lax.conv_general_dilated(
            x, kernel, (2, 2), 'VALID', dimension_numbers=('NHWC', 'HWIO', 'NHWC')
        )

    np.testing.assert_allclose(ours(kernel, x), strided(kernel, x), rtol=1e-5, atol=1e-6)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
        gradients(ours),
        gradients(strided),
    )


def test_no_slice_reaches_the_gpu_compiler():
    """It fuses a slice into the product after it, and aborts (jax 0.10.2)."""

    def program(platform):
        conv = layers.Conv(
            variants.Conv('conv', 1, 3, 4, stride=2), layers.ComputeOptions(platform=platform)
        )
        x, kernel = jnp.zeros((2, 8, 8, 3)), jnp.zeros((1, 1, 3, 4))
        return str(
            jax.make_jaxpr(
                lambda kernel: (
                    conv.apply({'params': {'kernel': kernel}}, SpaceToBatchMap.of(x), True).array
                )
            )(kernel)
        )

    assert 'dot_general' in program('tpu') and 'conv_general_dilated' not in program('tpu')
    assert 'dot_general' not in program('gpu') and 'window_strides=(2, 2)' in program('gpu')


def test_plain_layer_by_hand():
    block = layers.Block(POINT)
    x = jnp.asarray([2.0, -1.0]).reshape(1, 1, 2, 1)
    variables = {
        'params': {
            'conv': {'kernel': jnp.asarray([1.0, -3.0]).reshape(1, 1, 1, 2)},
            'bn': {'scale': jnp.asarray([1.0, 2.0]), 'bias': jnp.asarray([0.5, 0.0])},
        },
        'batch_stats': {'bn': {'mean': jnp.zeros(2), 'var': jnp.full(2, 1 - 1e-5)}},
    }
    y = block.apply(variables, SpaceToBatchMap.of(x)).array
    np.testing.assert_allclose(y[0, 0], [[2.5, 0], [0, 6]], rtol=1e-6)


def names(block, inputs):
    x = jax.ShapeDtypeStruct((1, 4, 4, inputs), jnp.float32)
    variables = jax.eval_shape(
        lambda x: layers.Block(block).init(jax.random.key(0), SpaceToBatchMap.of(x)), x
    )
    return {
        '/'.join(part.key for part in path): leaf.shape
        for path, leaf in jax.tree.leaves_with_path(variables)
    }


def normalizations(**widths):
    return {
        f'{kind}/{name}/{leaf}': (width,)
        for name, width in widths.items()
        for kind, leaf in (
            ('params', 'scale'),
            ('params', 'bias'),
            ('batch_stats', 'mean'),
            ('batch_stats', 'var'),
        )
    }


def test_names():
    assert names(PLAIN, 1) == {'params/conv/kernel': (3, 3, 1, 2), **normalizations(bn=2)}
    assert names(BASIC, 2) == {
        'params/conv1/kernel': (3, 3, 2, 2),
        'params/conv2/kernel': (3, 3, 2, 2),
        **normalizations(bn1=2, bn2=2),
    }
    assert names(BOTTLENECK, 8) == {
        'params/conv1/kernel': (1, 1, 8, 128),
        'params/conv2/kernel': (3, 3, 128, 128),
        'params/conv3/kernel': (1, 1, 128, 512),
        'params/shortcut/conv/kernel': (1, 1, 8, 512),
        **normalizations(bn1=128, bn2=128, bn3=512, **{'shortcut/bn': 512}),
    }


def zero_kernels(variables):
    return jax.tree.map_with_path(
        lambda path, leaf: 0 * leaf if path[-1].key == 'kernel' else leaf, variables
    )


def test_shortcut_passes_the_input_on():
    x = jnp.asarray(np.random.default_rng(0).standard_normal((1, 4, 4, 2)), jnp.float32)
    variables = zero_kernels(layers.Block(BASIC).init(jax.random.key(0), SpaceToBatchMap.of(x)))
    y = layers.Block(BASIC).apply(variables, SpaceToBatchMap.of(x)).array
    np.testing.assert_array_equal(y, nn.relu(x))
    without = layers.Block(BASIC._replace(residual=False))
    assert not without.apply(variables, SpaceToBatchMap.of(x)).array.any()


def test_last_relu_comes_after_the_sum():
    x = jnp.full((1, 1, 1, 2), 3.0)
    variables = zero_kernels(layers.Block(BASIC).init(jax.random.key(0), SpaceToBatchMap.of(x)))
    variables['params']['bn2']['bias'] = jnp.asarray([-1.0, -5.0])
    assert layers.Block(BASIC).apply(variables, SpaceToBatchMap.of(x)).array.ravel().tolist() == [
        2,
        0,
    ]


def test_unused_projection_has_no_parameters():
    projected = BASIC._replace(residual=False, projection=variants.Conv('conv', 1, 2, 2))
    variables = layers.Block(projected).init(
        jax.random.key(0), SpaceToBatchMap.of(jnp.zeros((1, 4, 4, 2)))
    )
    assert 'shortcut' not in variables['params']


def test_strided_block_halves_the_map():
    block = layers.Block(BOTTLENECK)
    x = jax.ShapeDtypeStruct((1, 5, 8, 8), jnp.float32)
    out = jax.eval_shape(
        lambda x: block.init_with_output(jax.random.key(0), SpaceToBatchMap.of(x))[0].array, x
    )
    assert out.shape == (1, 3, 4, 512)


def test_classifier_by_hand():
    head = layers.Classifier(2)
    params = {
        'kernel': jnp.asarray([[1.0, 2.0], [3.0, 4.0]])[None, None],
        'bias': jnp.asarray([0.5, 0]),
    }
    y = head.apply({'params': params}, jnp.asarray([[[10, 1]]], jnp.bfloat16))
    assert y.tolist() == [[[13.5, 24.0]]]
    assert y.dtype == jnp.float32
