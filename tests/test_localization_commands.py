"""Localization from the command line, on ImageNet's builder over small tars and box archives."""

import json

import jax
import numpy as np
import pytest
from data.box_archives import TRAIN, VALIDATION, write_train_boxes, write_validation_boxes
from data.imagenet_tars import SYNSETS, write_imagenet_tars
from data.number_sources import NumberSource
from support.errors import refused
from test_imagenet_commands import SMALL

from drn_jax import evaluate, main, recipes

ONE_DEVICE = ['--config.mesh.devices=1']  # compiles in half the time
METRICS = {
    'top1_error',
    'top5_error',
    'examples',
    'threshold',
    'localization_top1_error',
    'localization_top5_error',
    'localization_gt_known_error',
    'empty_maps',
    'box_iou',
    'whole_image/localization_gt_known_error',
    'max_box_acc',
    'max_box_acc_v2',
    'gridding/level5',
}
# What only thresholds that were chosen on other images give.
CHOSEN = {
    'scaled/threshold',
    'scaled/localization_gt_known_error',
    'scaled/empty_maps',
    'centred_box/localization_gt_known_error',
}


@pytest.fixture(scope='module')
def archives(tmp_path_factory):
    """Boxes of all images: training images are 80 pixels wide and 60 high; see imagenet_tars."""
    directory = tmp_path_factory.mktemp('boxes')
    write_validation_boxes(
        directory,
        {
            number: [(0, 0, 49 + number, 69), (5, 5, 20, 20)][: 1 + number % 2]
            for number in range(1, 11)
        },
    )
    write_train_boxes(
        directory,
        {(synset, number): [(20, 15, 79, 900)] for synset in SYNSETS[:2] for number in range(1, 5)},
    )
    return directory


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """A run of two steps on ten validation images and twelve for training."""
    manual, prepared = tmp_path_factory.mktemp('manual'), tmp_path_factory.mktemp('prepared')
    write_imagenet_tars(manual, train_per_class=6, classes=2, validation=10)
    workdir = tmp_path_factory.mktemp('runs') / 'run'
    main.main(
        [
            *SMALL,
            *ONE_DEVICE,
            '--config.model.variant=drn_a_18',
            f'--workdir={workdir}',
            f'--config.data.data_dir={prepared}',
            f'--config.data.manual_dir={manual}',
        ]
    )
    return workdir


def localize(run, output, *flags):
    """Evaluates a run for localization; gives the report."""
    evaluate.main(
        [f'--checkpoint={run}', '--task=localization', f'--output={output}', *ONE_DEVICE, *flags]
    )
    return json.loads((output / 'report.json').read_text())


@pytest.fixture(scope='module')
def chosen(run, archives, tmp_path_factory):
    """The report with one crop and thresholds chosen on training images."""
    return localize(run, tmp_path_factory.mktemp('chosen'), f'--config.data.boxes={archives}')


def test_thresholds_are_chosen_on_training_images(run, chosen):
    metrics = chosen['metrics']
    assert METRICS | CHOSEN <= metrics.keys()
    assert metrics['examples'] == 10 and 'without_boxes' not in metrics
    assert chosen['thresholds_chosen_on'] == 'train'
    assert chosen['data'] == {'name': 'imagenet2012', 'split': 'validation'}
    assert chosen['config']['task'] == 'localization' and chosen['published'] == {}
    assert all(0 <= number <= 1 for name, number in metrics.items() if name != 'examples')
    assert metrics['whole_image/localization_gt_known_error'] == 0
    assert metrics['localization_error/large'] == metrics['localization_gt_known_error']
    trained = json.loads((run / 'report.json').read_text())['metrics']
    assert metrics['top1_error'] == trained['top1_error']
    for rule, prefix in (('dominant', ''), ('scaled', 'scaled/')):
        sweep = chosen['sweep'][rule]
        place = sweep['thresholds'].index(metrics[f'{prefix}threshold'])
        assert sweep['gt_known_error'][place] == metrics[f'{prefix}localization_gt_known_error']
        assert sweep['empty_maps'][place] == metrics[f'{prefix}empty_maps']
        assert np.diff(sweep['thresholds']).min() > 0


def test_levels_without_a_gridding_score_are_named(chosen):
    scored = {name.removeprefix('gridding/') for name in chosen['metrics'] if 'gridding/' in name}
    without = chosen['gridding_not_applicable']
    assert {'level3', 'level4'} <= set(without) and not scored & set(without)
    assert len(scored) + len(without) == len({*scored, *without, 'class_maps'})


