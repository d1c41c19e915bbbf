"""Crops against torchvision's arithmetic, Pillow's pixels and full decoding."""
import io

import numpy as np
from PIL import Image
import pytest
import tensorflow as tf

from data.imagenet_tars import jpeg
from drn_jax.data import imagenet


def encode(pixels, kind):
    """Encodes uint8 pixels losslessly, or as a JPEG of high quality."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **({'quality': 95} if kind == 'JPEG' else {}))
    return buffer.getvalue()


def place_image(height, width):
    """An image whose pixels tell their place: red is x, green is y."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x, y, 0 * x], -1).astype(np.uint8)


def difference(one, other):
    return np.abs(np.asarray(one).astype(int) - np.asarray(other).astype(int)).max()


def random_crops(shape, seeds, area=(.08, 1.), ratio=(3 / 4, 4 / 3)):
    """Crops y, x, height, width for many seeds, int [N, 4]."""
    crops = tf.data.Dataset.from_tensor_slices(tf.constant(seeds, tf.int64)).map(
        lambda seed: imagenet.random_crop(tf.constant(shape), seed, area=area, ratio=ratio))
    return np.stack(list(crops.as_numpy_iterator()))


def test_the_shorter_side_is_exact_and_the_longer_rounded_down():
    assert imagenet.resized_sizes(375, 500, 256) == (256, 341)  # 341.33
    assert imagenet.resized_sizes(500, 375, 256) == (341, 256)
    assert imagenet.resized_sizes(213, 320, 256) == (256, 384)  # 384.60
    assert imagenet.resized_sizes(100, 333, 256) == (256, 852)  # 852.48
    assert imagenet.resized_sizes(300, 300, 256) == (256, 256)
    assert imagenet.resized_sizes(60, 80, 256) == (256, 341)  # smaller images are enlarged
    height, width = imagenet.resized_sizes(tf.constant(500), tf.constant(375), 256)
    assert (int(height), int(width)) == (341, 256)


def test_the_central_crop_begins_where_torchvisions_does():
    # Halves become even: 58.5, 59.5, 0.5, 1.5.
    given = {256: 16, 384: 80, 341: 58, 343: 60, 225: 0, 227: 2, 224: 0}
    assert {length: imagenet.central_offset(length, 224) for length in given} == given
    lengths = np.arange(224, 300, dtype=np.int32)
    rounded = [round((int(length) - 224) / 2.) for length in lengths]
    assert [imagenet.central_offset(int(length), 224) for length in lengths] == rounded
    assert imagenet.central_offset(tf.constant(lengths), 224).numpy().tolist() == rounded


@pytest.mark.parametrize('height, width', [(300, 401), (401, 300), (90, 120), (128, 128)])
def test_the_evaluation_crop_is_pillows(height, width):
    encoded = jpeg(5, height, width)
    short, size = 128, 112
    new_height, new_width = imagenet.resized_sizes(height, width, short)
    y, x = round((new_height - size) / 2.), round((new_width - size) / 2.)
    resized = Image.open(io.BytesIO(encoded)).resize(
        (new_width, new_height), Image.Resampling.BILINEAR)
    expected = np.asarray(resized.crop((x, y, x + size, y + size)))
    crop = imagenet.evaluation_crops(encoded, size=size, short=short, crops=1).numpy()
    assert crop.shape == (size, size, 3) and crop.dtype == np.uint8
    assert difference(crop, expected) <= 2


def test_shrinking_is_antialiased():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 200
    encoded = encode(stripes, 'PNG')
    crop = imagenet.evaluation_crops(encoded, size=12, short=16, crops=1).numpy()
    assert difference(crop, 100) <= 7
    assert difference(imagenet.whole_image(encoded, size=16)[:, 1:-1], 100) <= 7


@pytest.mark.parametrize('height, width, centre, right, bottom', [
    (40, 60, (8, 18), 36, 16), (61, 40, (18, 8), 16, 37)])
def test_five_crops_are_centre_and_corners_in_order(height, width, centre, right, bottom):
    image = place_image(height, width)
    crops = imagenet.evaluation_crops(encode(image, 'PNG'), size=24, short=40, crops=10).numpy()
    assert crops.shape == (5, 24, 24, 3) and crops.dtype == np.uint8
    places = [(int(crop[0, 0, 1]), int(crop[0, 0, 0])) for crop in crops]
    assert places == [centre, (0, 0), (0, right), (bottom, 0), (bottom, right)]
    for crop, (y, x) in zip(crops, places):
        np.testing.assert_array_equal(crop, image[y:y + 24, x:x + 24])
    one = imagenet.evaluation_crops(encode(image, 'PNG'), size=24, short=40, crops=1)
    np.testing.assert_array_equal(one, crops[0])


def test_a_random_crop_that_cannot_fit_is_the_whole_image():
    assert random_crops((20, 200, 3), [(0, 1)], area=(.5, 1.)).tolist() == [[0, 0, 20, 200]]
    assert random_crops((32, 32, 3), [(0, 1)], (1., 1.), (1., 1.)).tolist() == [[0, 0, 32, 32]]


