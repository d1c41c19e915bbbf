"""Cityscapes and the embedded data set as label maps, through TFDS's builders."""

import itertools

import numpy as np
import pytest
from data import cityscapes_zips
from data.cityscapes_zips import IDS, IMAGES, LABELS, scene, write_cityscapes_zips
from support.errors import refused

from drn_jax import cityscapes, fields, recipes
from drn_jax.data import evaluation_batches, open_source, training_batches


def map_settings(**changes):
    """Returns `config.data` of a segmentation."""
    data = recipes.classification().data.unlock()
    data.update(
        {
            'prepared_dir': '',
            'crop_px': 64,
            'scale': (1.0, 1.0),
            'rotation_degrees': 0,
            'evaluation_size': (0, 0),
            'shards': 2,
            'shuffle_buffer': 8,
            **changes,
        }
    )
    return data


@pytest.fixture(scope='module')
def prepared(tmp_path_factory):
    directory = tmp_path_factory.mktemp('cityscapes')
    write_cityscapes_zips(directory / 'manual', train=3, validation=2)
    data = map_settings(
        name='cityscapes',
        data_dir=str(directory / 'prepared'),
        manual_dir=str(directory / 'manual'),
    )
    open_source(data, 'maps')
    return data


def test_label_ids_become_train_ids():
    """FACTS of the benchmark: 19 ids are classes, all others are not."""
    classes = {
        7: 0,
        8: 1,
        11: 2,
        12: 3,
        13: 4,
        17: 5,
        19: 6,
        20: 7,
        21: 8,
        22: 9,
        23: 10,
        24: 11,
        25: 12,
        26: 13,
        27: 14,
        28: 15,
        31: 16,
        32: 17,
        33: 18,
    }
    assert cityscapes.TRAIN_IDS.tolist() == [classes.get(value, 255) for value in range(256)]
    assert len(cityscapes.CLASS_NAMES) == len(set(cityscapes.PALETTE)) == 19
    assert cityscapes.CLASS_NAMES[0] == 'road' and cityscapes.CLASS_NAMES[18] == 'bicycle'
    assert cityscapes.PALETTE[0] == (128, 64, 128) and cityscapes.PALETTE[18] == (119, 11, 32)


def test_cityscapes_is_prepared_from_its_zips(prepared):
    source = open_source(prepared, 'maps')
    assert source.label_kind == 'maps' and source.num_classes == 19
    assert source.image_size == (1024, 2048) and source.mean_std is None
    assert [source.num_examples(split) for split in ('train', 'validation', 'test')] == [3, 2, 1]
    batches = list(evaluation_batches(source, prepared, batch_size=2))
    (batch,) = batches
    assert {key: (value.shape, str(value.dtype)) for key, value in batch.items()} == {
        'image': ((2, 1024, 2048, 3), 'uint8'),
        'label': ((2, 1024, 2048), 'uint8'),
        'mask': ((2,), 'bool'),
        'index': ((2,), 'uint32'),
        'name': ((2,), 'object'),
    }
    assert sorted(batch['name']) == ['munster_000000_000019', 'munster_000001_000019']
    for name, image, label in zip(batch['name'], batch['image'], batch['label']):
        wanted, ids = scene(int(name.split('_')[1]))
        np.testing.assert_array_equal(image, wanted)
        np.testing.assert_array_equal(label, cityscapes.TRAIN_IDS[ids])
    assert np.unique(label).tolist() == [*cityscapes.TRAIN_IDS[list(IDS)], 255]


def test_the_full_name_and_a_prepared_directory_will_do(prepared):
    data = map_settings(
        name='cityscapes/semantic_segmentation',
        data_dir=prepared.data_dir,
        manual_dir='/nowhere',
        evaluation_size=(64, 128),
    )
    batch = next(evaluation_batches(open_source(data, 'maps'), data, batch_size=3, split='test'))
    assert batch['image'].shape == (3, 64, 128, 3)
    assert batch['mask'].tolist() == [True, False, False]
    assert (batch['label'] == 255).all()  # nothing is published of the test images
    assert batch['name'].tolist() == ['berlin_000000_000019', '', '']


def test_training_crops_hold_the_bands_of_their_scenes(prepared):
    data = prepared.copy_and_resolve_references()
    data.update({'crop_px': 1100, 'shards': 1})  # higher than the images: 38 rows on both ends
    batch = next(training_batches(open_source(data, 'maps'), data, batch_size=3, seed=0))
    assert batch['image'].shape == (3, 1100, 1100, 3) and batch['mask'].all()
    assert (batch['label'][:, :38] == 255).all() and (batch['label'][:, -38:] == 255).all()
    wanted = cityscapes.TRAIN_IDS[scene(0)[1][:, -1]]
    for image, label in zip(batch['image'], batch['label']):
        np.testing.assert_array_equal(label[38:-38, -1], wanted)
        np.testing.assert_array_equal(image[38:-38, -1, 0], scene(0)[0][:, -1, 0])
        np.testing.assert_array_equal(image[:38, :, 0], image[76:38:-1, :, 0])


