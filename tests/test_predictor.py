"""The predictor for Python: the same answers as the command, for paths, arrays and folders."""

import json

import numpy as np
import pytest
from models.fills import random_variables
from PIL import Image

import drn_jax
from drn_jax import predict, recipes
from drn_jax.checkpoints import conversion, weight_folders
from drn_jax.errors import InputError


def network(folder, config):
    """Writes a small network of a configuration, with random variables."""
    config.model.variant, config.model.width = 'drn_d_22', 0.0625
    config.model.num_classes = 3
    config.data.class_names = ('cat', 'dog', 'fox')
    model = drn_jax.create_model(
        'drn_d_22', 3, 'segmentation' if config.task == 'segmentation' else 'classification', 0.0625
    )
    weight_folders.write(folder, conversion.Converted(config, random_variables(model)))
    return str(folder)


@pytest.fixture(scope='module')
def classifier(tmp_path_factory):
    config = recipes.classification()
    config.data.image_size, config.data.resize_px = 56, 64
    return network(tmp_path_factory.mktemp('classifier'), config)


@pytest.fixture(scope='module')
def photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp('photographs')
    rng = np.random.default_rng(0)
    for name, shape in (('a', (80, 96, 3)), ('b', (96, 80, 3))):
        Image.fromarray(rng.integers(0, 256, shape, np.uint8)).save(folder / f'{name}.png')
    return folder


@pytest.fixture(scope='module')
def predictor(classifier):
    return drn_jax.Predictor(classifier, threshold=0.25)


def test_it_answers_as_the_command(predictor, classifier, photographs, tmp_path):
    output = tmp_path / 'output'
    predict.main(
        [f'--checkpoint={classifier}', str(photographs), f'--output={output}', '--threshold=0.25']
    )
    lines = [json.loads(line) for line in (output / 'predictions.jsonl').read_text().splitlines()]
    for found, line in zip(predictor(photographs), lines, strict=True):
        assert (found.name, found.class_names) == (line['name'], line['class_names'])
        np.testing.assert_allclose(found.probabilities, line['probabilities'], atol=2e-6)
        assert found.boxes == line['boxes']
        over = Image.open(output / line['files']['map'])
        np.testing.assert_allclose(predictor.show(found.pixels), over, atol=1)


def test_a_path_an_array_and_a_list(predictor, photographs):
    path = photographs / 'a.png'
    one = predictor(path)
    assert (one.pixels.shape, one.class_map.shape) == ((80, 96, 3), (80, 96))
    assert 0 <= one.class_map.min() <= one.class_map.max() <= 1
    assert sorted(one.class_names) == ['cat', 'dog', 'fox'] and len(one.boxes) == 3
    again = predictor(np.asarray(Image.open(path)))
    np.testing.assert_allclose(again.probabilities, one.probabilities, atol=2e-6)
    both = predictor([str(path), again.pixels, photographs])
    assert [each.name for each in both] == ['a', 'array 1', 'a', 'b']
    assert [picture.size for picture in predictor.show([path])] == [(96, 80)]


def test_segmentation_labels_pixels(photographs, tmp_path):
    config = recipes.segmentation()
    config.data.palette = ((9, 9, 9), (200, 0, 0), (0, 200, 0))
    predictor = drn_jax.Predictor(network(tmp_path, config), short_side=40)
    found = predictor(photographs / 'b.png')
    assert found.labels.shape == (96, 80) and found.labels.max() < 3
    assert sum(found.shares.values()) == pytest.approx(1, abs=1e-5)
    assert predictor.show(photographs / 'b.png').size == (80, 96)


@pytest.mark.parametrize(
    ('given', 'reason'),
    [
        (np.zeros((4, 4, 3), np.float32), 'of float32 is no photograph'),
        (np.zeros((4, 4), np.uint8), r'\[4, 4\] of uint8'),
        (np.zeros((0, 4, 3), np.uint8), r'\[0, 4, 3\]'),
        (np.zeros((2, 4, 4, 3), np.uint8), 'of uint8, RGB, or a list of them'),
        (None, r'\[\] of object'),
        ('nothing.jpg', 'does not exist'),
    ],
)
def test_what_is_no_photograph(predictor, given, reason):
    with pytest.raises(InputError, match=reason):
        predictor(given)


def test_a_file_that_cannot_be_read_is_named(predictor, tmp_path):
    (tmp_path / 'a.jpg').write_text('no picture')
    with pytest.raises(InputError) as error:
        predictor(tmp_path)
    assert error.value.path == str(tmp_path / 'a.jpg')


@pytest.mark.parametrize(('option', 'value'), [('rule', 'mean'), ('threshold', 1.0)])
def test_options_are_checked_as_flags_are(classifier, option, value):
    with pytest.raises(InputError, match=f"{option}: '{value}' is given, but it is") as error:
        drn_jax.Predictor(classifier, **{option: value})
    assert error.value.field == f'--{option}'


def test_options_of_another_task(classifier):
    with pytest.raises(InputError) as error:
        drn_jax.Predictor(classifier, tile_px=64)
    assert error.value.field == '--tile_px'
    assert 'is for segmentation, but the checkpoint is for classification' in str(error.value)