@pytest.mark.parametrize('shape', [(60, 80, 3), (500, 375, 3)])
@pytest.mark.parametrize('area, ratio', [((.08, 1.), (3 / 4, 4 / 3)), ((.3, .5), (1., 1.))])
def test_random_crops_keep_to_image_area_and_ratio(shape, area, ratio):
    y, x, height, width = random_crops(shape, [(3, n) for n in range(500)], area, ratio).T
    assert (y >= 0).all() and (y + height <= shape[0]).all()
    assert (x >= 0).all() and (x + width <= shape[1]).all()
    share = height * width / (shape[0] * shape[1])
    assert share.min() >= area[0] - 1e-6 and share.max() <= area[1] + 1e-6
    # Lengths are whole pixels, half a pixel from the drawn ratio at most.
    assert (width + .5 >= ratio[0] * height).all() and (width - .5 <= ratio[1] * height).all()
    assert share.max() - share.min() > .8 * (min(area[1], .8) - area[0])  # the range is used
    assert max(y.min(), x.min()) < 5 and y.max() > shape[0] / 3 and x.max() > shape[1] / 3


def test_a_random_crop_depends_on_its_seed_only():
    seeds = [(seed, index) for seed in (0, 1) for index in range(100)]
    crops = random_crops((375, 500, 3), seeds)
    np.testing.assert_array_equal(random_crops((375, 500, 3), seeds[::-1])[::-1], crops)
    assert len(np.unique(crops, axis=0)) > 190  # both numbers of the seed count


@pytest.mark.parametrize('height, width', [(120, 160), (333, 250)])
def test_a_training_image_is_a_crop_of_the_full_decode(height, width):
    encoded = jpeg(7, height, width)
    whole = tf.io.decode_jpeg(encoded, dct_method='INTEGER_ACCURATE')
    for index in range(10):
        seed = tf.constant([4, index], tf.int64)
        y, x, rows, columns = imagenet.random_crop(
            tf.shape(whole), seed, area=(.08, 1.), ratio=(3 / 4, 4 / 3)).numpy()
        expected = tf.image.resize(whole[y:y + rows, x:x + columns], [64, 64])
        image = imagenet.training_image(
            encoded, seed, size=64, area=(.08, 1.), ratio=(3 / 4, 4 / 3)).numpy()
        assert image.shape == (64, 64, 3) and image.dtype == np.uint8
        # Only at its border does the crop lack the neighbours that colour is interpolated from.
        assert difference(image, expected.numpy().round()) <= 4
        assert np.mean(np.abs(image - expected.numpy()) > 1) < .01


@pytest.mark.parametrize('kind', ['PNG', 'BMP', 'GIF'])
def test_other_formats_are_cropped_from_the_same_places(kind):
    grey = np.repeat(np.arange(100, dtype=np.uint8)[:, None], 80, 1)
    pixels = grey if kind == 'GIF' else np.stack([grey] * 3, -1)
    encoded, seed = encode(pixels, kind), tf.constant([4, 2], tf.int64)
    y, _, rows, _ = imagenet.random_crop(
        tf.constant([100, 80, 3]), seed, area=(.3, .4), ratio=(1., 1.)).numpy()
    image = imagenet.training_image(encoded, seed, size=rows, area=(.3, .4), ratio=(1., 1.))
    np.testing.assert_array_equal(image[:, 5, 1], np.arange(y, y + rows))
    assert imagenet.whole_image(encoded, size=32).shape == (32, 32, 3)
    assert imagenet.evaluation_crops(encoded, size=24, short=32, crops=1).shape == (24, 24, 3)


def test_images_of_the_right_size_stay_as_they_are():
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    np.testing.assert_array_equal(imagenet.whole_image(encode(image, 'PNG'), size=32), image)
    np.testing.assert_array_equal(
        imagenet.training_image(encode(image, 'PNG'), tf.constant([0, 0], tf.int64), size=32,
                                area=(1., 1.), ratio=(1., 1.)), image)


def test_whole_images_become_square():
    encoded = jpeg(3, 90, 150)
    expected = Image.open(io.BytesIO(encoded)).resize((48, 48), Image.Resampling.BILINEAR)
    image = imagenet.whole_image(encoded, size=48).numpy()
    assert image.shape == (48, 48, 3) and image.dtype == np.uint8
    assert difference(image, expected) <= 2


@pytest.mark.parametrize('kind', ['JPEG', 'PNG'])
def test_grey_images_get_three_equal_channels(kind):
    encoded = encode(place_image(50, 70)[..., 0], kind)
    seed = tf.constant([0, 0], tf.int64)
    for image in (imagenet.whole_image(encoded, size=32),
                  imagenet.evaluation_crops(encoded, size=32, short=40, crops=1),
                  imagenet.training_image(encoded, seed, size=32, area=(.5, 1.), ratio=(1., 1.))):
        assert image.shape == (32, 32, 3) and int(tf.reduce_max(image)) > 30
        np.testing.assert_array_equal(image[..., 0], image[..., 1])
        np.testing.assert_array_equal(image[..., 0], image[..., 2])
