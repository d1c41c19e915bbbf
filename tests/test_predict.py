"""The predict command on photographs of every kind, with narrow networks and random weights."""

import functools
import json
import os
import pathlib
import subprocess
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models.fills import random_variables
from pictures.test_page import CHROMIUM, Reader
from PIL import Image
from support.errors import refused
from support.image_encodings import ENCODINGS, picture

import drn_jax
from drn_jax import predict, recipes
from drn_jax.checkpoints import manager
from drn_jax.data.image_files import read_image
from drn_jax.ops import resize
from drn_jax.pictures import page
from drn_jax.prediction import checkpoint, classification, inputs, run, segmentation

ROOT = pathlib.Path(__file__).parent.parent
SIZE = 40  # of what the classifier sees
LEVELS = ['level2', 'level3', 'level4', 'level5', 'level6']


def written(class_names, example, row, output):
    """The record of a photograph whose pictures were written, from a row of the forward pass."""
    answer = functools.partial(classification.answer, class_names, 8)
    return run.write(types.SimpleNamespace(answer=answer), output, example, row)


def save_checkpoint(directory, config, num_classes):
    """Saves a narrow DRN-A-18 with random weights."""
    config.model.variant, config.model.width = 'drn_a_18', 1 / 16
    config.model.num_classes = num_classes
    model = drn_jax.create_model('drn_a_18', num_classes, config.task, width=1 / 16)
    manager.save_variables(directory, config, random_variables(model))
    return str(directory)


@pytest.fixture(scope='module')
def classifier(tmp_path_factory):
    config = recipes.classification()
    config.data.crop, config.data.image_size = False, SIZE
    config.data.class_names = ('cat', 'dog', '<owl>')
    return save_checkpoint(tmp_path_factory.mktemp('classifier') / 'run', config, 3)


@pytest.fixture(scope='module')
def segmenter(tmp_path_factory):
    config = recipes.segmentation()
    config.data.name = 'mine'
    for section, field in (
        ('model', 'upsample_border'),
        ('evaluation', 'scales'),
        ('data', 'palette'),
    ):
        with config.unlocked():  # as if older code had written it
            del config[section][field]
    return save_checkpoint(tmp_path_factory.mktemp('segmenter') / 'run', config, 4)


@pytest.fixture(scope='module')
def photographs(tmp_path_factory):
    """Every kind of photograph, 20 x 30 pixels when upright, and a file that is none."""
    folder = tmp_path_factory.mktemp('photographs')
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    image = Image.fromarray(pixels)
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned by 90 degrees when shown
    Image.fromarray(pixels.swapaxes(0, 1)).save(folder / 'exif.jpg', exif=turned, quality=95)
    image.convert('L').save(folder / 'gray.png')
    image.quantize(16).save(folder / 'palette.gif')
    image.convert('CMYK').save(folder / 'cmyk.tif')
    Image.fromarray(np.dstack([pixels, pixels[..., 0]])).save(folder / 'alpha.webp')
    Image.fromarray(pixels.astype(np.uint16)[..., 0] * 257).save(folder / 'deep.png')
    (folder / 'sub').mkdir()
    image.save(folder / 'sub' / 'plain.JPEG')
    (folder / 'broken.jpg').write_bytes(b'no image')
    (folder / '.hidden.jpg').write_bytes(b'no image')
    (folder / 'notes.txt').write_text('no image')
    return folder


NAMES = ['alpha', 'broken', 'cmyk', 'deep', 'exif', 'gray', 'palette', 'sub/plain']


def lines_of(output):
    return [json.loads(line) for line in (output / 'predictions.jsonl').read_text().splitlines()]


def pixels_of(output, file):
    with Image.open(output / file) as image:
        return np.array(image)


@pytest.fixture(scope='module')
def classified(classifier, photographs, tmp_path_factory):
    output = tmp_path_factory.mktemp('output') / 'new' / 'classified'
    predict.main([f'--checkpoint={classifier}', str(photographs), f'--output={output}'])
    return output