def test_settings_that_change_the_numbers_have_reports_of_their_own(tmp_path):
    config, path = recipes.classification(), tmp_path / 'checkpoints' / '2'
    config.task, found = 'localization', set()
    for field, value in (
        ('maps', 'crop'),
        ('threshold', 0.9999),
        ('threshold', 0.99999),
        ('scaled_threshold', 0.5),
        ('threshold_split', 'train[:9]'),
    ):
        config.evaluation[field] = value
        found.add(evaluate.default_output(path, config, 'imagenet2012').name)
    assert len(found) == 5


def test_ten_crops_give_the_classes_but_the_same_boxes(run, archives, chosen, tmp_path):
    report = localize(
        run, tmp_path, f'--config.data.boxes={archives}', '--config.evaluation.crops=10'
    )
    assert {'top1_error_10crop', 'top5_error_10crop'} < report['metrics'].keys()
    for name in METRICS - {'localization_top1_error', 'localization_top5_error'}:
        assert report['metrics'][name] == chosen['metrics'][name]
    assert report['sweep'] == chosen['sweep']


def test_maps_of_whole_images(run, archives, tmp_path):
    """One evaluated image, to compile for one shape."""
    flags = [
        f'--config.data.boxes={archives}',
        '--config.evaluation.maps=whole',
        '--config.data.validation_split=validation[:1]',
    ]
    report = localize(run, tmp_path, *flags)
    assert METRICS | CHOSEN <= report['metrics'].keys() and report['metrics']['examples'] == 1
    assert report['thresholds_chosen_on'] == 'train'
    assert report['metrics']['whole_image/localization_gt_known_error'] == 0
    ten = localize(
        run,
        tmp_path,
        *flags,
        '--config.evaluation.crops=10',
        f'--config.evaluation.threshold={report["metrics"]["threshold"]}',
    )
    assert 'top1_error_10crop' in ten['metrics'] and ten['sweep'] == report['sweep']


def test_a_given_threshold_needs_no_training_boxes_and_some_images_may_lack_boxes(
    run, tmp_path, capsys
):
    """Image 2 has no box, 3 none with an area inside of the image, others are not named."""
    write_validation_boxes(
        tmp_path, {1: [(0, 0, 9, 9)], 2: [], 3: [(200, 0, 300, 9)], 4: [(0, 0, 500, 500)]}
    )
    report = localize(
        run, tmp_path / 'out', f'--config.data.boxes={tmp_path}', '--config.evaluation.threshold=.5'
    )
    metrics = report['metrics']
    assert METRICS <= metrics.keys() and not CHOSEN & metrics.keys()
    assert metrics['threshold'] == 0.5 and 'thresholds_chosen_on' not in report
    assert metrics['examples'] == 2 and metrics['without_boxes'] == 8
    assert metrics['whole_image/localization_gt_known_error'] == 0.5
    assert 'choosing' not in capsys.readouterr().out


def test_without_the_training_archive_a_threshold_is_asked_for(run, archives, tmp_path):
    (tmp_path / VALIDATION).write_bytes((archives / VALIDATION).read_bytes())
    with refused(path=tmp_path / TRAIN):
        localize(run, tmp_path / 'out', f'--config.data.boxes={tmp_path}')
    assert not (tmp_path / 'out').exists()


def test_without_the_validation_archive_nothing_is_computed(run, archives, tmp_path, capsys):
    (tmp_path / TRAIN).write_bytes((archives / TRAIN).read_bytes())
    with refused(path=tmp_path / VALIDATION):
        localize(run, tmp_path / 'out', f'--config.data.boxes={tmp_path}')
    assert 'choosing' not in capsys.readouterr().out  # found before the first pass


