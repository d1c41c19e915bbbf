import hashlib

import numpy as np
import pytest

from data.number_sources import encode
from drn_jax import recipes
from drn_jax.data import evaluation_batches, open_source, training_batches
from drn_jax.errors import InputError

CLASSES = ('ant', 'bee', 'cat')


@pytest.fixture
def data(tmp_path):
    """Twelve training images of three classes, four of two classes for validation."""
    for split, classes, count in (('train', CLASSES, 4), ('validation', CLASSES[1:], 2)):
        for label, name in enumerate(classes):
            for number in range(count):
                path = tmp_path / split / name / f'{number}.{"jpeg" if number % 2 else "jpg"}'
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(encode(10 * CLASSES.index(name) + number))
    (tmp_path / 'train' / 'bee' / 'notes.txt').write_text('not an image')
    data = recipes.classification().data
    data.name, data.data_dir = 'folder', str(tmp_path)
    data.image_size, data.resize_px, data.streams, data.crop = 16, 16, 2, False
    return data


def test_classes_and_splits_are_folders(data):
    source = open_source(data)
    assert source.name == 'folder' and source.class_names == CLASSES and source.num_classes == 3
    assert source.num_examples('train') == 12 and source.num_examples('validation') == 4
    assert source.num_examples('train[:50%]+validation') == 10


def test_images_stand_in_the_order_of_their_hashes(data):
    source = open_source(data)
    files = [(record['name'].decode(), record['label'])
             for record in source.records('train', 0, 12).as_numpy_iterator()]
    expected = sorted(
        (f'{name}/{number}.{"jpeg" if number % 2 else "jpg"}'
         for name in CLASSES for number in range(4)),
        key=lambda path: hashlib.sha256(path.encode()).digest())
    assert [name for name, _ in files] == [f'{data.data_dir}/train/{path}' for path in expected]
    assert [CLASSES[label] for _, label in files] == [path.split('/')[0] for path in expected]


def test_images_and_labels_belong_together(data):
    source = open_source(data)
    training = next(training_batches(source, data, batch_size=12, seed=0))
    for batch in (training, next(evaluation_batches(source, data, batch_size=4))):
        assert batch['mask'].all()
        brightness = batch['image'].mean((1, 2, 3)) - encode_mean()
        np.testing.assert_allclose(brightness // 10, batch['label'], atol=.1)
    assert sorted(training['label'].tolist()) == [0] * 4 + [1] * 4 + [2] * 4


def encode_mean():
    """Gives the mean brightness of image 0, from its formula."""
    return (8 + 2) * 7.5 - .5