# -------------------------------------------------------------------------------- classification


def test_every_kind_of_photograph_gets_a_line_in_order(classified):
    lines = lines_of(classified)
    assert [line['name'] for line in lines] == NAMES
    assert 'cannot be read as an image' in lines.pop(1)['error']
    for line in lines:
        assert line['size'] == [20, 30]
        assert sorted(line['class_names']) == ['<owl>', 'cat', 'dog']
        assert line['probabilities'] == sorted(line['probabilities'], reverse=True)
        assert sum(line['probabilities']) == pytest.approx(1, abs=1e-5)
        assert list(line['files']) == ['boxes', 'map', *LEVELS]
        for kind in ('boxes', 'map'):
            assert pixels_of(classified, line['files'][kind]).shape == (20, 30, 3)
        assert pixels_of(classified, line['files']['level2']).shape == (20, 20, 3)  # stride 2
        for y0, x0, y1, x1 in filter(None, line['boxes']):
            assert 0 <= y0 < y1 <= 20 and 0 <= x0 < x1 <= 30


def test_a_photograph_gets_the_same_answer_however_it_is_stored(classifier, tmp_path):
    folder = tmp_path / 'stored'
    folder.mkdir()
    for ending, store in ENCODINGS.items():
        (folder / f'{ending.replace(".", "")}{ending}').write_bytes(store(picture(0)))
    predict.main([f'--checkpoint={classifier}', str(folder), f'--output={tmp_path / "output"}'])
    lines = lines_of(tmp_path / 'output')
    assert len(lines) == len(ENCODINGS)
    found = {
        line['name'].endswith('jpg'): (line['size'], line['class_names'], line['boxes'])
        for line in lines
    }
    for line in lines:
        wanted = (line['size'], line['class_names'], line['boxes'])
        assert wanted == found[line['name'].endswith('jpg')], line['name']
        assert line['probabilities'] == pytest.approx(lines[0]['probabilities'], abs=0.02)


def test_answers_are_those_of_the_network(classified, classifier, photographs):
    model, variables = drn_jax.load(classifier)
    line = lines_of(classified)[-1]
    image = inputs.resize(read_image(photographs / 'sub' / 'plain.JPEG'), (SIZE, SIZE))
    data = recipes.classification().data
    image = (image / 255 - np.array(data.mean)) / np.array(data.std)
    logits = jax.jit(model.apply)(variables, image[None].astype(np.float32))[0]
    wanted = np.asarray(jax.nn.softmax(logits))
    assert line['classes'] == np.argsort(-wanted).tolist()
    np.testing.assert_allclose(line['probabilities'], -np.sort(-wanted), atol=1e-4)


def test_the_page_shows_every_photograph(classified):
    text = (classified / 'index.html').read_text(encoding='utf-8')
    reader = Reader(text)
    assert [words.split(' ')[0] for tag, words in reader.texts if tag == 'h3'] == NAMES
    assert len(reader.images) == 7 * (2 + len(LEVELS))
    assert ('th', 'unreadable') in reader.texts and ('th', '<owl>') in reader.texts
    assert 'http' not in text


def test_the_report_counts(classified, photographs):
    report = json.loads((classified / 'report.json').read_text())
    assert report['metrics'] == {'examples': 7, 'unreadable': 1}
    assert list(report['unreadable']) == [str(photographs / 'broken.jpg')]
    assert report['settings'] == {'rule': 'scaled', 'threshold': 0.5}
    assert report['config']['model']['variant'] == 'drn_a_18' and report['versions']
    assert report['command'].startswith('python -m drn_jax.predict --checkpoint=')


class CannedNetwork:
    """A network of stride 8 whose class maps are given."""

    def __init__(self, maps):
        self.maps, self.num_classes = maps, maps.shape[-1]
        self.table = type('Table', (), {'stride': 8})

    def apply(self, variables, images, method):
        return {'level2': images}, self.maps


