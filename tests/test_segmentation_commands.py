"""Segmentation from the command line: Cityscapes over small zips, own data, the official scores."""

import argparse
import json
import pathlib
import zipfile

import numpy as np
import pytest
from data.cityscapes_zips import write_cityscapes_zips
from data.own_maps import write_pair
from models.fills import random_variables
from PIL import Image
from support.errors import refused

from drn_jax import cityscapes, evaluate, main, recipes, tasks
from drn_jax.checkpoints import manager
from drn_jax.pictures.label_files import LabelFiles
from drn_jax.tasks import segmentation

CONFIGS = pathlib.Path(__file__).parent.parent / 'configs'
SMALL = [
    f'--config={CONFIGS}/cityscapes_drn_c_26.py',
    '--config.model.width=.0625',
    '--config.data.crop_px=64',
    '--config.data.shards=2',
    '--config.batch_size=8',
    '--config.steps=2',
    '--config.evaluation.batch_size=8',
]


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """A run of two steps on Cityscapes, with the flags that say where its data lie."""
    manual, prepared = tmp_path_factory.mktemp('manual'), tmp_path_factory.mktemp('prepared')
    write_cityscapes_zips(manual)
    workdir = tmp_path_factory.mktemp('runs') / 'run'
    main.main(
        [
            *SMALL,
            f'--config.data.data_dir={prepared}',
            f'--config.data.manual_dir={manual}',
            f'--workdir={workdir}',
        ]
    )
    return workdir


def test_a_run_ends_with_scores_of_whole_images(run):
    report = json.loads((run / 'report.json').read_text())
    assert report['metrics']['examples'] == 2
    wanted = {'mean_iou', 'pixel_accuracy', 'iou/road', 'category_iou/flat'}
    assert wanted < report['metrics'].keys()
    assert report['config']['data']['class_names'] == list(cityscapes.CLASS_NAMES)
    assert report['published'] == {}  # nothing was published for this width


def test_evaluation_writes_pictures_the_matrix_and_the_zip_for_the_server(run, tmp_path):
    evaluate.main([f'--checkpoint={run}', f'--output={tmp_path}', '--save=labels,overlays,zip'])
    metrics = json.loads((tmp_path / 'report.json').read_text())['metrics']
    # evaluate folds batch normalization, so pixels whose two best classes are close may differ.
    assert metrics == pytest.approx(
        json.loads((run / 'report.json').read_text())['metrics'], abs=1e-3
    )
    stems = [f'munster_{number:06d}_000019' for number in range(2)]
    with zipfile.ZipFile(tmp_path / 'label_ids.zip') as archive:
        assert sorted(name[: len(stems[0])] for name in archive.namelist()) == stems
        ids = np.asarray(Image.open(archive.open(archive.namelist()[0])))
    labels = np.asarray(Image.open(next((tmp_path / 'labels').iterdir())))
    assert ids.shape == labels.shape == (1024, 2048) and labels.max() < 19
    assert set(np.unique(ids)) <= set(cityscapes.LABEL_ID_OF_CLASS)
    table = (tmp_path / 'confusion.csv').read_text().splitlines()
    counts = np.array([line.split(',')[1:] for line in table[1:]], int)
    assert counts.shape == (19, 19) and counts.sum() == 2 * 1024 * (2048 - 64)  # all but unlabeled
    with Image.open(tmp_path / 'confusion.png') as picture:
        assert picture.size[0] > 300
    assert len(list((tmp_path / 'overlays').iterdir())) == 2


def test_tiles_and_other_sizes(run, tmp_path):
    found = {}
    for name, flags in (
        ('whole', ['--size=512x1024']),
        ('tiled', ['--size=512x1024', '--config.evaluation.tile_px=256']),
        ('small', ['--size=256x512']),
    ):
        evaluate.main([f'--checkpoint={run}', f'--output={tmp_path / name}', *flags])
        report = json.loads((tmp_path / name / 'report.json').read_text())
        found[name] = report['metrics']['pixel_accuracy'], np.sum(report['confusion'])
    assert found['tiled'] == pytest.approx(found['whole'], rel=1e-4)
    assert found['small'][1] == 2 * 256 * (512 - 16)


def test_images_of_two_directories(run, tmp_path):
    for folder in ('images/a', 'labels/a'):
        (tmp_path / folder).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number, size in enumerate([(48, 64), (48, 64), (40, 40)]):
        Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(
            tmp_path / f'images/a/{number}.jpg'
        )
        Image.fromarray(np.full(size, number, np.uint8)).save(tmp_path / f'labels/a/{number}.png')
    flags = [f'--checkpoint={run}', f'--images={tmp_path}/images', f'--labels={tmp_path}/labels']
    evaluate.main([*flags, f'--output={tmp_path}/out'])
    report = json.loads((tmp_path / 'out' / 'report.json').read_text())
    assert report['metrics']['examples'] == 3
    assert np.array(report['confusion']).sum(1)[:3].tolist() == [48 * 64, 48 * 64, 40 * 40]
    assert report['data']['resizing'] == 'none'
    assert report['data']['images'] == f'{tmp_path}/images'
    (tmp_path / 'labels/a/1.png').unlink()
    with refused(path=tmp_path / 'images', match='1.*label'):
        evaluate.main([*flags, f'--output={tmp_path}/out'])


