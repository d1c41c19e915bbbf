"""Configurations on disk, and which may follow which."""

import json

import pytest

from drn_jax import recipes
from drn_jax.errors import InputError
from drn_jax.training import configurations


def test_a_configuration_survives_json(tmp_path):
    config = recipes.classification()
    configurations.write_json(tmp_path / 'new' / 'config.json', config.to_dict())
    stored = json.loads((tmp_path / 'new' / 'config.json').read_text())
    assert configurations.from_dict(stored) == config


def test_other_settings_are_listed():
    old, new = recipes.digit_scenes(), recipes.digit_scenes()
    new.model.variant, new.batch_size = 'drn_a_18', 64
    with pytest.raises(InputError) as error:
        configurations.check_same_run('runs/a', old, new)
    assert str(error.value) == (
        'runs/a holds a run with other settings: batch_size was 16 and is now 64; '
        "model.variant was 'drn_c_26' and is now 'drn_a_18'; give the old settings to go on, or "
        'another --workdir'
    )


@pytest.mark.parametrize(
    'field, value',
    [
        ('epochs', 200.0),
        ('steps', 9),
        ('data.data_dir', 'elsewhere'),
        ('mesh.devices', 4),
        ('evaluation.every_epochs', 9.0),
        ('checkpoint.keep_last', 7),
        ('log_every_steps', 1),
    ],
)
def test_harmless_changes_are_accepted(field, value):
    config = recipes.digit_scenes()
    config.update_from_flattened_dict({field: value})
    configurations.check_same_run('runs/a', recipes.digit_scenes(), config)


@pytest.mark.parametrize(
    'field',
    [
        'seed',
        'data.shards',
        'data.shuffle_buffer',
        'model.dtype',
        'optimizer.momentum',
        'augmentation.lighting',
    ],
)
def test_settings_that_change_results_are_not_harmless(field):
    config, other = recipes.classification(), recipes.classification()
    other.update_from_flattened_dict(
        {
            field: {
                'seed': 5,
                'data.shards': 4,
                'data.shuffle_buffer': 1,
                'model.dtype': 'bfloat16',
                'optimizer.momentum': 0.5,
                'augmentation.lighting': 0.0,
            }[field]
        }
    )
    assert len(configurations.differences(config, other)) == 1


def test_classes_come_from_the_data_set():
    class Source:
        num_classes, labels, class_names = 12, 'classes', tuple('abcdefghijkl')

    config = recipes.classification()
    configurations.settle_classes(config, Source)
    assert config.model.num_classes == 12
    assert config.data.class_names == tuple('abcdefghijkl')
    config.model.num_classes = 1000
    with pytest.raises(InputError, match='the network has 1000 classes, but imagenet2012 has 12'):
        configurations.settle_classes(config, Source)


def test_a_trained_network_keeps_its_mean_and_deviation():
    class Source:
        num_classes, labels, class_names = 2, 'maps', ('sky', 'sea')
        palette, mean_std = ((0, 0, 0), (9, 9, 9)), ((0.1, 0.1, 0.1), (0.5, 0.5, 0.5))

    config = recipes.segmentation()
    before = config.data.mean, config.data.std
    configurations.settle_classes(config, Source, trained=True)
    assert (config.data.mean, config.data.std) == before
    configurations.settle_classes(config, Source)
    assert (config.data.mean, config.data.std) == Source.mean_std


def test_a_field_that_an_old_run_did_not_have_is_named():
    old = recipes.classification()
    del old.loss
    assert configurations.differences(old, recipes.classification()) == [
        'loss.label_smoothing was None and is now 0.0'
    ]