def test_boxes_are_placed_in_the_photograph(tmp_path):
    # The network saw 16 x 32 pixels, 2 x 4 cells, of one of 200 x 800: cells are 100 x 200.
    scores = np.zeros((1, 2, 4, 2), np.float32)
    scores[0, 1, 1:3, 1] = 9, 6
    settings = recipes.classification().data
    geometry = jnp.array([[200, 800, 16, 32, 0, 0]])
    images = jnp.zeros((1, 16, 32, 3), jnp.uint8)

    def answer(rule, threshold):
        found = classification.forward(
            CannedNetwork(scores), settings, None, images, geometry, rule=rule, threshold=threshold
        )
        return jax.tree.map(lambda array: np.asarray(array)[0], found)

    found = answer('scaled', 0.5)
    assert found['classes'].tolist() == [1, 0]
    assert found['boxes'].tolist() == [[100, 200, 200, 600], [0, 0, 0, 0]]  # class 0 is flat
    assert found['map'].max() == 1 and found['map'][1, 2] == pytest.approx(6 / 9)
    assert answer('scaled', 0.7)['boxes'][0].tolist() == [100, 200, 200, 400]
    # sigmoid(9) = .99988 and sigmoid(6) = .9975; elsewhere both classes tie at .5
    assert answer('dominant', 0.998)['boxes'].tolist() == [[100, 200, 200, 400], [0, 0, 0, 0]]
    assert answer('dominant', 0.4)['boxes'].tolist() == [[0, 0, 200, 800]] * 2

    example = inputs.Example(
        0,
        inputs.Photograph('a', pathlib.Path('a.png')),
        np.zeros((200, 800, 3), np.uint8),
        np.zeros((16, 32, 3), np.uint8),
        (16, 32),
    )
    record = written(('cat', 'dog'), example, found, tmp_path)
    assert record['boxes'] == [[100, 200, 200, 600], None]
    drawn = pixels_of(tmp_path, record['files']['boxes'])
    edge = [255, 194, 10]
    assert drawn[199, 200].tolist() == drawn[199, 599].tolist() == edge
    assert not drawn[199, :200].any() and not drawn[199, 600:].any()


@pytest.mark.skipif(CHROMIUM is None, reason='no Chromium is installed')
def test_chromium_shows_the_box_in_its_place(tmp_path):
    example = inputs.Example(
        0,
        inputs.Photograph('a', pathlib.Path('a.png')),
        np.full((200, 400, 3), (20, 30, 160), np.uint8),
        np.zeros((16, 32, 3), np.uint8),
        (16, 32),
    )
    answer = {
        'classes': np.array([0]),
        'probabilities': np.array([0.75]),
        'levels': {},
        'boxes': np.array([[80, 100, 160, 300]], np.float32),
        'map': np.ones((2, 4)),
    }
    record = written(('cat',), example, answer, tmp_path)
    item = classification.item('scaled', record, tmp_path)
    page.write_page(
        tmp_path / 'index.html',
        'Predictions',
        [item._replace(pictures=[item.pictures[0]._replace(wide=True)])],
    )
    subprocess.run(
        [
            CHROMIUM,
            '--headless',
            '--no-sandbox',
            '--disable-gpu',
            '--hide-scrollbars',
            f'--user-data-dir={tmp_path / "profile"}',
            '--window-size=600,500',
            f'--screenshot={tmp_path / "shot.png"}',
            (tmp_path / 'index.html').as_uri(),
        ],
        check=True,
        capture_output=True,
        timeout=120,
    )
    shot = np.asarray(Image.open(tmp_path / 'shot.png').convert('RGB')).astype(int)

    def span(color):
        ys, xs = np.nonzero((np.abs(shot - color) < 40).all(-1))
        return np.array([ys.min(), xs.min(), ys.max() + 1, xs.max() + 1])

    photograph = span((20, 30, 160))
    assert (photograph[2:] - photograph[:2]).tolist() == [200, 400]
    box = span((255, 194, 10)) - np.tile(photograph[:2], 2)
    np.testing.assert_allclose(box[1:], [100, 160, 300], atol=1)  # above it is the label