def test_a_network_without_class_names_is_evaluated_on_two_directories(tmp_path):
    config = recipes.segmentation()
    config.model.num_classes, config.model.width = 5, 0.0625
    model = tasks.create_network(config)
    variables = random_variables(model)
    manager.save_variables(tmp_path / 'converted', config, variables)
    write_pair(tmp_path, 'images/0.png', 'labels/0.png', value=4)
    evaluate.main(
        [
            f'--checkpoint={tmp_path}/converted',
            f'--images={tmp_path}/images',
            f'--labels={tmp_path}/labels',
            f'--output={tmp_path}/out',
        ]
    )
    report = json.loads((tmp_path / 'out' / 'report.json').read_text())
    assert 'iou/class 4' in report['metrics'] and len(report['confusion']) == 5


def test_the_old_name_of_colors_is_understood():
    given, _ = evaluate.parse_flags(['--checkpoint=a', '--save=colours,zip'])
    assert given.save == ('colors', 'zip')


@pytest.mark.parametrize(
    'flags, field, message',
    [
        (['--task=classification'], '--task', ''),
        (['--save=paint'], '--save', 'known are labels, colors, overlays, zip'),
        (['--images=somewhere'], '--images', 'and --labels go together'),
        (['--size=12'], '--size', "'12' is given, but a size is HEIGHTxWIDTH, such as 512x1024"),
        (['--config.evaluation.tile_px=100'], 'config.evaluation.tile_px', ''),
    ],
)
def test_flags_that_do_not_fit_are_named(run, flags, field, message):
    with refused(field, match=message):
        evaluate.main([f'--checkpoint={run}', *flags])


def test_no_label_map_takes_the_name_of_another(tmp_path):
    files = LabelFiles(tmp_path, ('labels',), cityscapes.PALETTE)
    for label, name in enumerate(['x/a.png', 'y/a.png', 'a_2.png']):
        files.write(name, np.zeros((2, 2, 3), np.uint8), np.full((2, 2), label, np.uint8))
    written = sorted((tmp_path / 'labels').iterdir())
    assert [np.asarray(Image.open(path)).max() for path in written] == [0, 1, 2]


def test_scores_are_those_of_the_official_evaluation(tmp_path):
    """Classes that are absent, only predicted, or ignored are all there."""
    official = pytest.importorskip('cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling')
    rng = np.random.default_rng(0)
    ids = rng.choice([0, 3, 7, 8, 11, 23, 24, 26, 33], (3, 60, 90)).astype(np.uint8)
    truth = cityscapes.TRAIN_IDS[ids]
    predicted = rng.choice([0, 1, 2, 10, 11, 13, 15, 18], truth.shape).astype(np.uint8)
    keep = rng.random(truth.shape) < 0.7  # so that scores differ
    predicted = np.where(keep & (truth != 255), truth, predicted)
    files = LabelFiles(tmp_path, ('zip',), cityscapes.PALETTE, cityscapes.LABEL_ID_OF_CLASS)
    names = np.array([f'a_{number:06d}_000019' for number in range(3)], object)
    files(
        {'image': np.zeros((3, 60, 90, 3), np.uint8), 'mask': np.ones(3, bool), 'name': names},
        predicted,
    )
    files.close()
    zipfile.ZipFile(tmp_path / 'label_ids.zip').extractall(tmp_path / 'predicted')
    for name, image in zip(names, ids):
        Image.fromarray(image).save(tmp_path / f'{name}.png')

    settings = argparse.Namespace(**vars(official.args))
    settings.quiet, settings.JSONOutput, settings.evalInstLevelScore = True, False, False
    settings.evalPixelAccuracy = False
    wanted = official.evaluateImgLists(
        [str(tmp_path / 'predicted' / f'{name}.png') for name in names],
        [str(tmp_path / f'{name}.png') for name in names],
        settings,
    )

    counts = segmentation.counts(predicted, {'label': truth, 'mask': np.ones(3, bool)}, classes=19)
    found = segmentation.report(
        {'examples': 3, 'confusion': np.asarray(counts['confusion'], np.int64)},
        class_names=cityscapes.CLASS_NAMES,
    )
    for name in cityscapes.CLASS_NAMES:
        score = wanted['classScores'][name]
        assert (
            np.isnan(score)
            and f'iou/{name}' not in found
            or abs(found[f'iou/{name}'] - score) < 1e-9
        )
    assert abs(found['mean_iou'] - wanted['averageScoreClasses']) < 1e-9
    for name in segmentation.CITYSCAPES_CATEGORIES:
        score = wanted['categoryScores'][name]
        assert (
            np.isnan(score)
            and f'category_iou/{name}' not in found
            or abs(found[f'category_iou/{name}'] - score) < 1e-9
        )
    assert abs(found['category_mean_iou'] - wanted['averageScoreCategories']) < 1e-9
    assert sum(name.startswith('iou/') for name in found) == 8  # 11 classes are absent
