"""The segmentation task: literal answers, then properties."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from models import fills
from support.errors import refused

import drn_jax
from drn_jax import recipes, tasks
from drn_jax.ops import resize
from drn_jax.tasks import segmentation


@pytest.fixture
def config():
    return recipes.segmentation()


@pytest.fixture(scope='module')
def model():
    return drn_jax.create_model('drn_d_22', num_classes=5, task='segmentation', width=0.0625)


@pytest.fixture(scope='module')
def variables(model):
    return fills.random_variables(model)


def batch_of(size=3, side=48, seed=0, classes=5):
    rng = np.random.default_rng(seed)
    return {
        'image': rng.integers(0, 256, (size, side, side, 3), np.uint8),
        'label': rng.choice([*range(classes), 255], (size, side, side)).astype(np.uint8),
        'mask': np.ones(size, bool),
        'index': np.arange(size, dtype=np.uint32),
    }


def plain_loss(maps, batch, stride=8, border='extend', class_weights=None):
    """The formula, written down with all scores at full resolution."""
    scores = resize.upsample(maps, *batch['label'].shape[1:], stride=stride, border=border)
    labels = jnp.where(batch['mask'][:, None, None], batch['label'], 255)
    losses = optax.losses.softmax_cross_entropy_with_integer_labels(
        scores, jnp.where(labels == 255, 0, labels).astype(jnp.int32)
    )
    weights = jnp.ones(maps.shape[-1]) if class_weights is None else jnp.array(class_weights)
    weights = jnp.where(labels == 255, 0, weights[jnp.where(labels == 255, 0, labels)])
    return (losses * weights).sum() / weights.sum()


def test_loss_of_one_cell_by_hand():
    # One cell, so all pixels have the scores 1 and 3: 2.126928 for class 0, 0.126928 for class 1.
    label = np.full((1, 8, 8), 255, np.uint8)
    label[0, 0, :3], label[0, 7, 7] = 0, 1
    batch = {'label': label, 'mask': np.array([True])}
    maps = jnp.array([1.0, 3.0]).reshape(1, 1, 1, 2)
    np.testing.assert_allclose(
        segmentation.loss(maps, batch), (3 * 2.126928 + 0.126928) / 4, rtol=1e-6
    )
    np.testing.assert_allclose(
        segmentation.loss(maps, batch, class_weights=(0.5, 2.0)),
        (1.5 * 2.126928 + 2 * 0.126928) / 3.5,
        rtol=1e-6,
    )


@pytest.mark.parametrize('side', [48, 45, 7])
@pytest.mark.parametrize('border', resize.BORDERS)
def test_loss_and_gradient_equal_the_plain_formula(side, border):
    batch = batch_of(side=side)
    batch['mask'][1] = False
    maps = 3 * jax.random.normal(jax.random.key(0), (3, -(-side // 8), -(-side // 8), 5))
    with jax.enable_x64(True):
        maps = jnp.asarray(np.asarray(maps, np.float64))
        found, gradient = jax.jit(
            jax.value_and_grad(functools.partial(segmentation.loss, border=border))
        )(maps, batch)
        wanted, wanted_gradient = jax.value_and_grad(plain_loss)(maps, batch, border=border)
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
    np.testing.assert_allclose(gradient, wanted_gradient, rtol=1e-5, atol=1e-9)


def test_loss_in_float32_is_the_plain_one():
    maps, batch = 3 * jax.random.normal(jax.random.key(1), (3, 6, 6, 5)), batch_of()
    np.testing.assert_allclose(segmentation.loss(maps, batch), plain_loss(maps, batch), rtol=1e-6)


def test_loss_and_gradient_are_zero_where_nothing_is_labeled():
    batch = batch_of()
    batch['label'][:] = 255
    value, gradient = jax.value_and_grad(segmentation.loss)(jnp.ones((3, 6, 6, 5)), batch)
    assert value == 0 and not np.asarray(gradient).any()


def test_masked_rows_count_as_if_dropped(config, model, variables):
    task = tasks.create_task(config, model)
    batch = batch_of(4)
    batch['mask'][2:] = False
    some = {key: value[:2] for key, value in batch.items()}
    maps = jax.random.normal(jax.random.key(0), (4, 6, 6, 5))
    np.testing.assert_allclose(task.loss(maps, batch), task.loss(maps[:2], some), rtol=1e-6)
    predictions = np.random.default_rng(1).integers(0, 5, (4, 48, 48)).astype(np.uint8)
    jax.tree.map(
        np.testing.assert_array_equal,
        task.counts(predictions, batch),
        task.counts(predictions[:2], some),
    )


def test_labels_are_mirrored_with_their_images(config):
    config.augmentation.mirror = True
    task = tasks.create_task(
        config, drn_jax.create_model('drn_d_22', num_classes=5, task='segmentation')
    )
    batch = batch_of(16)
    batch['image'][..., 0] = batch['label']  # so that the image says what its label is
    prepared = jax.jit(functools.partial(task.preprocess, train=True))(batch, jax.random.key(0))
    red = prepared['image'][..., 0] * config.data.std[0] + config.data.mean[0]
    np.testing.assert_array_equal(np.round(red * 255), prepared['label'])
    mirrored = (np.asarray(prepared['label']) == batch['label'][:, :, ::-1]).all((1, 2))
    assert 0 < mirrored.sum() < 16


def test_predictions_are_the_best_upsampled_scores(config, model, variables):
    task = tasks.create_task(config, model)
    batch = task.preprocess(batch_of(side=45), None, False)
    maps = model.apply(variables, batch['image'])
    np.testing.assert_array_equal(
        task.predict(variables, batch), resize.upsample(maps, 45, 45).argmax(-1)
    )


@pytest.mark.parametrize('border', ['extend', 'fade'])
def test_smaller_images_have_their_scores_at_the_border(model, variables, border):
    images = jnp.asarray(np.random.default_rng(0).standard_normal((1, 48, 40, 3)), jnp.float32)
    sizes = jnp.array([[45, 29]])
    found = segmentation.predict(model, variables, {'image': images}, border=border, sizes=sizes)
    alone = segmentation.predict(model, variables, {'image': images[:, :45, :29]}, border=border)
    np.testing.assert_array_equal(found[:, :45, :29], alone)
    with pytest.raises(ValueError, match='without tiles'):
        segmentation.predict(model, variables, {'image': images}, tile_px=8, sizes=sizes)


def test_mirrored_testing_gives_mirrored_answers(config, model, variables):
    config.evaluation.mirror, config.evaluation.scales = True, (0.75, 1.0, 1.5)
    task = tasks.create_task(config, model)
    batch = task.preprocess(batch_of(side=50), None, False)
    predict = jax.jit(task.predict)
    found = predict(variables, batch)
    other = predict(variables, {**batch, 'image': batch['image'][:, :, ::-1]})
    assert (np.asarray(found) == np.asarray(other)[:, :, ::-1]).mean() > 0.999  # ties by rounding
    assert len(np.unique(found)) > 1


def test_scales_add_logarithms_of_probabilities(config, model, variables):
    config.evaluation.scales = (1.0, 2.0)
    task = tasks.create_task(config, model)
    batch = task.preprocess(batch_of(side=48), None, False)
    once = resize.upsample(model.apply(variables, batch['image']), 48, 48)
    double = jax.image.resize(batch['image'], (3, 96, 96, 3), 'linear')
    twice = resize.upsample(model.apply(variables, double), 48, 48, stride=4)
    wanted = (jax.nn.log_softmax(once) + jax.nn.log_softmax(twice)).argmax(-1)
    assert (np.asarray(task.predict(variables, batch)) == wanted).mean() > 0.999


def test_tiled_prediction_is_that_of_whole_images(config, model, variables):
    whole = tasks.create_task(config, model)
    config.evaluation.tile_px = 64
    tiled = tasks.create_task(config, model)
    batch = whole.preprocess(batch_of(1, side=610), None, False)
    found, wanted = (np.asarray(jax.jit(task.predict)(variables, batch)) for task in (tiled, whole))
    assert (found == wanted).mean() > 0.9999


def test_report_by_hand():
    names = ('road', 'sidewalk', 'car')
    matrix = np.array([[6, 2, 0], [0, 4, 0], [0, 0, 0]])
    metrics = segmentation.report({'examples': 2, 'confusion': matrix}, class_names=names)
    assert metrics == {
        'examples': 2,
        'mean_iou': pytest.approx((6 / 8 + 4 / 6) / 2),
        'pixel_accuracy': pytest.approx(10 / 12),
        'iou/road': pytest.approx(0.75),
        'iou/sidewalk': pytest.approx(4 / 6),
    }


def test_without_a_labeled_pixel_there_is_no_mean():
    metrics = segmentation.report(
        {'examples': 1, 'confusion': np.zeros((2, 2), int)}, class_names=('a', 'b')
    )
    assert metrics == {'examples': 1}


@pytest.mark.parametrize(
    'field, value, message',
    [
        (
            'evaluation.tile_px',
            100,
            'tile_px is 100; give 0, .* multiple of the stride of drn_d_22, 8',
        ),
        ('loss.class_weights', (1.0, 2.0), 'class_weights has 2 numbers, but there are 5 classes'),
        ('loss.class_weights', (0.0,) * 5, 'class_weights are all 0, so nothing would be learned'),
    ],
)
def test_settings_that_cannot_be_used_are_named(config, model, field, value, message):
    config.update_from_flattened_dict({field: value})
    with refused(f'config.{field}', match=message):
        tasks.create_task(config, model)