def test_thresholds_come_from_flag_configuration_or_rule():
    config = recipes.classification()
    assert classification.default_threshold(config, 'scaled') == 0.5
    config.evaluation.threshold = 0.25
    assert classification.default_threshold(config, 'dominant') == 0.25


# ---------------------------------------------------------------------------------- segmentation


def test_label_maps_have_the_size_of_the_photograph(segmenter, photographs, tmp_path):
    files = [str(photographs / name) for name in ('sub/plain.JPEG', 'exif.jpg')]
    command = [f'--checkpoint={segmenter}', *files, '--batch_size=8']
    predict.main([*command, f'--output={tmp_path}/whole'])
    model, variables = drn_jax.load(segmenter)
    data = recipes.segmentation().data
    for line, file in zip(lines_of(tmp_path / 'whole'), files, strict=True):
        labels = pixels_of(tmp_path / 'whole', line['files']['labels'])
        photograph = read_image(file)
        image = (photograph / 255 - np.array(data.mean)) / np.array(data.std)
        maps = np.asarray(jax.jit(model.apply)(variables, image[None].astype(np.float32)))
        assert maps.shape == (1, 3, 4, 4) and labels.shape == (20, 30)
        large = resize.upsample(jnp.asarray(maps), 20, 30)[0]
        first, second = np.moveaxis(np.sort(np.asarray(large), -1)[..., :-3:-1], -1, 0)
        clear = first - second > 1e-3
        assert clear.mean() > 0.9
        np.testing.assert_array_equal(labels[clear], np.asarray(large.argmax(-1))[clear])
        counts = np.bincount(labels.ravel(), minlength=4) / labels.size
        assert line['shares'] == {
            f'class {place}': pytest.approx(counts[place], abs=1e-6)
            for place in np.flatnonzero(counts)
        }
        for kind in ('colors', 'overlay'):
            assert pixels_of(tmp_path / 'whole', line['files'][kind]).shape == (20, 30, 3)
    text = (tmp_path / 'whole' / 'index.html').read_text()
    assert len(Reader(text).images) == 4 and 'class="swatch"' in text

    predict.main([*command, f'--output={tmp_path}/sized', '--size=16x16', '--tile_px=8'])
    labels = pixels_of(tmp_path / 'sized', 'labels/plain.png')
    assert labels.shape == (20, 30) and labels.dtype == np.uint8
    assert json.loads((tmp_path / 'sized' / 'report.json').read_text())['settings'] == {
        'size': [16, 16],
        'short_side': None,
    }


def test_photographs_of_many_sizes_share_few_shapes_and_keep_their_labels(segmenter, tmp_path):
    sizes = [(40, 40), (33, 47), (41, 34), (45, 39), (40, 40)]
    rng = np.random.default_rng(0)
    given = [rng.integers(0, 256, (*size, 3), np.uint8) for size in sizes]
    overrides = ['--config.mesh.devices=1']
    together = drn_jax.Predictor(segmenter, overrides=overrides)
    batches = run.batches(
        [inputs.Photograph(str(i), tmp_path, each) for i, each in enumerate(given)],
        drn_jax.Predictor(segmenter, overrides=overrides).task,
        2,
    )
    found = {(*batch[0].shape, *[example.position for example in batch]) for batch in batches}
    assert found == {(40, 40, 0, 4), (33, 47, 1), (44, 36, 2), (48, 40, 3)}
    for answer, photograph in zip(together(given), given, strict=True):
        alone = drn_jax.Predictor(segmenter, overrides=overrides)(photograph)
        assert answer.labels.shape == photograph.shape[:2]
        assert (answer.labels == alone.labels).mean() > 0.999  # but for ties, up to rounding


# ----------------------------------------------------------------------------- sizes and batches


