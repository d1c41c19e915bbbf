"""Crops of images and label maps: both show the same places, whatever is done to them."""

import numpy as np
import pytest
import tensorflow as tf
from data.test_imagenet import encode

from drn_jax.data import map_crops  # before TensorFlow, whose environment it sets


def seed(number):
    return tf.constant([5, number], tf.int64)


def crop(image, label, number=0, **options):
    found = map_crops.training_example(
        encode(image, 'PNG'), tf.constant(label), seed(number), **options
    )
    return tuple(part.numpy() for part in found)


def grid(height, width):
    """An image in which every pixel tells its place, and a label map of its columns."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0], image[..., 1] = np.indices((height, width))
    return image, image[..., 1].copy()


def ramp(height, width, slope):
    """An image that grows to the right, and a label map of the same numbers."""
    image = np.zeros((height, width, 3), np.uint8)
    image[:] = slope * np.arange(width)[:, None]
    return image, image[..., 0].copy()


# By hand: a b c d mirrored at a and at d, without repeating them.
def test_reflection_repeats_no_edge():
    assert map_crops.reflect(tf.range(-7, 8), 4).numpy().tolist() == [
        1,
        0,
        1,
        2,
        3,
        2,
        1,
        0,
        1,
        2,
        3,
        2,
        1,
        0,
        1,
    ]
    assert map_crops.reflect(tf.range(-2, 3), 1).numpy().tolist() == [0] * 5
    assert map_crops.reflect(tf.range(-2, 4), 2).numpy().tolist() == [0, 1, 0, 1, 0, 1]


def test_the_nearest_pixel_is_that_at_the_center():
    assert map_crops.nearest(tf.range(6), 6, 3).numpy().tolist() == [0, 0, 1, 1, 2, 2]
    assert map_crops.nearest(tf.range(2), 2, 6).numpy().tolist() == [1, 4]
    assert map_crops.nearest(tf.range(5), 5, 5).numpy().tolist() == [0, 1, 2, 3, 4]


def test_a_crop_is_cut_from_the_decoded_image():
    image, label = grid(20, 30)
    places = set()
    for number in range(60):
        cut, cut_label = crop(image, label, number, crop_px=18)
        assert cut.dtype == cut_label.dtype == np.uint8
        y, x = cut[0, 0, :2]
        places.add((y, x))
        np.testing.assert_array_equal(cut, image[y : y + 18, x : x + 18])
        np.testing.assert_array_equal(cut_label, label[y : y + 18, x : x + 18])
    assert {y for y, _ in places} == {0, 1, 2} and {x for _, x in places} == set(range(13))


def test_a_crop_is_fixed_by_its_seed():
    image, label = grid(20, 30)
    assert [crop(image, label, number, crop_px=8)[0][0, 0, :2].tolist() for number in range(4)] == [
        [10, 1],
        [12, 13],
        [8, 8],
        [3, 9],
    ]


def test_where_the_image_is_smaller_it_is_reflected_and_has_no_class():
    image, label = grid(2, 3)
    cut, cut_label = crop(image, label, crop_px=6)
    # Two rows above and below, one column on the left and two on the right.
    assert cut[..., 0].tolist() == [[value] * 6 for value in (0, 1, 0, 1, 0, 1)]
    assert cut[..., 1].tolist() == [[1, 0, 1, 2, 1, 0]] * 6
    nothing = [255] * 6
    row = [255, 0, 1, 2, 255, 255]
    assert cut_label.tolist() == [nothing, nothing, row, row, nothing, nothing]


@pytest.mark.parametrize('height, width', [(40, 60), (33, 47), (9, 60), (40, 7)])
@pytest.mark.parametrize('factor', [0.5, 0.7, 1.0, 1.3, 2.0])
def test_scaling_equals_resizing_the_whole_image_before_the_crop(height, width, factor):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (height, width, 3), np.uint8)
    label = rng.integers(0, 9, (height, width), np.uint8)
    scaled = int(height * factor), int(width * factor)
    whole = tf.round(tf.image.resize(image, scaled, antialias=True)).numpy().astype(int)
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(int)
        for new, old in zip(scaled, (height, width))
    )
    whole_label = label[rows][:, columns]
    size = 16
    padding = [
        (max(size - side, 0) // 2, max(size - side, 0) - max(size - side, 0) // 2)
        for side in scaled
    ]
    whole = np.pad(whole, [*padding, (0, 0)], 'reflect')
    whole_label = np.pad(whole_label, padding, constant_values=255)
    windows = np.lib.stride_tricks.sliding_window_view(whole, (size, size), axis=(0, 1))
    for number in range(3):
        cut, cut_label = crop(image, label, number, crop_px=size, scale=(factor, factor))
        difference = np.abs(windows - cut.transpose(2, 0, 1)).max((2, 3, 4))
        y, x = np.unravel_index(difference.argmin(), difference.shape)
        assert difference[y, x] <= 1  # rounding
        np.testing.assert_array_equal(cut_label, whole_label[y : y + size, x : x + size])


def test_scales_and_angles_are_uniform_and_reach_their_ends():
    image, label = ramp(64, 64, 3)
    slopes = []
    for number in range(150):
        cut, _ = crop(image, label, number, crop_px=9, scale=(0.5, 2.0))
        slopes.append(np.diff(cut[4, :, 0].astype(float)).mean())
    scales = 3 / np.array(slopes)
    assert 0.48 < scales.min() < 0.6 and 1.8 < scales.max() < 2.2 and 1.1 < scales.mean() < 1.4
    angles = []
    for number in range(150):
        cut, cut_label = crop(image, label, number, crop_px=31, rotation_degrees=3)
        places = np.argwhere(cut_label != 255)
        values = cut[tuple(places.T)][:, 0].astype(float)
        down, right = np.linalg.lstsq(np.c_[places, np.ones(len(places))], values)[0][
            :2
        ]  # the steepness of a plane
        angles.append(np.degrees(np.arctan2(down, right)))
    assert set(np.rint(angles).astype(int)) == {-3, -2, -1, 0, 1, 2, 3}
    assert np.abs(angles - np.rint(angles)).max() < 0.3


def test_rotation_by_a_right_angle_turns_the_pixels():
    image, label = grid(5, 5)
    whole = (tf.constant(0), tf.constant(5))
    turned, turned_label = map_crops.rotate(
        tf.constant(image), tf.constant(label), tf.constant(90.0, tf.float64), whole, whole
    )
    np.testing.assert_array_equal(turned, np.rot90(image))
    np.testing.assert_array_equal(turned_label, np.rot90(label))
    part, part_label = map_crops.rotate(
        tf.constant(image),
        tf.constant(label),
        tf.constant(90.0, tf.float64),
        (tf.constant(1), tf.constant(4)),
        (tf.constant(2), tf.constant(5)),
    )
    np.testing.assert_array_equal(part, np.rot90(image)[1:4, 2:5])
    np.testing.assert_array_equal(part_label, np.rot90(label)[1:4, 2:5])


def test_what_rotation_brings_in_is_reflected_and_has_no_class():
    image, label = np.full((21, 21, 3), 70, np.uint8), np.full((21, 21), 4, np.uint8)
    whole = (tf.constant(0), tf.constant(21))
    turned, turned_label = map_crops.rotate(
        tf.constant(image), tf.constant(label), tf.constant(45.0, tf.float64), whole, whole
    )
    assert (turned.numpy() == 70).all()
    turned_label = turned_label.numpy()
    assert set(np.unique(turned_label)) == {4, 255}
    assert turned_label[0, 0] == turned_label[20, 20] == turned_label[0, 20] == 255
    assert (turned_label[10] == 4).all() and turned_label[0, 10] == 4


@pytest.mark.parametrize(
    'options',
    [
        {'scale': (0.5, 2.0)},
        {'rotation_degrees': 10},
        {'scale': (0.5, 2.0), 'rotation_degrees': 10},
    ],
)
def test_image_and_label_show_the_same_place(options):
    """Both grow to the right, by 2 a pixel: the nearest pixel is at most one away."""
    image, label = ramp(100, 120, 2)
    labeled = 0
    for number in range(20):
        cut, cut_label = crop(image, label, number, crop_px=40, **options)
        inside = cut_label != 255
        # Where rotation and reflection meet, the image may come from beyond a border.
        inside &= (cut_label > 4) & (cut_label < 234)
        labeled += inside.sum()
        difference = np.abs(cut[..., 0].astype(int) - cut_label)[inside]
        assert difference.max(initial=0) <= 3 and difference.mean() < 1
    assert labeled > 20 * 40 * 40 / 2


def test_a_whole_example_is_resized_where_a_size_is_given():
    image, label = grid(6, 8)
    same = map_crops.whole_example(encode(image, 'PNG'), tf.constant(label))
    np.testing.assert_array_equal(same[0], image)
    np.testing.assert_array_equal(same[1], label)
    small, small_label = map_crops.whole_example(
        encode(image, 'PNG'), tf.constant(label), size=(3, 2)
    )
    assert small.shape == (3, 2, 3)
    assert small_label.numpy().tolist() == [[2, 6]] * 3
    np.testing.assert_array_equal(small, tf.round(tf.image.resize(image, (3, 2), antialias=True)))


def test_sizes_that_differ_are_refused():
    image, label = grid(6, 8)
    with pytest.raises(tf.errors.InvalidArgumentError, match='differ in size'):
        crop(image, label[:5], crop_px=4)
