"""Ranges of the configuration's fields."""

import math
import pathlib

import pytest

from drn_jax import commands, recipes
from drn_jax.errors import InputError
from drn_jax.training import settings


@pytest.mark.parametrize(
    'path',
    sorted((pathlib.Path(__file__).parent.parent.parent / 'configs').glob('*.py')),
    ids=lambda path: path.stem,
)
def test_the_configs_pass(path):
    settings.check_settings(commands.load_config(str(path), []))


@pytest.mark.parametrize(
    'field, value, message',
    [
        ('log_every_steps', 0, 'config.log_every_steps is 0; it must be at least 1'),
        ('batch_size', -16, 'config.batch_size is -16; it must be at least 1'),
        ('epochs', math.nan, 'config.epochs is nan; it must be at least 0 and at most 1e'),
        ('evaluation.every_epochs', 0.0, 'every_epochs is 0.0; it must be above 0'),
        ('checkpoint.every_steps', -1, 'every_steps is -1; it must be at least 0'),
        ('checkpoint.keep_last', 0, 'keep_last is 0; it must be at least 2'),
        ('checkpoint.best_is', 'least', "best_is 'least' is unknown; known: lowest, highest"),
        ('data.mean', (0.5, 0.5), r'config.data.mean is \(0.5, 0.5\); it has 3 numbers'),
        ('data.std', (0.2, 0.0, 0.2), 'it must be above 0 and at most'),
        ('data.crop_area', (0.08, 1.5), 'it must be above 0 and at most 1'),
        ('data.crop_area', (0.5,), 'it has 2 numbers'),
        ('data.crop_ratio', (2.0, 0.5), 'give the smaller number first'),
        ('data.shards', 0, 'config.data.shards is 0'),
        ('data.shards', 7, 'config.batch_size 256 does not divide by config.data.shards 7'),
        ('data.image_size', -3, 'config.data.image_size is -3'),
        ('data.max_unreadable_fraction', -1.0, 'it must be at least 0 and at most 1'),
        ('optimizer.learning_rate', math.nan, 'learning_rate is nan'),
        ('optimizer.momentum', -1.0, 'momentum is -1.0'),
        ('data.std', (0.2, 'a', 0.2), 'give numbers'),
        ('augmentation.color_jitter', (1.0,), 'it has 2 numbers'),
    ],
)
def test_what_is_out_of_range_is_named(field, value, message):
    config = recipes.classification()
    config.update_from_flattened_dict({field: value})
    with pytest.raises(InputError, match=message):
        settings.check_settings(config)


def test_a_half_evaluation_size_is_refused_before_training():
    config = recipes.segmentation()
    config.data.evaluation_size = (0, 512)
    with pytest.raises(InputError, match=r'evaluation_size is \(0, 512\); give a height and a'):
        settings.check_settings(config)
