"""Folders of classes from the command line: what is told of them, and classes matched by name."""

import json
import pathlib
import re

import pytest
from data.imagenet_tars import jpeg
from support.errors import refused

from drn_jax import evaluate, main, recipes

CONFIG = pathlib.Path(__file__).parent.parent / 'configs' / 'drn_c_26.py'
SMALL = [
    f'--config={CONFIG}',
    '--config.model.variant=resnet_18',
    '--config.model.width=.0625',
    '--config.data.image_size=32',
    '--config.data.resize_px=40',
    '--config.data.name=folder',
    '--config.batch_size=4',
    '--config.data.shards=2',
    '--config.mesh.devices=1',
]


def write_images(root, **folders):
    """Writes as many images as said: train_bee=3 is train/bee/0.jpg to 2.jpg."""
    for place, count in folders.items():
        folder = root / place.replace('_', '/')
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            (folder / f'{number}.jpg').write_bytes(jpeg(hash(place) % 997 + number))


def report_of(folder):
    return json.loads((folder / 'report.json').read_text())


@pytest.fixture(scope='module')
def pets(tmp_path_factory):
    """A run on ants, bees and cats: nobody drew a dodo, and only validation has an elk."""
    root = tmp_path_factory.mktemp('pets')
    write_images(root / 'data', train_ant=4, train_bee=3, train_cat=2, train_dodo=0)
    write_images(root / 'data', validation_ant=2, validation_bee=1, validation_elk=1)
    train(root, steps=1)
    return root


def train(root, steps):
    flags = f'--workdir={root}/run', f'--config.data.data_dir={root}/data'
    main.main([*SMALL, *flags, f'--config.steps={steps}'])


def test_what_is_odd_about_classes_is_told_before_the_first_step(pets, capsys):
    told = [
        "no image of 'train' and of 'validation' has 1 of the 5 classes (dodo)",
        "no image of 'train', only of 'validation', has 1 of the 5 classes (elk): their 1 images "
        'count as wrong',
        "no image of 'validation' has 1 of the 5 classes (cat)",
    ]
    report = report_of(pets / 'run')
    assert report['remarks'] == told and report['metrics']['top1_error'] >= 1 / 4
    write_images(pets / 'data', train_bee=4)  # one more before the run goes on
    train(pets, steps=2)
    printed, report = capsys.readouterr().out, report_of(pets / 'run')
    assert report['remarks'][:3] == told and len(report['remarks']) == 4
    assert re.fullmatch(
        'the training images have changed since the run began .then 9 images, [0-9a-f]{8}; now 10 '
        'images, [0-9a-f]{8}., so batches are not those of a run without a stop',
        report['remarks'][3],
    )
    before, _, _ = printed.partition('step 2 of')
    assert [before.count(f'warning: {remark}\n') for remark in report['remarks']] == [1] * 4


@pytest.mark.parametrize(
    'folders, message',
    [
        (
            {'train_ant': 4, 'train_bee': 0, 'val_ant': 1},
            "only the class ant has images in 'train'",
        ),
        ({'train_ant': 1, 'train_bee': 1, 'val_cat': 1}, "no class has images both in 'train' and"),
    ],
)
def test_folders_that_teach_nothing_are_refused(tmp_path, folders, message):
    write_images(tmp_path / 'data', **folders)
    flags = [f'--config.data.data_dir={tmp_path}/data', '--config.data.validation_split=val']
    with refused('config.data.data_dir', match=message):
        main.main([*SMALL, *flags, f'--workdir={tmp_path}/run'])
    assert not (tmp_path / 'run').exists()


def measured(pets, root, *flags):
    """Evaluates the run on a folder; gives the report that was added."""
    before = set((pets / 'run').glob('evaluation/*'))
    one = '--config.mesh.devices=1'
    evaluate.main([f'--checkpoint={pets}/run', f'--config.data.data_dir={root}', one, *flags])
    (added,) = set((pets / 'run').glob('evaluation/*')) - before
    return report_of(added)


def test_classes_are_matched_by_name(pets, tmp_path):
    """By place, a network that has hardly learned would do better on two or three classes."""
    names, wrong = ('ant', 'bee', 'cat', 'dodo', 'elk'), {}
    for chosen in (names, ('ant', 'cat'), ('bee', 'dodo', 'elk')):
        root = tmp_path / str(len(chosen))
        for name in chosen:
            path = root / 'validation' / name / '0.jpg'
            path.parent.mkdir(parents=True)
            path.write_bytes(jpeg(names.index(name)))
        report = measured(pets, root)
        assert report['config']['data']['class_names'] == list(names)
        assert report['remarks'] == [] or report['remarks'] == [
            f'folder has only {len(chosen)} ({", ".join(chosen)}) of the 5 classes of the network, '
            'matched by name; answers of another class count as wrong'
        ]
        wrong[len(chosen)] = report['metrics']['top1_error'] * len(chosen)
        assert len(report['remarks']) == (chosen != names)
    assert wrong[5] == wrong[2] + wrong[3]
    (tmp_path / '2' / 'validation' / 'cat').rename(tmp_path / '2' / 'validation' / 'zebra')
    with refused('config.data.data_dir', match='has 2, of which the network does not know zebra; '):
        measured(pets, tmp_path / '2')


def test_reports_of_other_settings_are_kept(pets, tmp_path):
    write_images(tmp_path, validation_ant=1, validation_bee=1)
    for value in (40, 44):
        measured(pets, tmp_path, f'--config.data.resize_px={value}')  # which sees one more report


def test_reports_of_splits_that_differ_in_signs_have_names_of_their_own(tmp_path):
    config, found = recipes.classification(), set()
    for split in ('validation[:50%]', 'validation[50%:]', 'validation[50:]', 'validation'):
        config.data.validation_split = split
        found.add(evaluate.default_output(tmp_path / 'checkpoints' / '2', config, 'a/b').name)
    assert len(found) == 4
    config.data.validation_split = 'validation'
    plain = evaluate.default_output(tmp_path / 'checkpoints' / '2', config, 'folder')
    assert plain == tmp_path / 'evaluation' / 'step_2_folder_validation_1crop_float32'
