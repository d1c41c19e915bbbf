import hashlib

import numpy as np
import pytest
from data.number_sources import encode
from support.errors import refused

from drn_jax import recipes
from drn_jax.data import evaluation_batches, open_source, training_batches
from drn_jax.data.folders import FolderSource

CLASSES = ('ant', 'bee', 'cat')


@pytest.fixture
def data(tmp_path):
    """Twelve training images of three classes, four of two classes for validation."""
    for split, classes, count in (('train', CLASSES, 4), ('validation', CLASSES[1:], 2)):
        for name in classes:
            for number in range(count):
                path = tmp_path / split / name / f'{number}.{"jpeg" if number % 2 else "jpg"}'
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(encode(10 * CLASSES.index(name) + number))
    (tmp_path / 'train' / 'bee' / 'notes.txt').write_text('not an image')
    data = recipes.classification().data
    data.name, data.data_dir = 'folder', str(tmp_path)
    data.image_size, data.resize_px, data.shards, data.crop = 16, 16, 2, False
    return data


def test_classes_and_splits_are_folders(data):
    source = open_source(data)
    assert source.name == 'folder' and source.class_names == CLASSES and source.num_classes == 3
    assert source.num_examples('train') == 12 and source.num_examples('validation') == 4
    assert source.num_examples('train[:50%]+validation') == 10


def test_folders_without_images_are_no_splits(data, tmp_path):
    """Runs are kept there too, and what other tools wrote."""
    for name in ('run/checkpoints/8', 'run/tensorboard', 'train/dodo'):
        (tmp_path / name).mkdir(parents=True)
    source = open_source(data)
    assert source.class_names == (*CLASSES, 'dodo')
    assert set(source.splits) == {'train', 'validation'}


def test_no_split_is_called_all(data, tmp_path):
    (tmp_path / 'validation').rename(tmp_path / 'all')
    with refused(
        '', match='is unknown or empty; known are .*; to TFDS `all` is the sum of them, so'
    ):
        open_source(data).num_examples('all')


def test_images_stand_in_the_order_of_their_hashes(data):
    source = open_source(data)
    files = [
        (record['name'].decode(), record['label'])
        for record in source.records('train', 0, 12).as_numpy_iterator()
    ]
    expected = sorted(
        (
            f'{name}/{number}.{"jpeg" if number % 2 else "jpg"}'
            for name in CLASSES
            for number in range(4)
        ),
        key=lambda path: hashlib.sha256(path.encode()).digest(),
    )
    assert [name for name, _ in files] == [f'{data.data_dir}/train/{path}' for path in expected]
    assert [CLASSES[label] for _, label in files] == [path.split('/')[0] for path in expected]


def test_images_and_labels_belong_together(data):
    source = open_source(data)
    training = next(training_batches(source, data, batch_size=12, seed=0))
    for batch in (training, next(evaluation_batches(source, data, batch_size=4))):
        number = batch['image'].mean((1, 2, 3)).round() - 75  # the mean of image 0, see encode
        np.testing.assert_array_equal(number // 10, batch['label'])
        assert batch['mask'].all()
    assert sorted(training['label'].tolist()) == [0] * 4 + [1] * 4 + [2] * 4


def test_files_that_are_damaged_or_gone_are_named(data, tmp_path):
    data.max_unreadable_fraction = 0.5
    source = open_source(data)
    damaged, gone = tmp_path / 'validation/bee/0.jpg', tmp_path / 'validation/cat/1.jpeg'
    damaged.write_bytes(b'no image')
    gone.unlink()
    batches = evaluation_batches(source, data, batch_size=4)
    assert next(batches)['mask'].sum() == 2
    assert set(batches.unreadable) == {str(damaged), str(gone)}


@pytest.mark.parametrize('directory', ['', 'missing', 'train/ant/0.jpg'])
def test_a_missing_folder_is_an_error(data, directory):
    data.data_dir = directory and f'{data.data_dir}/{directory}'
    with refused('config.data.data_dir', match='the one that holds SPLIT/CLASS/NAME.jpg'):
        open_source(data)


def test_a_folder_without_images_is_an_error(data):
    data.data_dir += '/train'  # one level too deep
    with refused(path=data.data_dir):
        open_source(data)


@pytest.mark.parametrize('files', [(), ('train/cat/notes.txt',)])
def test_a_folder_without_images_is_named(tmp_path, files):
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).write_text('no image')
    with refused(path=tmp_path, match='holds no images as SPLIT/CLASS/NAME.jpg'):
        FolderSource(str(tmp_path))
    with refused('config.data.data_dir', match='nowhere'):
        FolderSource(str(tmp_path / 'nowhere'))


def test_a_split_without_images_is_empty(tmp_path):
    (tmp_path / 'train' / 'cat').mkdir(parents=True)
    (tmp_path / 'train' / 'cat' / '1.jpg').write_bytes(encode(1))
    (tmp_path / 'validation' / 'cat').mkdir(parents=True)
    source = FolderSource(str(tmp_path))
    assert source.num_examples('train') == 1
    with refused(match="split 'validation' of 'folder' is unknown or empty"):
        source.num_examples('validation')