def test_a_label_map_of_another_size_costs_its_row(tmp_path, monkeypatch):
    image, label = cityscapes_zips._pngs(0)
    small = cityscapes_zips.png(np.zeros((512, 1024), np.uint8))
    monkeypatch.setattr(
        cityscapes_zips, '_pngs', lambda number: (image, label if number else small)
    )
    write_cityscapes_zips(tmp_path / 'manual', 0, 2, 0)
    data = map_settings(
        name='cityscapes',
        data_dir=f'{tmp_path}/data',
        manual_dir=f'{tmp_path}/manual',
        max_unreadable_fraction=0.5,
    )
    with refused(path=tmp_path / 'data/cityscapes/semantic_segmentation/1.0.0'):
        open_source(data, 'maps')  # no training images
    write_cityscapes_zips(tmp_path / 'manual', 1, 2, 1)
    batches = evaluation_batches(open_source(data, 'maps'), data, batch_size=2)
    assert sorted(next(batches)['mask'].tolist()) == [False, True]
    assert list(batches.unreadable) == ['munster_000000_000019']


@pytest.mark.parametrize('missing', [IMAGES, LABELS])
def test_a_missing_zip_is_named(missing, tmp_path):
    write_cityscapes_zips(tmp_path / 'manual', 0, 0, 0)
    (tmp_path / 'manual' / missing).unlink()
    data = map_settings(
        name='cityscapes', data_dir=f'{tmp_path}/data', manual_dir=f'{tmp_path}/manual'
    )
    with refused(path=tmp_path / 'manual' / missing, match='https://www.cityscapes-dataset.com '):
        open_source(data, 'maps')
    data.manual_dir = ''
    with refused(path=tmp_path / 'data/downloads/manual' / IMAGES):
        open_source(data, 'maps')


def test_digits_and_background_are_the_classes_of_the_embedded_data_set(digit_scenes_dir):
    data = map_settings(name='digit_scenes', data_dir=str(digit_scenes_dir), crop_px=80)
    source, digits = open_source(data, 'maps'), open_source(data)
    assert source.class_names == ('background', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9')
    assert source.num_classes == len(source.palette) == 11 and source.palette[0] == (0, 0, 0)
    assert source.image_size == (96, 96) and digits.label_kind == 'classes'
    batch = next(evaluation_batches(source, data, batch_size=20, split='tune'))
    assert batch['image'].shape == (20, 96, 96, 3) and batch['label'].shape == (20, 96, 96)
    records = digits.records('tune', 0, 20).as_numpy_iterator()
    for label, record in zip(batch['label'], records):
        assert np.unique(label).tolist() == [0, record['label'] + 1]
    batch = next(training_batches(source, data, batch_size=4, seed=0))
    assert batch['image'].shape == (4, 80, 80, 3) and batch['label'].shape == (4, 80, 80)


def test_training_resumes_and_shares_exactly(digit_scenes_dir):
    data = map_settings(
        name='digit_scenes',
        data_dir=str(digit_scenes_dir),
        crop_px=48,
        scale=(0.5, 2.0),
        rotation_degrees=10,
        train_split='train[:30]',
    )
    source = open_source(data, 'maps')
    whole = list(itertools.islice(training_batches(source, data, batch_size=4, seed=1), 12))
    rest = training_batches(source, data, batch_size=4, seed=1, first_step=9, rows=(2, 4))
    for batch, expected in zip(rest, whole[9:]):
        assert batch.keys() == expected.keys() == {'image', 'label', 'mask', 'index'}
        for key, value in expected.items():
            np.testing.assert_array_equal(batch[key], value[2:])
    again = next(training_batches(source, data, batch_size=4, seed=2))
    assert (again['image'] != whole[0]['image']).any()


@pytest.mark.parametrize(
    'name, labels, message',
    [
        (
            'imagenet2012',
            'maps',
            "data set 'imagenet2012' has no label maps; for segmentation give "
            'config.data.name one of cityscapes, .*, label_maps$',
        ),
        ('folder', 'maps', "data set 'folder' has no label maps"),
        (
            'label_maps',
            'classes',
            "data set 'label_maps' has label maps, not one class for each image",
        ),
        ('cityscapes', 'classes', "data set 'cityscapes' has label maps, not one class"),
    ],
)
def test_labels_that_a_data_set_does_not_have(name, labels, message):
    with refused('config.data.name', match=message):
        open_source(map_settings(name=name), labels)


@pytest.mark.parametrize(
    'changes',
    [
        {'scale': (2.0, 0.5)},
        {'scale': (0.0, 1.0)},
        {'crop_px': 0},
        {'rotation_degrees': -1},
        {'evaluation_size': (0, 64)},
    ],
)
def test_fields_out_of_range_never_get_here(changes):
    config = recipes.segmentation()
    config.data.update(changes)
    with refused(f'config.data.{next(iter(changes))}'):
        fields.check(config)
