"""The figures command, with narrow networks and random weights."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from models.fills import random_variables
from pictures.test_page import Reader
from PIL import Image
from support.errors import refused

import drn_jax
from drn_jax import figures, recipes
from drn_jax.checkpoints import manager
from drn_jax.prediction import activations, drawings, inputs, maps
from drn_jax.prediction.checkpoint import LoadedCheckpoint

ROOT = pathlib.Path(__file__).parent.parent
SIDE = 32  # of what classifiers see


def save_checkpoint(directory, variant, config, num_classes, names=('cat', 'dog', 'owl')):
    config.model.variant, config.model.width = variant, 1 / 16
    config.model.num_classes = num_classes
    config.data.name = 'mine'
    if config.task == 'classification':
        config.data.crop, config.data.image_size = False, SIDE
        config.data.class_names = names[:num_classes]
    model = drn_jax.create_model(variant, num_classes, config.task, width=1 / 16)
    manager.save_variables(directory, config, random_variables(model))
    return f'--checkpoint={directory}'


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Checkpoints, photographs and label maps."""
    folder = tmp_path_factory.mktemp('figures')
    for directory in ('photographs', 'labels'):
        (folder / directory).mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    for name in ('a', 'b'):
        Image.fromarray(pixels).save(folder / 'photographs' / f'{name}.png')
        Image.fromarray(pixels[..., 0] % 4).save(folder / 'labels' / f'{name}.png')
    (folder / 'photographs' / 'broken.jpg').write_bytes(b'no image')
    return folder


@pytest.fixture(scope='module')
def classifiers(folder):
    return [
        save_checkpoint(folder / variant, variant, recipes.classification(), 3)
        for variant in ('drn_a_18', 'drn_b_26')
    ]


@pytest.fixture(scope='module')
def segmenter(folder):
    return save_checkpoint(folder / 'segmenter', 'drn_a_18', recipes.segmentation(), 4)


def pixels_of(path):
    with Image.open(path) as image:
        return np.array(image)


# ---------------------------------------------------------------------------------------- pictures


def test_a_single_pixel_becomes_a_grid():
    pixels, output = drawings.figure_4(dilation=2, side=9)
    wanted = np.zeros((9, 9))
    wanted[2:7:2, 2:7:2] = 1
    np.testing.assert_array_equal(output, wanted)
    assert pixels.ndim == 3 and pixels.dtype == np.uint8


def test_what_enters_level_3_is_pooled_in_drn_a_only():
    values = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
    pooled = maps.entering_level3(drn_jax.create_model('drn_a_18'), {'level2': values})
    assert pooled[0, ..., 0].tolist() == [[5, 7], [13, 15]]
    plain = maps.entering_level3(drn_jax.create_model('drn_b_26'), {'level2': values})
    assert plain is values
    assert activations.strides_of(drn_jax.create_model('drn_b_26'))['entering'] == 2
    assert activations.strides_of(drn_jax.create_model('resnet_18'))['entering'] == 4


def test_the_class_is_the_likeliest_over_networks():
    def found(scores):
        scores = np.array(scores, np.float32).reshape(1, 1, -1)
        return activations.Activations(scores, {}, None, {}, None)

    assert drawings.common_class([found([5.0, 0.0, 4.9]), found([0.0, 0.0, 3.0])]) == 2


def test_cells_cover_what_they_stand_for():
    picture = activations.cells(np.array([[0.0, 1.0], [0.0, 0.0]]), 4, (6, 7, 3), low=0.0, high=1.0)
    yellow = (picture == (253, 231, 37)).all(-1)
    assert picture.shape == (6, 7, 3)
    assert yellow[:4, 4:].all() and yellow.sum() == 4 * 3


# ------------------------------------------------------------------------------------- the command


