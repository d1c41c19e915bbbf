"""A new task is one module and one row: the mean color of an image, learned by regression."""

import functools
import json

import jax
import jax.numpy as jnp
import pytest

from drn_jax import evaluate, experiments, recipes, tasks
from drn_jax.tasks import preprocessing, task
from drn_jax.training import loop

UNIT = 1 << 10  # errors are counted in whole numbers of 1 / UNIT


def recipe():
    config = recipes.digit_scenes()
    config.task = 'mean_color'
    config.checkpoint.best_metric = 'color_error'
    return config


def create(config, model):
    """Takes the first three scores of a classifier for the mean of the normalized channels."""

    def loss(outputs, batch):
        errors = ((outputs[:, :3] - batch['image'].mean((1, 2))) ** 2).mean(-1)
        return errors.sum(where=batch['mask']) / jnp.maximum(batch['mask'].sum(), 1)

    def predict(variables, batch):
        return model.apply(variables, batch['image'], train=False)[:, :3]

    def counts(predictions, batch):
        errors = jnp.abs(predictions - batch['image'].mean((1, 2))).mean(-1)
        whole = jnp.round(UNIT * errors).astype(jnp.int32)
        return {
            'examples': batch['mask'].sum(dtype=jnp.int32),
            'color_error': whole.sum(where=batch['mask'], dtype=jnp.int32),
        }

    def report(summed):
        return {
            'examples': summed['examples'],
            'color_error': summed['color_error'] / UNIT / max(summed['examples'], 1),
        }

    return task.Task(
        batch_keys=('image', 'label', 'mask'),
        metrics=('color_error',),
        model=model,
        preprocess=functools.partial(
            preprocessing.preprocess,
            mean=config.data.mean,
            std=config.data.std,
            augmentation=config.augmentation,
        ),
        forward=functools.partial(task.forward, model),
        loss=loss,
        predict=predict,
        counts=counts,
        report=report,
    )


@pytest.fixture
def row(monkeypatch):
    """The row of the table."""
    kind = tasks.TaskKind(
        recipe, create, label_kind='classes', network='classification', evaluates=('mean_color',)
    )
    monkeypatch.setitem(tasks.TASKS, 'mean_color', kind)


def test_it_trains_and_is_evaluated_like_the_others(row, digit_scenes_dir, tmp_path, capsys):
    config = recipe()
    config.update_from_flattened_dict(
        {
            'model.variant': 'resnet_18',
            'model.width': 1 / 16,
            'data.data_dir': str(digit_scenes_dir),
            'data.image_size': 32,
            'data.train_split': 'train[:160]',
            'data.validation_split': 'validation[:21]',
            'batch_size': 16,
            'epochs': 4.0,
            'evaluation.batch_size': 8,
            'evaluation.every_epochs': 2.0,
        }
    )
    metrics = loop.train(experiments.resolve(config), tmp_path)
    first = json.loads((tmp_path / 'checkpoints/20/metrics/metrics').read_text())
    assert metrics['examples'] == 21
    assert metrics['color_error'] < min(0.5, first['color_error'])  # deviations of a channel
    evaluate.main([f'--checkpoint={tmp_path}', f'--output={tmp_path}/evaluation'])
    report = json.loads((tmp_path / 'evaluation/report.json').read_text())
    assert report['metrics'] == pytest.approx(metrics, abs=2e-3) and report['published'] == {}
    assert 'color_error' in capsys.readouterr().out
    assert jax.device_count() == 8  # padding of 21 images took part
