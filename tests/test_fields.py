"""The table of fields: ranges, what may change on resuming, configurations that were stored."""

import json
import math
import pathlib

import ml_collections
import pytest
from support.errors import refused

from drn_jax import commands, fields, files, recipes, tasks


@pytest.mark.parametrize(
    'path',
    sorted((pathlib.Path(__file__).parent.parent / 'configs').glob('*.py')),
    ids=lambda path: path.stem,
)
def test_the_configs_pass(path):
    fields.check(commands.load_config(str(path), []))


@pytest.mark.parametrize(
    'field, value, message',
    [
        ('log_every_steps', 0, 'config.log_every_steps is 0; it must be at least 1'),
        ('profile_steps', (20, 10), 'give the smaller number first'),
        ('profile_steps', (-1, 10), r'profile_steps is \(-1, 10\); it must be at least 0'),
        ('profile_steps', (1.5, 3), r'profile_steps is \(1.5, 3\); give whole numbers'),
        ('profile_steps', (10,), 'it has 2 numbers'),
        ('profile_steps', (10, 10), r'no step; give another second number, such as \(10, 20\)'),
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
        ('batch_size', 7, 'config.batch_size 7 does not divide by config.data.shards 8'),
        ('data.image_size', -3, 'config.data.image_size is -3'),
        ('data.max_unreadable_fraction', -1.0, 'it must be at least 0 and at most 1'),
        ('optimizer.learning_rate', math.nan, 'learning_rate is nan'),
        ('optimizer.momentum', -1.0, 'momentum is -1.0'),
        ('data.std', (0.2, 'a', 0.2), 'give numbers'),
        ('augmentation.color_jitter', (1.0,), 'it has 2 numbers'),
        ('optimizer.schedule', 'line', "'line' is unknown; known: steps, cosine, poly, constant"),
        ('optimizer.learning_rate', -1.0, 'learning_rate is -1.0; it must be at least 0'),
        ('optimizer.base_batch_size', 0, 'base_batch_size is 0; it must be at least 1'),
        ('evaluation.average', 'scores', "average 'scores' is unknown; known: probabilities, lo"),
        ('evaluation.crops', 5, 'config.evaluation.crops 5 is unknown; known: 1, 10'),
        ('evaluation.maps', 'half', "config.evaluation.maps 'half' is unknown; known: crop, whole"),
        ('evaluation.threshold', 1.0, 'config.evaluation.threshold is 1.0; it must be below 1'),
        ('loss.label_smoothing', 1.0, 'label_smoothing is 1.0; it must be at least 0 and below 1'),
        ('model.dtype', 'float16', "config.model.dtype 'float16' is unknown; known: float32, bfl"),
        (
            'data.mean',
            (123.675, 116.28, 103.53),
            '; numbers for white being 255 are divided by 255: 0.485, 0.456, 0.406$',
        ),
        ('data.mean', (-1.0, 0.5, 0.5), 'it must be at least 0 and at most 1$'),
        ('data.std', (58.395, 57.12, 57.375), 'at most 1; .* by 255: 0.229, 0.224, 0.225$'),
        ('data.crop_area', (8, 100), 'percents are divided by 100: 0.08, 1$'),
        ('data.crop_ratio', (75.0, 133.0), 'percents are divided by 100: 0.75, 1.33$'),
        ('augmentation.color_jitter', (50.0, 150.0), 'percents are divided by 100: 0.5, 1.5$'),
        ('augmentation.lighting', 25.5, 'white being 255 are divided by 255: 0.1$'),
        ('data.max_unreadable_fraction', 5.0, 'percents are divided by 100: 0.05$'),
        ('loss.label_smoothing', 10.0, 'percents are divided by 100: 0.1$'),
        ('seed', 2**63, 'config.seed is 9223372036854775808; .* at most 4294967295$'),
        ('seed', -1, 'config.seed is -1; it must be at least 0'),
        ('data.threads', 2**63, 'it must be at most 2147483647$'),
        ('data.class_names', ('cat', 3), 'give names'),
        ('data.class_names', ('',), 'give names'),
        ('data.resize_px', 200, 'resize_px 200 is less than config.data.image_size 224, so crops'),
    ],
)
def test_what_is_out_of_range_is_named(field, value, message):
    config = recipes.classification()
    config.update_from_flattened_dict({field: value})
    with refused(f'config.{field}', match=message):
        fields.check(config)