def test_arrays_of_photographs_are_few_and_at_most_a_third_larger():
    shape_of = segmentation.shapes(recipes.segmentation().evaluation)
    rng, found = np.random.default_rng(0), set()
    for height, width in rng.integers((300, 400), (520, 640), (200, 2)).tolist():
        shape = shape_of(height, width)
        assert shape[0] >= height and shape[1] >= width
        assert shape[0] * shape[1] <= 4 / 3 * height * width
        found.add(shape)
    assert len(found) < 25  # rounded up, they would be 44


def test_few_sizes_occur():
    data = recipes.classification().data
    sizes = {
        classification.whole_size(height, width, data)
        for height in range(300, 500, 7)
        for width in range(300, 500, 7)
    }
    assert len(sizes) == 2 * (13 - 8) + 1  # ratios from 8/8 to 13/8 in eighths, two directions
    assert classification.whole_size(1, 1, data) == (256, 256)
    assert classification.whole_size(5, 100000, data) == (256, 8 * 256)
    assert segmentation.seen_size(None, 100, 3, 1000) == (100, 33333)


def test_batches_have_one_size_and_nothing_waits_for_ever(tmp_path):
    sizes = [4, 8, 4, 8, 8, 4, 4, 4]
    found = []
    for place, side in enumerate(sizes):
        Image.fromarray(np.zeros((side, side), np.uint8)).save(tmp_path / f'{place}.png')
        found.append(inputs.Photograph(str(place), tmp_path / f'{place}.png'))

    def places(**options):
        return [
            [example.position for example in batch]
            for batch in inputs.batches(found, lambda height, width: (height, width), 3, **options)
        ]

    assert places() == [[1, 3, 4], [0, 2, 5], [6, 7]]
    assert places(lag=1) == [[0, 2], [1, 3, 4], [5, 6, 7]]
    assert places(held_bytes=0) == [[place] for place in range(8)]
    stacked = inputs.stack(list(inputs.batches(found[:1], lambda h, w: (h, w), 3))[0], 3)
    assert stacked.shape == (3, 4, 4, 3)


def test_records_come_in_order():
    assert list(run.in_order(zip([2, 0, 3, 1], 'cadb'))) == ['a', 'b', 'c', 'd']


def test_results_of_an_earlier_call_are_no_photographs(tmp_path):
    for name in ('a.png', 'out/maps/a.png'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert [found.name for found in inputs.find_photographs([tmp_path], tmp_path / 'out')] == ['a']


@pytest.mark.parametrize(
    'given, photographs, size',
    [(1_000_000, 5, 8), (4, 5, 4), (4, 1, 4), (None, 5, 8), (None, 100, 32)],
)
def test_no_batch_is_larger_than_there_is_use_for(given, photographs, size):
    mesh = types.SimpleNamespace(devices=np.zeros(4))
    checkpoint = types.SimpleNamespace(mesh=mesh)
    predictor = types.SimpleNamespace(checkpoint=checkpoint, batch_size=8)
    assert predict.choose_batch_size(given, photographs, predictor) == size


# -------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    'flags, field, message',
    [
        ([], '', 'no photograph is given; name image files or folders'),
        (['nowhere.jpg'], '', 'nowhere.jpg does not exist'),
        (['PHOTOGRAPHS', 'PHOTOGRAPHS/gray.png'], '', "both be called 'gray'; rename one"),
        (['PHOTOGRAPHS', '--size=3x4'], '--size', 'is for segmentation, but the checkpoint is for'),
        (['PHOTOGRAPHS', '--rule=best'], '--rule', "invalid choice: 'best'"),
        (['PHOTOGRAPHS', '--threshold=1'], '--threshold', 'it is a number, at least 0 and below 1'),
        (['PHOTOGRAPHS', '--threshold=high'], '--threshold', "'high' is given, but it is a number"),
        (['PHOTOGRAPHS', '--batch_size=0'], '--batch_size', 'it is a whole number, at least 1'),
        (['PHOTOGRAPHS', '--batch_size=3'], '--batch_size', '3, which 8 devices do not divide'),
        (['PHOTOGRAPHS', '--size=3'], '--size', "'3' is given, but a size is HEIGHTxWIDTH"),
        (['PHOTOGRAPHS', '--step=7'], '--step', 'it holds 0'),
        (['PHOTOGRAPHS', '--treshold=.5'], '--treshold', 'is not understood'),
        (['PHOTOGRAPHS', '--config.data.sise=5'], 'config.data.sise', ''),
        (['PHOTOGRAPHS', '--config.model.width=1.'], 'config.model.width', 'cannot be changed'),
        (['PHOTOGRAPHS', '--config.data.image_size=0'], 'config.data.image_size', ''),
    ],
)
def test_bad_flags(classifier, photographs, tmp_path, flags, field, message):
    flags = [flag.replace('PHOTOGRAPHS', str(photographs)) for flag in flags]
    with refused(field, match=message):
        predict.main([f'--checkpoint={classifier}', f'--output={tmp_path}/out', *flags])
    assert not os.listdir(tmp_path)


