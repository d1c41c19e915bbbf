"""The embedded data set: the same pixels everywhere, disjoint splits, tight boxes."""

import hashlib

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from sklearn import datasets

from drn_jax.data import digit_scenes  # before TensorFlow, whose environment it sets


@pytest.fixture(scope='module')
def builder(digit_scenes_dir):
    return tfds.builder('digit_scenes', data_dir=str(digit_scenes_dir))


def examples(builder, split):
    return list(tfds.as_numpy(builder.as_dataset(split=split)))


def test_enlarge_interpolates_between_the_centers_of_pixels():
    ink = np.eye(8, dtype=np.int64)
    np.testing.assert_array_equal(digit_scenes.enlarge(ink, 8), 256 * ink)
    np.testing.assert_array_equal(
        digit_scenes.enlarge(ink, 16)[:4, :4],
        [[256, 192, 64, 0], [192, 160, 96, 48], [64, 96, 160, 144], [0, 48, 144, 160]],
    )
    np.testing.assert_array_equal(digit_scenes.enlarge(5 * ink, 16), digit_scenes.enlarge(ink, 16))
    columns = np.zeros((8, 8), np.int64)
    columns[:, 4:] = 16
    half = [0] * 7 + [64, 192] + [256] * 7
    np.testing.assert_array_equal(digit_scenes.enlarge(columns, 16), [half] * 16)
    np.testing.assert_array_equal(digit_scenes.enlarge(columns.T, 16).T, [half] * 16)


def test_a_tight_box_has_exclusive_upper_ends():
    mask = np.zeros((5, 6), np.uint8)
    mask[1, 2] = 1
    assert digit_scenes.tight_box(mask) == (1, 2, 2, 3)
    mask[3, 5] = 1
    assert digit_scenes.tight_box(mask) == (1, 2, 4, 6)
    assert digit_scenes.tight_box(np.ones((3, 2), bool)) == (0, 0, 3, 2)


@pytest.mark.parametrize('seed', range(5))
def test_a_scene_of_full_squares_on_gray(seed):
    inks, photographs = np.full((3, 8, 8), 16), [np.full((100, 120, 3), 90, np.uint8)]
    image, mask = digit_scenes.compose(inks, 0, photographs, 96, np.random.RandomState(seed))
    assert image.shape == (96, 96, 3) and image.dtype == mask.dtype == np.uint8
    y0, x0, y1, x1 = digit_scenes.tight_box(mask)
    assert y1 - y0 == x1 - x0 and 35 <= y1 - y0 <= 72  # 36 % to 75 % of 96
    assert mask[y0:y1, x0:x1].all() and mask.sum() == (y1 - y0) * (x1 - x0)
    (color,) = np.unique(image[mask == 1], axis=0)
    assert (color >= 150).all()
    around = image[mask == 0]
    clutter = (around != 45).any(1)  # 45: half of the photograph's 90
    assert clutter.sum() <= 2 * 10 * 10 and (around[clutter] >= 150).all()
    again, _ = digit_scenes.compose(inks, 0, photographs, 96, np.random.RandomState(seed))
    np.testing.assert_array_equal(again, image)
    assert (photographs[0] == 90).all()  # drawn on a copy


def test_splits_and_features(builder):
    assert {name: info.num_examples for name, info in builder.info.splits.items()} == {
        'train': 6000,
        'tune': 500,
        'validation': 1000,
    }
    assert builder.info.features['label'].names == [str(digit) for digit in range(10)]
    (example,) = examples(builder, 'tune[:1]')
    assert {key: (np.shape(value), value.dtype.name) for key, value in example.items()} == {
        'image': ((96, 96, 3), 'uint8'),
        'label': ((), 'int64'),
        'box': ((4,), 'float32'),
        'mask': ((96, 96, 1), 'uint8'),
    }


