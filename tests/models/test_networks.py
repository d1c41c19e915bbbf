import collections
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fills import random_variables, shapes
from jax.extend.core import jaxprs_in_params

import drn_jax
from drn_jax.models import convolutions, layers
from drn_jax.ops.phases import SpaceToBatchMap


def tiny(variant, **options):
    return drn_jax.create_model(variant, **{'num_classes': 5, 'width': 0.0625, **options})


def image_shape(*shape):
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def shape_of(model, images, **options):
    return jax.eval_shape(lambda v, x: model.apply(v, x, **options), shapes(model), images)


@pytest.mark.parametrize('variant', drn_jax.list_models())
def test_parameters_are_those_of_the_table(variant):
    params = shapes(drn_jax.create_model(variant))['params']
    rows = drn_jax.describe(variant).rows
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    assert count == sum(row.parameters for row in rows)  # literal counts: test_descriptions
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype('float32')}


def test_names():
    params = shapes(drn_jax.create_model('drn_d_22'))['params']
    assert params['stem']['conv']['kernel'].shape == (7, 7, 3, 16)
    assert params['level1']['layer0']['conv']['kernel'].shape == (3, 3, 16, 16)
    assert params['level3']['block0']['conv1']['kernel'].shape == (3, 3, 32, 64)
    assert params['level3']['block0']['shortcut']['conv']['kernel'].shape == (1, 1, 32, 64)
    assert params['level8']['layer0']['bn']['scale'].shape == (512,)
    assert params['head']['kernel'].shape == (1, 1, 512, 1000)
    assert params['head']['bias'].shape == (1000,)


@pytest.mark.parametrize(
    'variant, height, width', [('drn_c_26', 5, 7), ('drn_a_18', 5, 7), ('resnet_18', 2, 2)]
)
def test_any_size(variant, height, width):
    images = image_shape(2, 33, 50, 3)
    assert shape_of(tiny(variant), images).shape == (2, 5)
    assert shape_of(tiny(variant), images, method='class_maps').shape == (2, height, width, 5)
    scores = shape_of(tiny(variant, task='segmentation'), images)
    assert (scores.shape, scores.dtype) == ((2, height, width, 5), jnp.float32)


@pytest.mark.parametrize(
    'variant, wanted',
    [
        (
            'drn_c_26',
            {
                'level1': (32, 40, 2),
                'level2': (16, 20, 4),
                'level3': (8, 10, 8),
                'level4': (4, 5, 16),
                'level5': (4, 5, 32),
                'level6': (4, 5, 64),
                'level7': (4, 5, 64),
                'level8': (4, 5, 64),
            },
        ),
        (
            'drn_a_18',
            {
                'level2': (16, 20, 8),
                'level3': (8, 10, 8),
                'level4': (4, 5, 16),
                'level5': (4, 5, 32),
                'level6': (4, 5, 64),
            },
        ),
    ],
)
def test_levels(variant, wanted):
    levels = shape_of(tiny(variant, width=0.125), image_shape(1, 32, 40, 3), method='levels')
    assert {name: leaf.shape[1:] for name, leaf in levels.items()} == wanted


@pytest.fixture(scope='module')
def outputs():
    """One model seen from every side: logits, class maps, levels, segmentation, no classes."""
    models = [
        tiny('drn_d_22', **options)
        for options in ({}, {'task': 'segmentation'}, {'num_classes': 0})
    ]
    variables = random_variables(models[0])
    images = np.random.default_rng(1).standard_normal((2, 41, 48, 3)).astype(np.float32)

    @jax.jit
    def run(variables, images):
        headless = {
            **variables,
            'params': {k: v for k, v in variables['params'].items() if k != 'head'},
        }
        return (
            models[0].apply(variables, images),
            models[0].apply(variables, images, method='class_maps'),
            models[0].apply(variables, images, method='levels'),
            models[1].apply(variables, images),
            models[2].apply(headless, images),
        )

    return variables, run(variables, images)


def test_class_maps_average_to_the_logits(outputs):
    _, (logits, maps, *_) = outputs
    np.testing.assert_allclose(maps.mean((1, 2)), logits, atol=1e-5 * float(logits.std()))


def test_segmentation_gives_the_class_maps(outputs):
    _, (_, maps, _, scores, _) = outputs
    np.testing.assert_array_equal(maps, scores)


def test_no_classes_give_the_last_level(outputs):
    _, (_, _, levels, _, features) = outputs
    np.testing.assert_array_equal(levels['level8'], features)