def test_classifiers_side_by_side(folder, classifiers, tmp_path, capsys):
    figures.main([*classifiers, str(folder / 'photographs'), f'--output={tmp_path}/out'])
    out = tmp_path / 'out'
    found = sorted(path.relative_to(out).as_posix() for path in out.rglob('*.png'))
    assert found == [
        'figure_3/001.png',
        'figure_4/gridding.png',
        'figure_6/001.png',
        'figure_7/a.png',
        'figure_7/b.png',
    ]
    height, width, _ = pixels_of(out / 'figure_3/001.png').shape
    assert 2 * 200 < height < 2 * 200 + 60 and 3 * 200 < width < 3 * 200 + 120
    height, width, _ = pixels_of(out / 'figure_7/a.png').shape
    assert 2 * 128 < height < 2 * 128 + 60 and 10 * 128 < width  # two rows, input, 8 levels, map
    reader = Reader((out / 'index.html').read_text())
    assert len(reader.images) == 5
    assert [text for tag, text in reader.texts if tag == 'h2'] == [
        drawings.TITLES[number] for number in (4, 3, 6, 7)
    ]
    report = json.loads((out / 'report.json').read_text())
    assert report['metrics'] == {'examples': 2, 'unreadable': 1}
    assert [path.split('/')[-3] for path in report['checkpoints']] == ['drn_a_18', 'drn_b_26']
    assert '1 of 3 files could not be read' in capsys.readouterr().out


def test_figure_3_shows_the_probability_of_the_class(folder, classifiers, tmp_path):
    figures.main(
        [
            classifiers[0],
            str(folder / 'photographs' / 'a.png'),
            '--figure=3',
            '--class=owl',
            f'--output={tmp_path}',
        ]
    )
    picture = pixels_of(tmp_path / 'figure_3' / '001.png')
    model, variables = drn_jax.load(folder / 'drn_a_18')
    data = recipes.classification().data
    image = Image.open(folder / 'photographs' / 'a.png').resize((SIDE, SIDE), 2)
    image = (np.asarray(image) / 255 - np.array(data.mean)) / np.array(data.std)
    scores = np.asarray(
        model.apply(variables, image[None].astype(np.float32), method='class_maps')[0]
    )
    wanted = (np.exp(scores) / np.exp(scores).sum(-1, keepdims=True))[..., 2]
    colors = drawings.overlays.heat_map(wanted, low=0.0, high=1.0)  # 4 x 4 cells of 50 pixels
    shown = picture[-8 - 200 : -8, -8 - 200 : -8][25::50, 25::50]
    assert np.abs(shown.astype(int) - colors).max() <= 6


def test_label_maps_beside_the_ground_truth(folder, segmenter, tmp_path):
    photographs = [str(folder / 'photographs' / name) for name in ('a.png', 'b.png')]
    figures.main(
        [
            segmenter,
            segmenter,
            *photographs,
            f'--output={tmp_path}',
            '--figure=8',
            f'--labels={folder / "labels"}',
        ]
    )
    picture = pixels_of(tmp_path / 'figure_8' / '001.png')
    assert 2 * 240 < picture.shape[0] < 2 * 240 + 60 and 4 * 360 < picture.shape[1] < 4 * 360 + 60
    text = (tmp_path / 'index.html').read_text()
    assert text.count('class="swatch"') == 4 and 'class 3' in text


def test_networks_are_told_apart():
    def names(*paths):
        return drawings.network_names(
            [
                LoadedCheckpoint(None, None, config, (), (), None, pathlib.Path(path))
                for path in paths
            ]
        )

    config = recipes.classification()
    assert names('runs/a/checkpoints/7') == ['drn_c_26']
    assert names('runs/a/checkpoints/7', 'runs/b/checkpoints/7') == ['a', 'b']
    assert names('a/checkpoints/7', 'a/checkpoints/8') == ['a, step 7', 'a, step 8']


def test_figure_4_needs_no_checkpoint(tmp_path):
    figures.main([f'--output={tmp_path}'])
    assert [path.name for path in tmp_path.rglob('*.png')] == ['gridding.png']


# --------------------------------------------------------------------------------------- bad input