@pytest.mark.parametrize(
    'palette', [((300, 0, 0),), ((0, 0, -1),), ((0.5, 0, 0),), (0, 0, 0), ((1, 2),), ('#ff0000',)]
)
def test_colors_are_bytes(palette):
    config = recipes.segmentation()
    config.data.palette = palette
    with refused('config.data.palette', match='whole numbers from 0 to 255$'):
        fields.check(config)


@pytest.mark.parametrize('field', ['data.scale', 'evaluation.scales'])
def test_scales_are_no_percents(field):
    config = recipes.segmentation()
    config.update_from_flattened_dict({field: (50.0, 100.0)})
    with refused(f'config.{field}', match='at most 16; percents are divided by 100: 0.5, 1$'):
        fields.check(config)


def test_a_half_evaluation_size_is_refused_before_training():
    config = recipes.segmentation()
    config.data.evaluation_size = (0, 512)
    with refused('config.data.evaluation_size'):
        fields.check(config)


@pytest.mark.parametrize('off', ['augmentation.mirror', 'data.crop'])
def test_ten_crops_need_mirroring_and_crops(off):
    config = recipes.classification()
    config.update_from_flattened_dict({'evaluation.crops': 10, off: False})
    with refused('config.evaluation.crops', match=f'config.{off} is off for this data'):
        fields.check(config)


@pytest.mark.parametrize(
    'field, value', [('upsample_border', 'wrap'), ('batch_norm_group_size', 5)]
)
def test_fields_of_the_model(field, value):
    config = recipes.segmentation()
    config.model[field] = value
    with refused(f'config.model.{field}'):
        fields.check(config)


def test_a_configuration_survives_json(tmp_path):
    config = recipes.classification()
    files.write_json(tmp_path / 'new' / 'config.json', config.to_dict())
    stored = json.loads((tmp_path / 'new' / 'config.json').read_text())
    assert fields.from_stored(stored, recipes.classification()) == config


def test_other_settings_are_listed():
    old, new = recipes.digit_scenes(), recipes.digit_scenes()
    new.model.variant, new.batch_size = 'drn_a_18', 64
    with refused('config.batch_size', 'runs/a') as error:
        fields.check_same_run('runs/a', old, new)
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
def test_changes_without_effect_on_results_are_accepted(field, value):
    config = recipes.digit_scenes()
    config.update_from_flattened_dict({field: value})
    fields.check_same_run('runs/a', recipes.digit_scenes(), config)


RESUMABLE = """
profile_steps + batch_size - model.dtype - data.shards - data.shuffle_buffer - seed -
augmentation.lighting -
optimizer.momentum - model.rematerialize + model.convolution + epochs + steps + log_every_steps +
watchdog_seconds + data.data_dir + data.manual_dir + data.validation_split + data.threads +
data.max_unreadable_fraction + data.palette + data.evaluation_size + evaluation.batch_size +
evaluation.scales + checkpoint.best_metric + mesh.devices + mesh.spatial + init_from -
task - data.name - data.mean - loss.class_weights - optimizer.max_consecutive_nonfinite -
model.upsample_border - model.freeze_batch_stats - data.train_split - data.boxes -
""".split()


def test_which_fields_a_stopped_run_may_change():
    """The rule of the runs that were started before there was a table."""
    of_name = {field.name: field for field in fields.FIELDS}
    for name, sign in zip(RESUMABLE[::2], RESUMABLE[1::2]):
        assert of_name[name].resume == (sign == '+'), name
    assert {name for name, field in of_name.items() if field.of_network} == {
        'task',
        'model.variant',
        'model.width',
        'model.first_block',
        'model.stride_in',
        'model.degridding',
        'model.num_classes',
        'model.batch_norm_group_size',
        'model.freeze_batch_stats',
        'model.upsample_border',
    }