def test_logits_are_written_out(outputs):
    variables, (logits, _, levels, *_) = outputs
    head = variables['params']['head']
    want = np.mean(levels['level8'], axis=(1, 2)) @ head['kernel'][0, 0] + head['bias']
    np.testing.assert_allclose(logits, want, rtol=1e-5, atol=1e-6)


def test_train_normalizes_by_the_batch_and_updates_statistics():
    model = tiny('drn_d_22')
    variables = random_variables(model)
    images = np.random.default_rng(1).standard_normal((2, 24, 24, 3)).astype(np.float32)
    logits, new = jax.jit(lambda v, x: model.apply(v, x, train=True, mutable=['batch_stats']))(
        variables, images
    )
    changed = jax.tree.map(
        lambda a, b: bool(np.any(a != b)), new['batch_stats'], variables['batch_stats']
    )
    assert all(jax.tree.leaves(changed))
    assert {leaf.dtype for leaf in jax.tree.leaves(new)} == {jnp.dtype('float32')}
    assert np.any(logits != jax.jit(model.apply)(variables, images))


def test_model_is_a_value():
    model = drn_jax.create_model(
        'drn_a_50', num_classes=np.int64(7), dtype=jnp.bfloat16, first_block='release'
    )
    assert model == drn_jax.create_model('drn_a_50', 7, dtype='bfloat16', first_block='release')
    assert hash(model) == hash(
        drn_jax.create_model('drn_a_50', 7, dtype='bfloat16', first_block='release')
    )
    assert model != drn_jax.create_model('drn_a_50', 7)
    assert (
        model.variant,
        model.num_classes,
        model.task,
        model.width,
        model.dtype,
        model.first_block,
        model.table.stride,
    ) == ('drn_a_50', 7, 'classification', 1.0, 'bfloat16', 'release', 8)


@pytest.mark.parametrize(
    'options, text',
    [
        ({'variant': 'drn_c_27'}, "variant 'drn_c_27' is unknown; known: drn_a_101, "),
        ({'num_classes': -1}, 'num_classes -1 must be a whole number, 0 or above'),
        ({'num_classes': 2.5}, 'num_classes 2.5 must be a whole number, 0 or above'),
        ({'task': 'detection'}, "task 'detection' is unknown; known: classification, segmentation"),
        ({'width': 0}, 'width 0 must be a number above 0'),
        ({'width': 0.01}, 'width 0.01 rounds the 16 channels'),
        ({'dtype': 'float16'}, "dtype 'float16' is not possible; allowed: float32, bfloat16"),
        ({'dtype': 'half a float'}, "dtype 'half a float' is not possible"),
        ({'first_block': 'release'}, 'is a choice in drn_a variants only'),
    ],
)
def test_create_model_errors(options, text):
    with pytest.raises(ValueError) as error:
        drn_jax.create_model(**{'variant': 'drn_c_26', **options})
    assert text in str(error.value)


@pytest.mark.parametrize(
    'images, text',
    [
        (image_shape(32, 32, 3), 'images (32, 32, 3) must be [B, H, W, 3]'),
        (image_shape(1, 3, 32, 32), 'images (1, 3, 32, 32) must be [B, H, W, 3]'),
        (
            jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.uint8),
            'images are uint8; normalize them to float32 first',
        ),
    ],
)
def test_image_errors(images, text):
    with pytest.raises(ValueError) as error:
        shape_of(tiny('drn_c_26'), images)
    assert text in str(error.value)


def test_class_maps_need_classes():
    with pytest.raises(ValueError, match='class_maps needs classes and num_classes is 0'):
        shape_of(tiny('drn_c_26', num_classes=0), image_shape(1, 32, 32, 3), method='class_maps')


def equations(jaxpr):
    for equation in jaxpr.eqns:
        yield equation
        for inner in jaxprs_in_params(equation.params):
            yield from equations(inner)


@pytest.mark.parametrize(
    'variant, train', [('drn_a_50', False), ('drn_c_26', False), ('drn_c_26', True)]
)
def test_bfloat16_leaks_no_float32(variant, train):
    model = tiny(variant, dtype='bfloat16')
    jaxpr = jax.make_jaxpr(lambda v, x: model.apply(v, x, train, mutable=['batch_stats']))(
        shapes(model), image_shape(2, 64, 64, 3)
    )
    found = collections.Counter()
    for equation in equations(jaxpr.jaxpr):
        for variable in equation.outvars:
            if len(variable.aval.shape) == 4 and variable.aval.shape[0] == 2:
                where = str(equation.source_info.name_stack).split('/')[-1]
                found[equation.primitive.name, where, variable.aval.dtype.name] += 1
    operations = {(name, dtype) for name, where, dtype in found}
    assert ('conv_general_dilated', 'bfloat16') in operations
    assert ('conv_general_dilated', 'float32') not in operations
    # What is float32 lives inside a normalization, where XLA fuses it, or in the average.
    wide = {where for _, where, dtype in found if dtype == 'float32'}
    assert wide <= {'bn', 'bn1', 'bn2', 'bn3', 'Network'}
    assert found['convert_element_type', 'Network', 'float32'] == 1  # for the average
    levels = shape_of(model, image_shape(2, 64, 64, 3), method='levels')
    assert {leaf.dtype.name for leaf in levels.values()} == {'bfloat16'}