@pytest.mark.parametrize(
    'split, digest',
    [
        ('train', '0a227ff755d2cdbf24971341d2cd91c9b07895a8932fe0fcb4fc081fe31a95a1'),
        ('tune', 'f0b0a677817ddc6adba07865de70fccdd8132f03a094ce7fe2f7d6fd73f4dab5'),
        ('validation', 'b14f26a149d1f7657b494683ec552813e2da11890f489bebf33df6cc2f091325'),
    ],
)
def test_the_pixels_are_the_same_on_every_machine(builder, split, digest):
    digests = hashlib.sha256()
    for example in examples(builder, f'{split}[:20]'):
        digests.update(example['image'].tobytes() + example['mask'].tobytes())
        digests.update(bytes([example['label']]))
    assert digests.hexdigest() == digest


def test_splits_share_no_digit_and_validation_no_half_of_a_photograph(builder, monkeypatch):
    given = []

    def compose(inks, chosen, photographs, size, random):
        given.append((inks, photographs))
        return np.zeros((size, size, 3), np.uint8), np.ones((size, size), np.uint8)

    monkeypatch.setattr(digit_scenes, 'compose', compose)
    for examples_of_split in builder._split_generators(None).values():
        next(iter(examples_of_split))
    (train, left), (tune, tune_left), (validation, right) = given
    # The three are all digits, one after the other, so none is in two of them.
    assert [len(inks) for inks in (train, tune, validation)] == [1237, 200, 360]
    np.testing.assert_array_equal(
        np.concatenate([train, tune, validation]), datasets.load_digits().images
    )
    assert len(left) == len(right) == 2
    for number in range(2):
        assert left[number].shape == right[number].shape == (427, 320, 3)
        np.testing.assert_array_equal(tune_left[number], left[number])
        # Both halves together are the photograph, whatever decoded it.
        photograph = datasets.load_sample_images().images[number].astype(int)
        whole = np.concatenate([left[number], right[number]], 1)
        assert np.abs(whole - photograph).mean() < 1


@pytest.mark.parametrize('split, count', [('train', 6000), ('tune', 500), ('validation', 1000)])
def test_every_digit_is_shown_about_equally_often(builder, split, count):
    records = builder.as_dataset(split=split, decoders=tfds.decode.PartialDecoding({'label': True}))
    labels = [int(record['label']) for record in records.as_numpy_iterator()]
    counts = np.bincount(labels, minlength=10)
    assert counts.sum() == count and (np.abs(counts / count - 0.1) < 0.02).all()


@pytest.mark.parametrize('split', ['train[:300]', 'tune[:300]', 'validation[:300]'])
def test_boxes_are_tight_round_their_masks(builder, split):
    for example in examples(builder, split):
        mask, box = example['mask'][..., 0], example['box'] * 96
        assert np.unique(mask).tolist() == [0, 1]
        assert tuple(np.rint(box).astype(int)) == digit_scenes.tight_box(mask)
        np.testing.assert_allclose(box, np.rint(box), atol=1e-4)
        height, width = example['box'][2:] - example['box'][:2]
        assert 0.2 <= max(height, width) <= 0.76
        assert mask.sum() >= 0.2 * height * width * 96 * 96
        assert example['image'][mask == 1].mean() > 90  # bright digits


def test_the_larger_configuration_has_twice_the_side(digit_scenes_dir):
    builder = tfds.builder('digit_scenes/192', data_dir=str(digit_scenes_dir))
    assert builder.info.features['image'].shape == (192, 192, 3)
    assert builder.info.features['mask'].shape == (192, 192, 1)
    inks = datasets.load_digits().images.astype(np.int64)[:50]
    photographs = [np.zeros((427, 320, 3), np.uint8)]
    image, mask = digit_scenes.compose(inks, 7, photographs, 192, np.random.RandomState(0))
    assert image.shape == (192, 192, 3) and mask.shape == (192, 192)
    y0, x0, y1, x1 = digit_scenes.tight_box(mask)
    assert 0.2 * 192 <= max(y1 - y0, x1 - x0) <= 0.75 * 192
    key, example = next(iter(builder._split_generators(None)['validation']))
    assert key == 'validation_00000'
    assert tf.io.decode_png(example['image']).shape == (192, 192, 3)
    assert example['label'] == datasets.load_digits().target[1437]
    box = np.array([getattr(example['box'], name) for name in ('ymin', 'xmin', 'ymax', 'xmax')])
    assert tuple(box * 192) == digit_scenes.tight_box(example['mask'][..., 0])