def test_bad_directories_and_checkpoints(classifier, segmenter, photographs, tmp_path):
    (tmp_path / 'notes.txt').write_text('kept')
    (tmp_path / 'empty').mkdir()
    output = f'--output={tmp_path}/out'
    photograph = str(photographs / 'gray.png')
    backbone = save_checkpoint(tmp_path / 'backbone', recipes.classification(), 0)
    for flags, field, path in (
        ([classifier, '--output=gs://bucket/out', photograph], '--output', 'gs://bucket/out'),
        ([classifier, f'{tmp_path}/empty', output], '', tmp_path / 'empty'),
        ([segmenter, photograph, output, '--threshold=.5'], '--threshold', ''),
        ([segmenter, photograph, output, '--size=8x8', '--short_side=8'], '--size', ''),
        ([backbone, photograph, output], '', backbone),
    ):
        with refused(field, path):
            predict.main([f'--checkpoint={flags[0]}', *flags[1:]])
    for flags, field, message in (
        ([segmenter, output, '--tile_px=12'], '--tile_px', '12 is no multiple of .* drn_a_18, 8'),
        ([classifier, f'--output={tmp_path}'], '--output', 'is not empty; .* or add --overwrite'),
        ([classifier, f'--output={tmp_path}/notes.txt'], '--output', 'is a file; name a directory'),
    ):
        with refused(field, match=message):
            predict.main([photograph, f'--checkpoint={flags[0]}', *flags[1:]])
    assert sorted(os.listdir(tmp_path)) == ['backbone', 'empty', 'notes.txt']


def test_names_and_colors_must_fit_the_classes(segmenter):
    with refused('config.data.class_names', segmenter, match='4 classes, but 1 names and 4 colors'):
        checkpoint.load_checkpoint(segmenter, overrides=["--config.data.class_names=('sky',)"])


# -------------------------------------------------------------------------------- as a user types


def python_m(*flags):
    return subprocess.run(
        [sys.executable, '-m', 'drn_jax.predict', *flags],
        cwd=ROOT,
        timeout=120,
        capture_output=True,
        text=True,
    )


def test_where_nothing_can_be_read_the_status_says_so(classifier, photographs, tmp_path):
    result = python_m(
        f'--checkpoint={classifier}', str(photographs / 'broken.jpg'), f'--output={tmp_path}'
    )
    assert result.returncode == 1
    assert result.stderr.startswith('error: no photograph could be read, for example: ')
    assert result.stderr.count('\n') == 1
    assert json.loads((tmp_path / 'report.json').read_text())['metrics'] == {
        'examples': 0,
        'unreadable': 1,
    }


def test_the_command_does_not_import_tensorflow():
    code = 'import sys, drn_jax.predict; sys.exit("tensorflow" in sys.modules)'
    assert subprocess.run([sys.executable, '-c', code], cwd=ROOT, timeout=60).returncode == 0


def test_help_explains():
    result = python_m('--help')
    assert result.returncode == 0 and not result.stderr
    assert 'python -m drn_jax.predict --checkpoint=' in result.stdout
