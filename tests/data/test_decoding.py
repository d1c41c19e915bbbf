"""TensorFlow's and Pillow's decoding are one: files as they come, stored in every way."""

import io
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from support.errors import refused
from support.image_encodings import ENCODINGS, ORIENTATIONS, encode, picture

from drn_jax import recipes
from drn_jax.data import decoding, evaluation_batches, imagenet, open_source, training_batches
from drn_jax.data.image_files import read_image, read_label_map, read_size

CROP = {'size': 16, 'area': (0.2, 1.0), 'ratio': (3 / 4, 4 / 3)}


@pytest.mark.parametrize('ending', ENCODINGS)
def test_a_picture_is_the_same_however_it_is_stored(ending):
    pixels = picture(0)
    encoded = ENCODINGS[ending](pixels)
    found = read_image(io.BytesIO(encoded))
    decoded = decoding.decode_image(tf.constant(encoded)).numpy()
    np.testing.assert_array_equal(found, decoded)
    assert read_size(io.BytesIO(encoded)) == pixels.shape[:2]
    if ending.endswith('.jpg'):
        assert np.abs(found.astype(int) - pixels).max() <= 1
        pixels = read_image(io.BytesIO(ENCODINGS['_None.jpg'](pixels)))
    np.testing.assert_array_equal(found, pixels)
    plain = encode(pixels, 'PNG')
    for number in range(3):
        seed = tf.constant([7, number], tf.int64)
        np.testing.assert_array_equal(
            imagenet.training_image(encoded, seed, **CROP),
            imagenet.training_image(plain, seed, **CROP),
        )


def test_batches_are_the_same_however_pictures_are_stored(tmp_path):
    """Every class holds the same pictures, stored in one way."""
    for ending, store in ENCODINGS.items():
        for split in ('train', 'validation'):
            folder = tmp_path / split / ending.replace('.', '')
            folder.mkdir(parents=True)
            for number in range(2):
                (folder / f'{number}{ending}').write_bytes(store(picture(number)))
    data = recipes.classification().data
    data.name, data.data_dir, data.shards = 'folder', str(tmp_path), 1
    data.image_size, data.resize_px, data.crop = 16, 20, False
    source = open_source(data)
    count = 2 * len(ENCODINGS)
    assert source.num_classes == len(ENCODINGS) and source.num_examples('train') == count
    whole = next(training_batches(source, data, batch_size=count, seed=0))
    data.crop = True
    cut = next(evaluation_batches(source, data, batch_size=count))
    for batch in (whole, cut):
        assert batch['mask'].all()
        stored = {
            name: batch['image'][batch['label'] == label].astype(int)
            for label, name in enumerate(source.class_names)
        }
        for name, images in stored.items():
            images = sorted(images, key=np.ndarray.tolist)
            wanted = sorted(stored['png'], key=np.ndarray.tolist)
            assert np.abs(np.subtract(images, wanted)).max() <= name.endswith('jpg'), name


def test_python_ends_while_files_are_being_decoded(tmp_path):
    """Threads that decode with Pillow must not wait for Python's lock for ever."""
    for number in range(8):
        path = tmp_path / 'train' / 'a' / f'{number}.webp'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(picture(number, 160, 240), 'WEBP', lossless=True))
    script = (
        'from drn_jax import recipes; from drn_jax.data import open_source, training_batches\n'
        'data = recipes.classification().data\n'
        f'data.name, data.data_dir, data.shards = "folder", {str(tmp_path)!r}, 1\n'
        'batches = training_batches(open_source(data), data, batch_size=32, seed=0)\n'
        'print(sum(next(batches)["mask"].sum() for _ in range(3)))'
    )
    command = [sys.executable, '-c', script]
    root = pathlib.Path(__file__).parents[2]
    ended = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=300)
    assert (ended.returncode, ended.stdout) == (0, '96\n'), ended.stderr


@pytest.mark.parametrize('kind, mode', [('BMP', '1'), ('PNG', '1'), ('PNG', 'LA'), ('TIFF', 'L')])
def test_black_and_white_and_gray(kind, mode):
    image = Image.fromarray(picture(0)).convert(mode)
    encoded = encode(image, kind)
    wanted = np.array(image.convert('RGB'))
    np.testing.assert_array_equal(read_image(io.BytesIO(encoded)), wanted)
    np.testing.assert_array_equal(decoding.decode_image(encoded), wanted)


def test_cmyk():
    ink = np.random.default_rng(0).integers(0, 256, (16, 24, 4), np.uint8)
    for kind, options in (('TIFF', {}), ('JPEG', {'quality': 95})):
        encoded = encode(Image.fromarray(ink, 'CMYK'), kind, **options)
        stored = 255 - np.array(Image.open(io.BytesIO(encoded))).astype(int)
        wanted = stored[..., :3] * stored[..., 3:] // 255
        np.testing.assert_array_equal(read_image(io.BytesIO(encoded)), wanted)
        np.testing.assert_array_equal(decoding.decode_image(encoded), wanted)
    start = encoded.index(b'\xff\xee')  # Adobe's marker, without which ink is not inverted
    end = start + 2 + int.from_bytes(encoded[start + 2 : start + 4], 'big')
    encoded = encoded[:start] + encoded[end:]
    stored = 255 - stored
    wanted = stored[..., :3] * stored[..., 3:] // 255
    np.testing.assert_array_equal(read_image(io.BytesIO(encoded)), wanted)
    np.testing.assert_array_equal(decoding.decode_image(encoded), wanted)
    seed, plain = tf.constant([7, 1], tf.int64), encode(wanted.astype(np.uint8), 'PNG')
    np.testing.assert_array_equal(
        imagenet.training_image(encoded, seed, **CROP), imagenet.training_image(plain, seed, **CROP)
    )


