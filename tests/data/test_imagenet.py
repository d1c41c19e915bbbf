import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from drn_jax.data import decoding, imagenet  # before TensorFlow, whose environment it sets

AREA, RATIO = (0.08, 1.0), (3 / 4, 4 / 3)


def seed(number):
    return tf.constant([7, number], tf.int64)


def photograph(height, width):
    """Returns smooth random colors, uint8 [height, width, 3]."""
    coarse = np.random.RandomState(0).randint(0, 256, (6, 8, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def encode(image, kind, **options):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind, **options)
    return buffer.getvalue()


# torchvision's Resize(256), by hand: 256 * 500 / 375 = 341.33, 256 * 500 / 333 = 384.38.
@pytest.mark.parametrize(
    'height, width, resized',
    [
        (375, 500, (256, 341)),
        (500, 375, (341, 256)),
        (333, 500, (256, 384)),
        (100, 100, (256, 256)),
        (256, 300, (256, 300)),
        (50, 1000, (256, 5120)),
    ],
)
def test_resized_sizes_are_torchvisions(height, width, resized):
    assert imagenet.resized_sizes(height, width, 256) == resized
    tensors = imagenet.resized_sizes(tf.constant(height), tf.constant(width), 256)
    assert tuple(side.numpy() for side in tensors) == resized


# torchvision's CenterCrop(224), by hand: (341 - 224) / 2 = 58.5, which Python rounds to the even
# 58, and (343 - 224) / 2 = 59.5, which it rounds to the even 60.
@pytest.mark.parametrize(
    'length, offset',
    [(224, 0), (225, 0), (226, 1), (227, 2), (228, 2), (229, 2), (256, 16), (341, 58), (343, 60)],
)
def test_central_offsets_are_torchvisions(length, offset):
    assert imagenet.central_offset(length, 224) == offset == int(round((length - 224) / 2.0))
    assert imagenet.central_offset(tf.constant(length), 224).numpy() == offset


def test_a_random_crop_is_fixed_by_its_seed():
    crops = [
        imagenet.random_crop(tf.constant([375, 500, 3]), seed(number), area=AREA, ratio=RATIO)
        for number in range(3)
    ]
    assert [crop.numpy().tolist() for crop in crops] == [
        [166, 134, 208, 247],
        [10, 322, 226, 175],
        [52, 205, 308, 272],
    ]


def test_random_crops_keep_to_area_and_ratio():
    draw = tf.function(
        lambda key: imagenet.random_crop(
            tf.constant([375, 500, 3]), key, area=(0.3, 0.6), ratio=(0.8, 1.5)
        )
    )
    y, x, height, width = np.array([draw(seed(number)) for number in range(400)]).T
    assert min(y.min(), x.min()) >= 0
    assert (y + height).max() <= 375 and (x + width).max() <= 500
    area, ratio = height * width / (375 * 500), width / height
    assert 0.29 < area.min() < 0.32 and 0.55 < area.max() < 0.61
    assert 0.79 < ratio.min() < 0.82 and 1.45 < ratio.max() < 1.51


def test_where_no_crop_fits_it_is_the_whole_image():
    crop = imagenet.random_crop(tf.constant([10, 2000, 3]), seed(0), area=(0.9, 1.0), ratio=RATIO)
    assert crop.numpy().tolist() == [0, 0, 10, 2000]


@pytest.mark.parametrize('kind', ['JPEG', 'PNG'])
def test_a_training_image_is_the_resized_crop_of_the_decoded_image(kind):
    encoded = encode(photograph(90, 120), kind, **({'subsampling': 0} if kind == 'JPEG' else {}))
    decoded = (
        tf.io.decode_jpeg(encoded, dct_method='INTEGER_ACCURATE')
        if kind == 'JPEG'
        else tf.io.decode_png(encoded)
    )
    for number in range(5):
        y, x, height, width = imagenet.random_crop(
            tf.constant([90, 120, 3]), seed(number), area=AREA, ratio=RATIO
        ).numpy()
        expected = tf.round(tf.image.resize(decoded[y : y + height, x : x + width], [32, 32]))
        image = imagenet.training_image(encoded, seed(number), size=32, area=AREA, ratio=RATIO)
        assert image.dtype == tf.uint8
        np.testing.assert_array_equal(image, expected)


def test_a_fused_crop_equals_a_cut_except_for_the_colors_of_its_last_column():
    """libjpeg smooths halved colors with their neighbors, which a crop does not have."""
    encoded = encode(photograph(90, 120), 'JPEG', subsampling=2)
    whole = tf.io.decode_jpeg(encoded, dct_method='INTEGER_ACCURATE').numpy().astype(int)
    fused = tf.io.decode_and_crop_jpeg(encoded, [2, 22, 65, 50], dct_method='INTEGER_ACCURATE')
    difference = np.abs(fused.numpy().astype(int) - whole[2:67, 22:72])
    assert difference[:, :-1].max() == 0 and difference.max() < 10


@pytest.mark.parametrize('height, width', [(375, 500), (500, 333), (120, 90), (300, 256)])
def test_evaluation_crops_are_within_two_gray_levels_of_pillows(height, width):
    image = photograph(height, width)
    resized_height, resized_width = imagenet.resized_sizes(height, width, 256)
    resized = np.asarray(
        Image.fromarray(image).resize((resized_width, resized_height), Image.Resampling.BILINEAR)
    ).astype(int)
    y, x = (int(round((side - 224) / 2.0)) for side in resized.shape[:2])
    bottom, right = resized_height - 224, resized_width - 224
    crops = imagenet.evaluation_crops(tf.constant(image), size=224, short=256, crops=10).numpy()
    places = [(y, x), (0, 0), (0, right), (bottom, 0), (bottom, right)]
    for crop, (top, left) in zip(crops, places, strict=True):
        assert np.abs(crop - resized[top : top + 224, left : left + 224]).max() <= 2
    central = imagenet.evaluation_crops(tf.constant(image), size=224, short=256, crops=1)
    np.testing.assert_array_equal(central, crops[0])


def test_crops_of_an_image_that_has_the_size_already_are_cut_from_it():
    image = np.zeros((40, 61, 3), np.uint8)
    image[..., 0], image[..., 1] = np.indices((40, 61))  # every pixel tells its place
    crops = imagenet.evaluation_crops(tf.constant(image), size=24, short=40, crops=10).numpy()
    assert [crop[0, 0, :2].tolist() for crop in crops] == [
        [8, 18],
        [0, 0],
        [0, 37],
        [16, 0],
        [16, 37],
    ]
    assert [crop[-1, -1, :2].tolist() for crop in crops] == [
        [31, 41],
        [23, 23],
        [23, 60],
        [39, 23],
        [39, 60],
    ]


def test_shrinking_is_antialiased():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 200
    crop = imagenet.evaluation_crops(tf.constant(stripes), size=12, short=16, crops=1).numpy()
    assert np.abs(crop.astype(int) - 100).max() <= 7


def test_a_jpeg_is_decoded_as_by_pillow():
    image = photograph(96, 96)
    expected = np.asarray(Image.open(io.BytesIO(encode(image, 'JPEG')))).astype(int)
    found = decoding.decode_image(encode(image, 'JPEG')).numpy()
    assert np.abs(found - expected).max() <= 1  # 0 where Pillow was built with libjpeg-turbo


def test_an_image_of_the_wanted_size_stays_as_it_is():
    image = photograph(96, 96)
    np.testing.assert_array_equal(imagenet.whole_image(tf.constant(image), 96, 96), image)
    assert imagenet.whole_image(tf.constant(image), 48, 48).shape == (48, 48, 3)


@pytest.mark.parametrize(
    'kind, mode',
    [
        ('JPEG', 'L'),
        ('JPEG', 'CMYK'),
        ('PNG', 'L'),
        ('PNG', 'RGBA'),
        ('PNG', 'P'),
        ('GIF', 'P'),
        ('BMP', 'RGB'),
    ],
)
def test_every_kind_and_mode_becomes_rgb(kind, mode):
    buffer = io.BytesIO()
    Image.fromarray(photograph(40, 50)).convert(mode).save(buffer, kind)
    encoded = buffer.getvalue()
    assert imagenet.whole_image(decoding.decode_image(encoded), 16, 16).shape == (16, 16, 3)
    image = imagenet.training_image(encoded, seed(0), size=16, area=AREA, ratio=RATIO)
    assert image.shape == (16, 16, 3) and image.dtype == tf.uint8


def test_the_geometry_of_the_central_crop_is_where_it_is_cut():
    image = np.zeros((80, 122, 3), np.uint8)
    image[..., 0], image[..., 1] = np.indices((80, 122))
    height, width, resized_height, resized_width, y, x = imagenet.central_geometry(
        80, 122, size=24, short=40
    )
    assert (height, width, resized_height, resized_width) == (80, 122, 40, 61)
    crop = imagenet.evaluation_crops(tf.constant(image), size=24, short=40, crops=1).numpy()
    # Pixel (0, 0) of the crop covers pixels 2y, 2y + 1 of the image, and so on.
    np.testing.assert_allclose(crop[0, 0, :2], [2 * y + 0.5, 2 * x + 0.5], atol=0.5)


@pytest.mark.parametrize(
    'size, shape',
    [
        ((256, 256), (256, 256)),
        ((375, 500), (256, 352)),
        ((500, 375), (352, 256)),
        ((300, 310), (256, 256)),
        ((100, 1000), (256, 480)),
        ((1000, 100), (480, 256)),
        ((100, 188), (256, 480)),
        ((480, 640), (256, 352)),
        ((400, 500), (256, 320)),
    ],
)
def test_whole_images_come_in_few_shapes(size, shape):
    assert imagenet.few_shapes(*size, 256) == shape
    in_tensors = imagenet.few_shapes(*(tf.constant(length) for length in size), 256)
    assert tuple(int(length) for length in in_tensors) == shape


def test_there_are_fifteen_shapes():
    shapes = {
        imagenet.few_shapes(height, width, 256)
        for height in range(50, 700, 7)
        for width in range(50, 700, 9)
    }
    assert len(shapes) == 15