def test_bfloat16_gradient_convolves_in_bfloat16():
    model = tiny('drn_c_26', dtype='bfloat16')

    def loss(params, variables, images):
        logits, _ = model.apply(
            {**variables, 'params': params}, images, True, mutable=['batch_stats']
        )
        return logits.sum()

    variables = shapes(model)
    jaxpr = jax.make_jaxpr(jax.grad(loss))(
        variables['params'], variables, image_shape(2, 64, 64, 3)
    )
    convolutions = [
        equation.outvars[0].aval.dtype.name
        for equation in equations(jaxpr.jaxpr)
        if equation.primitive.name == 'conv_general_dilated'
    ]
    assert len(convolutions) > 2 * 26
    assert set(convolutions) == {'bfloat16'}


def test_bfloat16_logits_are_those_of_the_class_maps():
    """XLA:CPU of jax 0.12 gives NaN where it fuses the last residual block with its mean."""
    model = drn_jax.create_model('drn_a_18', num_classes=3, width=1 / 16, dtype='bfloat16')
    variables = random_variables(model)
    images = jax.random.normal(jax.random.key(0), (3, 64, 96, 3))
    maps = jax.jit(functools.partial(model.apply, method='class_maps'))(variables, images)
    logits = jax.jit(model.apply)(variables, images)
    np.testing.assert_allclose(logits, maps.mean((1, 2)), rtol=1e-2, atol=1e-2)


def test_bfloat16_is_close_to_float32():
    models = [tiny('drn_d_22', width=0.25, dtype=dtype) for dtype in ('float32', 'bfloat16')]
    variables = random_variables(models[0])
    images = np.random.default_rng(1).standard_normal((2, 32, 32, 3)).astype(np.float32)
    exact, rough = (jax.jit(model.apply)(variables, images) for model in models)
    assert exact.dtype == rough.dtype == jnp.float32
    assert 0 < np.abs(exact - rough).max() < 0.1 * exact.std()


