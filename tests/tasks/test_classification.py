"""The classification task: literal answers, then properties."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.errors import refused
from training import tiny

from drn_jax import recipes, tasks
from drn_jax.tasks import classification


class Columns(nn.Module):
    """A network that compiles fast: class scores are weighted means of the image's columns."""

    @nn.compact
    def __call__(self, images, train=False):
        return nn.Dense(10)(images.mean((1, 3)))


@pytest.fixture
def config():
    return recipes.classification()


@pytest.fixture
def task(config):
    return tasks.create_task(config, Columns())


def prepare(task, batch, seed=None):
    """Prepares a batch, for training where a seed is given."""
    key = None if seed is None else jax.random.key(seed)
    return jax.jit(functools.partial(task.preprocess, train=seed is not None))(batch, key)


def all_crops(batch):
    """The ten crops, each with its mirror image after it."""
    return [
        images
        for crop in range(5)
        for images in (batch['image'][:, crop], batch['image'][:, crop, :, ::-1])
    ]


def batch_of(size=6, seed=0, crops=()):
    rng = np.random.default_rng(seed)
    return {
        'image': rng.integers(0, 256, (size, *crops, 32, 32, 3), np.uint8),
        'label': rng.integers(0, 10, size).astype(np.int32),
        'mask': np.ones(size, bool),
        'index': np.arange(size, dtype=np.uint32),
    }


def test_loss_of_two_classes_worked_out_by_hand():
    # -log(e^1 / (e^1 + e^3)) = log(1 + e^2) = 2.126928; -log(e^3 / (e^1 + e^3)) = 0.126928
    batch = {'label': jnp.array([0, 1]), 'mask': jnp.array([True, True])}
    logits = jnp.array([[1.0, 3.0], [1.0, 3.0]])
    np.testing.assert_allclose(classification.loss(logits, batch), 1.126928, rtol=1e-6)


def test_smoothed_loss_worked_out_by_hand():
    # 0.1 of the weight is spread over two classes: .95 * 2.126928 + .05 * 0.126928
    batch = {'label': jnp.array([0]), 'mask': jnp.array([True])}
    np.testing.assert_allclose(
        classification.loss(jnp.array([[1.0, 3.0]]), batch, smoothing=0.1), 2.026928, rtol=1e-6
    )


def test_counts_worked_out_by_hand():
    scores = jnp.array(
        [
            [6.0, 5, 4, 3, 2, 1],  # label 0: first
            [6.0, 5, 4, 3, 2, 1],  # label 4: fifth
            [6.0, 5, 4, 3, 2, 1],  # label 5: sixth
            [1.0, 1, 1, 1, 1, 1],  # all equal: last
            [np.nan] * 6,  # not a number: last
            [6.0, 5, 4, 3, 2, 1],
        ]
    )  # not real
    batch = {'label': jnp.array([0, 4, 5, 0, 0, 5]), 'mask': jnp.array([True] * 5 + [False])}
    counted = classification.counts({'1crop': scores}, batch)
    assert {name: int(value) for name, value in counted.items()} == {
        'examples': 5,
        'top1_error': 4,
        'top5_error': 3,
    }
    assert all(value.dtype == jnp.int32 for value in counted.values())


def test_ten_crops_are_counted_beside_the_central_one():
    batch = {'label': jnp.array([0]), 'mask': jnp.array([True])}
    counted = classification.counts(
        {'1crop': jnp.array([[2.0, 1.0]]), '10crop': jnp.array([[0.4, 0.6]])}, batch
    )
    assert (int(counted['top1_error']), int(counted['top1_error_10crop'])) == (0, 1)


def test_masked_rows_change_neither_loss_nor_counts(task):
    batch = batch_of(6)
    batch['mask'][4:] = False
    kept = {name: array[:4] for name, array in batch.items()}
    logits = jax.random.normal(jax.random.key(0), (6, 10))
    np.testing.assert_allclose(task.loss(logits, batch), task.loss(logits[:4], kept), rtol=1e-6)
    for whole, part in zip(
        *(
            task.counts({'1crop': scores}, rows).items()
            for scores, rows in ((logits, batch), (logits[:4], kept))
        )
    ):
        assert whole[0] == part[0] and int(whole[1]) == int(part[1])