def test_a_field_that_an_old_run_did_not_have_is_named():
    old = recipes.classification()
    with old.unlocked():
        del old.loss
    assert fields.differences(old, recipes.classification(), lambda field: not field.resume) == [
        'loss.label_smoothing was None and is now 0.0'
    ]


def test_a_stored_configuration_with_old_names_is_read():
    stored = {
        'task': 'segmentation',
        'hang_seconds': 60.0,
        'model': {'edges': 'fade', 'statistics_images': 4, 'freeze_statistics': True},
        'data': {'streams': 2, 'max_unreadable_share': 0.5, 'scale': [0.5, 2.0]},
        'augmentation': {'colour_factors': [0.4, 1.6]},
        'optimizer': {'rate_batch': 16, 'backbone_rate': 0.1, 'max_skipped': 3},
        'mesh': {'space': 2},
    }
    config = fields.from_stored(stored, recipes.segmentation())
    assert (config.watchdog_seconds, config.data.shards, config.mesh.spatial) == (60.0, 2, 2)
    assert (config.model.upsample_border, config.model.batch_norm_group_size) == ('fade', 4)
    assert config.model.freeze_batch_stats and config.data.max_unreadable_fraction == 0.5
    assert (config.data.scale, config.augmentation.color_jitter) == ((0.5, 2.0), (0.4, 1.6))
    assert config.optimizer.base_batch_size == 16 and config.optimizer.backbone_lr_scale == 0.1
    assert config.optimizer.max_consecutive_nonfinite == 3
    assert sorted(fields.flatten(config)) == sorted(fields.flatten(recipes.segmentation()))


def test_names_that_an_earlier_version_let_pass_are_left_out():
    stored = {'task': 'classification', 'note': 1, 'mine': {'a': 2}, 'data': {'crop_px': 3}}
    config = fields.from_stored(stored, recipes.classification())
    assert config.to_dict() == recipes.classification().to_dict() and config.is_locked
    fields.check(config)


def test_a_field_that_is_missing_is_named():
    with refused('config.augmentation.color_jitter'):
        fields.check(ml_collections.ConfigDict({'task': 'classification', 'batch_size': 8}))


def test_a_field_that_does_not_exist_is_refused_with_the_nearest(tmp_path):
    config = ml_collections.ConfigDict(recipes.classification().to_dict())
    config.data.shard = 4
    with refused('config.data.shard', match="'data.shard'; the nearest is 'data.shards'"):
        fields.check(config)
    assert "'rate_batch'; the nearest is 'optimizer.base_" in str(fields.unknown('rate_batch'))
    file = tmp_path / 'config.py'
    file.write_text(
        'from drn_jax import recipes\n\n\ndef get_config():\n'
        '    config = recipes.classification()\n    config.optimizer.learning_rat = .2\n'
        '    return config\n'
    )
    with refused(
        'config.learning_rat', match="'learning_rat'; the nearest is 'optimizer.learning_rate'"
    ):
        commands.load_config(str(file), [])


def test_each_recipe_has_the_fields_of_its_labels():
    for kind in tasks.TASKS.values():
        labels = 'maps' if kind.label_kind == 'maps' else 'classes'
        wanted = {field.name for field in fields.FIELDS if field.labels in ('', labels)}
        assert fields.flatten(kind.recipe()).keys() == wanted
    names = [field.name for field in fields.FIELDS]
    assert len(names) == len(set(names)) and all(field.help for field in fields.FIELDS)


def test_the_fields_as_text():
    text = fields.lines()
    assert len(text.splitlines()) == len(fields.FIELDS)
    assert '--config.data.shards=8 ' in text and '(steps, cosine, poly, constant)' in text
    rows = fields.markdown().splitlines()
    assert len(rows) == len(fields.FIELDS) + 2 and all(row.count('|') == 5 for row in rows[:1])