def reach(model, field):
    """The rows of an image that one cell of the last level sees, as (first, last, expected first).

    Everything is positive, so no derivative vanishes; but max pooling passes it to one row only,
    so the first row is found on images that darken downwards and the last where they brighten.
    """
    stride = model.table.stride
    cell = -(-field // stride)
    variables = jax.tree.map_with_path(
        lambda path, leaf: np.full(
            leaf.shape,
            1 / np.prod(leaf.shape[:3])
            if path[-1].key in ('kernel', 'taps')
            else path[-1].key in ('scale', 'var'),
            np.float32,
        ),
        shapes(model),
    )

    @jax.jit
    def seen(images):
        gradient = jax.grad(lambda x: model.apply(variables, x)[0, cell].sum())(images)
        return (gradient != 0).any((0, 2, 3))

    ramp = np.broadcast_to(
        np.linspace(1, 2, 2 * cell * stride, dtype=np.float32)[:, None, None],
        (1, 2 * cell * stride, 32, 3),
    )
    first = int(np.flatnonzero(seen(ramp[:, ::-1]))[0])
    last = int(np.flatnonzero(seen(ramp))[-1])
    return first, last, cell * stride - field // 2


@pytest.mark.parametrize(
    'variant, first_block',
    [
        ('resnet_18', 'paper'),
        ('drn_a_18', 'paper'),
        ('drn_a_50', 'paper'),
        ('drn_a_50', 'release'),
        ('drn_b_26', 'paper'),
        ('drn_c_58', 'paper'),
        ('drn_d_22', 'paper'),
        ('drn_d_40', 'paper'),
    ],
)
def test_receptive_field_by_gradients(variant, first_block):
    model = tiny(variant, num_classes=0, first_block=first_block)
    field = drn_jax.describe(variant, first_block=first_block).total.receptive_field
    first, last, expected = reach(model, field)
    assert last - first + 1 == field
    assert first == expected


@pytest.mark.parametrize('degridding', ['levels', 'smooth', 'hdc'])
def test_receptive_field_with_other_ways_against_gridding(degridding):
    model = tiny('drn_a_18', num_classes=0, degridding=degridding)
    field = drn_jax.describe('drn_a_18', degridding=degridding).total.receptive_field
    first, last, expected = reach(model, field)
    assert (last - first + 1, first) == (field, expected)


def test_smoothing_begins_as_the_identity():
    plain, smooth = (tiny('drn_a_18', degridding=degridding) for degridding in ('none', 'smooth'))
    variables, sides = random_variables(plain), []

    def add(path, leaf):
        found = variables
        if path[-1].key == 'taps':
            sides.append(len(leaf))
            module = layers.Smoothing(len(leaf))
            return module.init(jax.random.key(0), SpaceToBatchMap.of(jnp.ones((1, 2, 2, 1))))[
                'params'
            ]['taps']
        for part in path:
            found = found[part.key]
        return found

    smoothed = jax.tree.map_with_path(add, shapes(smooth))
    assert sorted(sides) == [3, 3, 3, 3, 7, 7, 7]
    images = jax.random.normal(jax.random.key(0), (2, 40, 40, 3))
    np.testing.assert_allclose(
        jax.jit(smooth.apply)(smoothed, images),
        jax.jit(plain.apply)(variables, images),
        rtol=1e-5,
        atol=1e-5,
    )


def test_rematerialized_levels_give_the_same_numbers():
    model = drn_jax.create_model('drn_d_22', num_classes=3, width=0.0625)
    again = drn_jax.create_model(
        'drn_d_22', num_classes=3, width=0.0625, rematerialize=('level3', 'level6')
    )
    variables = random_variables(model)
    assert jax.tree.structure(shapes(again)) == jax.tree.structure(variables)
    images = jax.random.normal(jax.random.key(0), (2, 32, 32, 3))

    def gradients(model):
        def loss(params):
            logits, updates = model.apply(
                {**variables, 'params': params}, images, train=True, mutable=['batch_stats']
            )
            return (logits**2).sum(), updates

        return jax.jit(jax.grad(loss, has_aux=True))(variables['params'])

    remade = str(jax.make_jaxpr(lambda x: again.apply(variables, x))(images)).count('remat')
    assert remade == 2  # levels
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4),
        gradients(model),
        gradients(again),
    )


def test_what_tpus_train_gives_the_same_logits(monkeypatch):
    """The last sum is made anew, and the average comes with the last normalization."""
    choice = convolutions.CHOICES['tpu']._replace(anew=32)
    monkeypatch.setitem(convolutions.CHOICES, 'tpu', choice)
    model = tiny('drn_d_22')
    variables = random_variables(model)
    images = np.random.default_rng(0).standard_normal((2, 24, 40, 3)).astype(np.float32)

    def train(platform):
        run = functools.partial(model.clone(platform=platform).apply, train=True)
        return functools.partial(run, variables, mutable=['batch_stats'])

    want, found = (jax.jit(train(platform))(images) for platform in ('gpu', 'tpu'))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5 * np.abs(b).max()), found, want
    )
    counts = [str(jax.make_jaxpr(train(p))(images)).count('barrier') for p in ('gpu', 'tpu')]
    assert counts[0] == 0 < counts[1]


def test_levels_that_do_not_exist_cannot_be_rematerialized():
    with pytest.raises(ValueError, match="resnet_18 has no 'level8' to rematerialize; it has"):
        drn_jax.create_model('resnet_18', rematerialize=('level8',))


@pytest.mark.parametrize(
    'variant, options, folded',
    [
        ('drn_c_26', {'convolution': 'phase'}, True),
        ('drn_d_22', {'convolution': 'winograd'}, True),
        ('resnet_18', {}, False),
        ('drn_a_18', {'degridding': 'smooth', 'convolution': 'native'}, False),
    ],
)
def test_images_in_larger_arrays_have_the_maps_they_have_alone(variant, options, folded):
    model = tiny(variant, **options)
    variables = random_variables(model)
    if folded:
        model, variables = drn_jax.optimize_for_inference(model, variables)
    images = np.random.default_rng(0).standard_normal((2, 64, 72, 3)).astype(np.float32)
    sizes = [(41, 66), (64, 51)]
    run = jax.jit(functools.partial(model.apply, method='class_maps'))
    together = run(variables, images, sizes=jnp.array(sizes, jnp.int32))
    stride = model.table.stride
    for image, (height, width), maps in zip(images, sizes, together):
        alone = run(variables, image[None, :height, :width])[0]
        cells = [-(-length // stride) for length in (height, width)]
        assert alone.shape[:2] == tuple(cells)
        np.testing.assert_allclose(
            maps[: cells[0], : cells[1]], alone, atol=2e-5 * float(abs(alone).max())
        )