@pytest.mark.parametrize('order', ['II', 'MM'])
@pytest.mark.parametrize('kind, size', [(3, 2), (4, 4)])  # SHORT, LONG
def test_a_jpeg_is_turned_whatever_the_form_of_its_tag(order, kind, size):
    name = {'II': 'little', 'MM': 'big'}[order]
    fields = [(42, 2), (8, 4), (1, 2), (0x0112, 2), (kind, 2), (1, 4), (6, size), (0, 4 - size)]
    tag = b''.join(value.to_bytes(length, name) for value, length in fields)
    exif = b'Exif\0\0' + order.encode() + tag + bytes(4)
    pixels = picture(1)
    options = {'quality': 100, 'subsampling': 0}
    encoded = encode(ORIENTATIONS[6](pixels), 'JPEG', exif=exif, **options)
    assert not decoding.is_upright_jpeg(encoded)
    found = decoding.decode_image(encoded).numpy()
    np.testing.assert_array_equal(found, read_image(io.BytesIO(encoded)))
    np.testing.assert_array_equal(found, decoding.decode_image(encode(pixels, 'JPEG', **options)))


def test_jpeg_files_that_are_not_turned_keep_their_fast_way():
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 1, 'A camera'
    for options in ({}, {'exif': exif}, {'icc_profile': bytes(9000)}, {'progressive': True}):
        assert decoding.is_upright_jpeg(encode(picture(0), 'JPEG', **options)), options
    xmp = b'<x:xmpmeta tiff:Orientation="6"/>'  # which viewers do not look at
    encoded = encode(picture(0), 'JPEG', xmp=xmp)
    assert decoding.is_upright_jpeg(encoded)
    assert read_image(io.BytesIO(encoded)).shape == (24, 40, 3)


def test_a_png_without_its_end_is_read_by_all():
    for encoded in (encode(picture(0), 'PNG')[:-12], encode(picture(0), 'PNG') + b'more'):
        np.testing.assert_array_equal(read_image(io.BytesIO(encoded)), picture(0))
        np.testing.assert_array_equal(decoding.decode_image(encoded), picture(0))


def test_an_orientation_behind_the_pixels_of_a_png_counts():
    exif = Image.Exif()
    exif[0x0112] = 6
    plain, tagged = encode(picture(0), 'PNG'), encode(picture(0), 'PNG', exif=exif)
    start = tagged.index(b'eXIf') - 4
    chunk = tagged[start : start + 12 + int.from_bytes(tagged[start : start + 4], 'big')]
    encoded = plain[:-12] + chunk + plain[-12:]
    assert read_size(io.BytesIO(encoded)) == (40, 24)
    found = decoding.decode_image(encoded).numpy()
    np.testing.assert_array_equal(found, np.rot90(picture(0), -1))
    np.testing.assert_array_equal(found, read_image(io.BytesIO(encoded)))


LABELS = np.arange(24, dtype=np.uint8).reshape(4, 6) % 4


def with_palette(labels, bits):
    image = Image.fromarray(labels, 'L').convert('P')
    image.putdata(labels.ravel().tolist())
    image.putpalette([200, 0, 0, 0, 200, 0, 7, 7, 7, 9, 8, 7])
    return encode(image, 'PNG', bits=bits)


@pytest.mark.parametrize(
    'encoded',
    [
        encode(LABELS, 'PNG'),
        encode(LABELS, 'PNG', bits=2),
        encode(LABELS, 'PNG', bits=4),
        encode(LABELS, 'PNG', orientation=6),
        with_palette(LABELS, 2),
        with_palette(LABELS, 8),
        encode(LABELS, 'TIFF'),
        encode(LABELS, 'TIFF', orientation=3),
        encode(LABELS, 'BMP'),
        encode(LABELS, 'GIF'),
        b'P5 6 4 3\n' + LABELS.tobytes(),  # 3 is white
    ],
)
def test_a_label_map_has_the_values_that_are_stored(encoded):
    np.testing.assert_array_equal(read_label_map(io.BytesIO(encoded)), LABELS)
    np.testing.assert_array_equal(decoding.decode_map(encoded), LABELS)


def test_a_label_map_of_black_and_white_holds_0_and_1():
    for kind in ('PNG', 'TIFF', 'BMP'):
        encoded = encode(LABELS > 1, kind)
        np.testing.assert_array_equal(read_label_map(io.BytesIO(encoded)), LABELS > 1)


def test_a_label_map_is_turned_with_its_image(tmp_path):
    image, label = tmp_path / 'image.jpg', tmp_path / 'label.png'
    for orientation, turn in ORIENTATIONS.items():
        image.write_bytes(encode(picture(0, 8, 16), 'JPEG', orientation=orientation))
        upright = np.arange(128, dtype=np.uint8).reshape(8, 16)
        label.write_bytes(encode(upright, 'PNG'))  # drawn on what a viewer shows
        np.testing.assert_array_equal(read_label_map(label, image), upright)
        label.write_bytes(encode(upright, 'PNG', orientation=orientation))
        np.testing.assert_array_equal(read_label_map(label, image), upright)
        if orientation >= 5:  # drawn on what is stored, as its size tells
            label.write_bytes(encode(np.ascontiguousarray(turn(upright)), 'PNG'))
            np.testing.assert_array_equal(read_label_map(label, image), upright)


def test_a_label_map_whose_values_are_lost_is_refused(tmp_path):
    path = tmp_path / 'label.jpg'
    path.write_bytes(encode(LABELS, 'JPEG'))
    with refused(path=path, match='is a JPEG file, which does not keep values; a label map'):
        read_label_map(path)