def test_boxes_of_other_images_give_an_error_instead_of_numbers(run, archives, tmp_path):
    (tmp_path / 'boxes.csv').write_text('1.jpg,0,0,5,5\n')
    flags = [f'--config.data.boxes={tmp_path}/boxes.csv', '--config.evaluation.threshold=.5']
    with refused('config.data.boxes', match="^none of the 10 images of split 'validation' of"):
        localize(run, tmp_path / 'out', *flags)
    with refused('config.data.boxes', match="of split 'train' of 'imagenet2012' has a box"):
        localize(run, tmp_path / 'out', flags[0])
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
    'flags, field, message',
    [
        (
            ['--config.evaluation.threshold_split=validation'],
            'evaluation.threshold_split',
            '^thresholds cannot be chosen on validation: 10 of its images are evaluated; give ',
        ),
        (
            ['--config.data.validation_split=train[8:]'],
            'evaluation.threshold_split',
            'chosen on train: 4 of its images are evalu',
        ),
        (
            ['--config.evaluation.threshold_split=train[:50%]+validation[9:]'],
            'evaluation.threshold_split',
            r'chosen on train\[:50%\]\+validation\[9:\]: 1 of its images are evaluated',
        ),
        (['--config.data.boxes='], 'data.boxes', 'has no boxes'),
        (['--config.data.boxes=/nowhere'], 'data.boxes', "'/nowhere' is neither a CSV file nor"),
        (['--config.evaluation.maps=all'], 'evaluation.maps', ''),
        (['--config.evaluation.threshold=1.'], 'evaluation.threshold', ''),
    ],
)
def test_what_cannot_be_used_is_named(run, archives, tmp_path, flags, field, message):
    with refused(f'config.{field}', match=message):
        localize(run, tmp_path, f'--config.data.boxes={archives}', *flags)


def test_a_split_that_is_not_there(run, archives, tmp_path):
    boxes, tune = f'--config.data.boxes={archives}', '--config.evaluation.threshold_split=tune'
    with refused(match="split 'tune' of 'imagenet2012' is unknown"):
        localize(run, tmp_path, boxes, tune)


@pytest.mark.parametrize(
    'settings, split',
    [
        ({}, 'tune'),
        ({'data.validation_split': 'tune[:5]'}, 'train[:20]'),
        (
            {'data.validation_split': 'tune+validation', 'data.train_split': 'train[10:]'},
            'train[10:30]',
        ),
        ({'data.train_split': 'tune+train'}, 'tune[:6]+train[:14]'),
        ({'data.train_split': 'tune+train[95:]'}, 'tune+train[95:]'),
        (
            {
                'evaluation.threshold_split': 'validation[3:]',
                'data.validation_split': 'validation[:3]',
            },
            'validation[3:]',
        ),
    ],
)
def test_the_images_that_thresholds_are_chosen_on(monkeypatch, settings, split):
    from training import tiny

    from drn_jax.training import evaluation

    monkeypatch.setattr(evaluation, 'CALIBRATION', 20)
    config = recipes.classification()
    config.update_from_flattened_dict(settings)
    source = NumberSource(train=100, tune=6, validation=7)
    experiment = tiny.experiment_of(config, source, None)
    assert evaluation.calibration_split(experiment) == split


def test_training_images_that_are_evaluated_are_no_choice():
    from training import tiny

    from drn_jax.training import evaluation

    config = recipes.classification()
    config.data.validation_split = 'train[90:]'
    source = NumberSource(train=100, validation=7)
    with refused('config.evaluation.threshold_split', match='chosen on train: 10 of its'):
        evaluation.calibration_split(tiny.experiment_of(config, source, None))


@pytest.fixture(scope='module')
def untrained(digit_scenes_dir, tmp_path_factory):
    """A checkpoint for `digit_scenes` as networks are before the first step."""
    from drn_jax import experiments
    from drn_jax.checkpoints import manager
    from drn_jax.training import states

    config, workdir = recipes.digit_scenes(), tmp_path_factory.mktemp('untrained')
    config.update_from_flattened_dict(
        {
            'model.variant': 'drn_a_18',
            'model.width': 0.0625,
            'data.image_size': 32,
            'data.data_dir': str(digit_scenes_dir),
            'evaluation.batch_size': 20,
            'data.validation_split': 'validation[:40]',
            'mesh.devices': 1,
        }
    )
    experiment = experiments.resolve(config)
    state = states.initialize(
        experiment.task.model,
        states.create_optimizer(config.optimizer, 0.1),
        jax.random.key(0),
        experiment.mesh,
    )
    with manager.Checkpoints(workdir, experiment.config) as saved:
        saved.save(state)
    return workdir


def test_digit_scenes_have_boxes_and_masks_of_their_own(untrained, tmp_path):
    report = localize(untrained, tmp_path, '--config.evaluation.threshold_split=tune[:40]')
    assert METRICS - {'gridding/level5'} | CHOSEN | {'pxap'} <= report['metrics'].keys()
    assert report['thresholds_chosen_on'] == 'tune[:40]' and report['metrics']['examples'] == 40
    assert 0 < report['metrics']['pxap'] < 1
    assert report['metrics']['whole_image/localization_gt_known_error'] > 0.5