def test_nothing_real_gives_a_loss_of_zero(task):
    batch = {**batch_of(2), 'mask': np.zeros(2, bool)}
    assert float(task.loss(jnp.ones((2, 10)), batch)) == 0.0


def test_evaluation_only_normalizes(task, config):
    batch = batch_of()
    image = prepare(task, batch)['image']
    wanted = (batch['image'] / 255 - np.array(config.data.mean)) / np.array(config.data.std)
    np.testing.assert_allclose(image, wanted, atol=1e-5)


def test_without_augmentation_training_normalizes_too(config):
    config.augmentation.mirror = False
    config.augmentation.color_jitter = (1.0, 1.0)
    config.augmentation.lighting = 0.0
    task = tasks.create_task(config, Columns())
    batch = batch_of()
    np.testing.assert_allclose(
        prepare(task, batch, seed=0)['image'], prepare(task, batch)['image'], atol=1e-5
    )


def test_augmentation_depends_on_the_index_alone(task):
    batch = batch_of(8)
    whole = prepare(task, batch, seed=3)['image']
    order = np.array([5, 0, 7, 2])
    rows = {name: array[order] for name, array in batch.items()}
    part = prepare(task, rows, seed=3)['image']
    np.testing.assert_allclose(whole[order], part, atol=1e-6)
    other = prepare(task, {**batch, 'index': batch['index'] + 8}, seed=3)['image']
    assert np.abs(whole - other).max() > 0.1


def test_about_half_of_the_images_are_mirrored(config):
    config.augmentation.color_jitter, config.augmentation.lighting = (1.0, 1.0), 0.0
    task = tasks.create_task(config, Columns())
    ramp = np.broadcast_to(np.arange(32, dtype=np.uint8)[:, None], (200, 32, 32, 3))
    batch = {'image': ramp, 'index': np.arange(200, dtype=np.uint32)}
    image = prepare(task, batch, seed=0)['image']
    mirrored = np.asarray(image[:, 0, 0, 0] > image[:, 0, -1, 0])
    assert 75 < mirrored.sum() < 125


def test_ten_crops_average_the_probabilities_of_crops_and_mirror_images(task):
    variables = task.model.init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    batch = prepare(task, batch_of(3, crops=(5,)))
    found = task.predict(variables, batch)
    logits = [task.model.apply(variables, images) for images in all_crops(batch)]
    assert np.abs(logits[0] - logits[1]).max() > 0.01
    np.testing.assert_allclose(found['1crop'], logits[0], atol=1e-5)
    np.testing.assert_allclose(
        found['10crop'], np.mean([jax.nn.softmax(scores) for scores in logits], 0), atol=1e-5
    )


def test_ten_crops_average_logits_where_asked(config):
    config.evaluation.average = 'logits'
    task = tasks.create_task(config, Columns())
    variables = task.model.init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    batch = prepare(task, batch_of(2, crops=(5,)))
    logits = [task.model.apply(variables, images) for images in all_crops(batch)]
    np.testing.assert_allclose(
        task.predict(variables, batch)['10crop'], np.mean(logits, 0), atol=1e-5
    )


def test_an_unknown_task_is_named(config):
    config.task = 'detection'
    with refused('config.task'):
        tasks.create_task(config, None)


def test_groups_of_images_have_their_own_batch_statistics():
    config = tiny.tiny_config()
    config.model.batch_norm_group_size = 2
    whole, grouped = tiny.tiny_task(tiny.tiny_config()), tiny.tiny_task(config)
    variables = tiny.tiny_variables(whole)
    batch = whole.preprocess(tiny.tiny_batch(size=8), jax.random.key(0), True)
    logits, stats = grouped.forward(variables, batch)
    # What a device without synchronized statistics gives for its two images.
    alone = [whole.forward(variables, {'image': batch['image'][i : i + 2]}) for i in (0, 2, 4, 6)]
    np.testing.assert_allclose(logits, jnp.concatenate([each for each, _ in alone]), atol=1e-5)
    jax.tree.map(
        lambda found, *parts: np.testing.assert_allclose(found, sum(parts) / 4, atol=1e-6),
        stats,
        *[part for _, part in alone],
    )
    assert np.abs(logits - whole.forward(variables, batch)[0]).max() > 1e-3