def test_bad_flags(folder, classifiers, segmenter, tmp_path):
    photograph, output = str(folder / 'photographs' / 'a.png'), f'--output={tmp_path}/out'
    other = save_checkpoint(tmp_path / 'other', 'drn_a_18', recipes.classification(), 2)
    names = ('cat', 'owl', 'dog')
    renamed = save_checkpoint(tmp_path / 'r', 'drn_a_18', recipes.classification(), 3, names)
    with_labels = [segmenter, str(folder / 'photographs'), f'--labels={folder / "labels"}']
    for flags, field, message in [
        ([photograph], '--figure', 'checkpoints and photographs go together; give both, or'),
        ([classifiers[0]], '--figure', 'checkpoints and photographs go together'),
        (['--figure=3'], '--figure', 'needs checkpoints for classification, but none is given'),
        (['--figure=6'], '--figure', 'needs checkpoints for either task, but none is given'),
        (['--figure=5'], '--figure', 'invalid choice: 5'),
        ([classifiers[0], segmenter, photograph], '--checkpoint', 'give those of one task'),
        ([classifiers[0], other, photograph], '--checkpoint', 'have 2 and 3 classes; give those'),
        ([classifiers[0], renamed, photograph], '--checkpoint', 'class dog to .* is owl to'),
        ([classifiers[0], photograph, '--figure=8'], '--figure', 'for segmentation, but these'),
        ([classifiers[0], photograph, '--class=cow'], '--class', "give a name such as 'cat'"),
        ([classifiers[0], photograph, '--class=3'], '--class', 'or a number from 0 to 2'),
        ([classifiers[0], photograph, '--size=3x4'], '--size', 'is for segmentation checkpoints'),
        ([segmenter, photograph, '--class=1'], '--class', 'is for classification checkpoints'),
        ([segmenter, photograph, '--labels=nowhere'], '--labels', 'does not exist'),
        (with_labels, '--labels', "for 1 of 3 photographs, for example 'broken'"),
        ([classifiers[0], photograph, '--color=red'], '--color', 'is not understood'),
    ]:
        with refused(field, match=message):
            figures.main([output, *flags])
    assert sorted(os.listdir(tmp_path)) == ['other', 'r']
    with refused('--output', match='--overwrite'):
        figures.main([f'--output={tmp_path}', '--figure=4'])


def test_label_maps_are_checked(tmp_path):
    path = tmp_path / 'labels.png'
    for pixels, message in [
        (
            np.zeros((4, 5, 3), np.uint8),
            r'has 3 channels \(RGB\); a label map has one channel of 8 bits',
        ),
        (np.zeros((4, 5), np.uint16), 'has 16 bits or more; a label map'),
        (np.zeros((5, 4), np.uint8), 'has 5 x 4 pixels, but its photograph 4 x 5'),
        (np.full((4, 5), 7, np.uint8), 'has the label 7, but classes are 0 to 2, and 255'),
    ]:
        Image.fromarray(pixels).save(path)
        with refused(path=path, match=message):
            inputs.read_labels(path, (4, 5), 3)
    Image.fromarray(np.full((4, 5), 255, np.uint8)).save(path)
    assert (inputs.read_labels(path, (4, 5), 3) == 255).all()
    path.write_bytes(b'no image')
    with refused(path=path, match='cannot be read as an image'):
        inputs.read_labels(path, (4, 5), 3)


def test_the_command_ends_with_a_status(tmp_path):
    def python_m(*flags):
        return subprocess.run(
            [sys.executable, '-m', 'drn_jax.figures', *flags],
            cwd=ROOT,
            timeout=120,
            capture_output=True,
            text=True,
        )

    result = python_m('--help')
    assert result.returncode == 0 and 'python -m drn_jax.figures --checkpoint=' in result.stdout
    result = python_m('--figure=7', f'--output={tmp_path}')
    assert result.returncode == 1 and result.stderr.startswith('error: --figure=7 needs')
    assert result.stderr.count('\n') == 1


def test_the_command_does_not_import_tensorflow():
    code = 'import sys, drn_jax.figures; sys.exit("tensorflow" in sys.modules)'
    assert subprocess.run([sys.executable, '-c', code], cwd=ROOT, timeout=60).returncode == 0
