"""Photographs of every kind, drawn here, and files that are none."""

import io

import numpy as np
import pytest
from PIL import Image
from support.errors import refused

from drn_jax.data.image_files import read_image
from drn_jax.errors import InputError

GRADIENT = np.arange(0, 240, 10, dtype=np.uint8).reshape(4, 6)


def saved(tmp_path, image, suffix='.png', **options):
    path = tmp_path / f'image{suffix}'
    image.save(path, **options)
    return path


@pytest.mark.parametrize('suffix', ['.png', '.tif', '.bmp', '.webp'])
def test_colors_stay_as_they_are(tmp_path, suffix):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    options = {'lossless': True} if suffix == '.webp' else {}
    found = read_image(saved(tmp_path, Image.fromarray(pixels), suffix, **options))
    np.testing.assert_array_equal(found, pixels)
    assert found.dtype == np.uint8 and found.flags.writeable


def test_gray_and_black_and_white(tmp_path):
    found = read_image(saved(tmp_path, Image.fromarray(GRADIENT)))
    np.testing.assert_array_equal(found, GRADIENT[..., None].repeat(3, 2))
    found = read_image(saved(tmp_path, Image.fromarray(GRADIENT > 99)))
    np.testing.assert_array_equal(found[..., 0], (GRADIENT > 99) * 255)


@pytest.mark.parametrize('suffix', ['.png', '.tif'])
def test_gray_of_16_bits(tmp_path, suffix):
    wide = GRADIENT.astype(np.uint16) * 257
    found = read_image(saved(tmp_path, Image.fromarray(wide), suffix))
    np.testing.assert_array_equal(found, GRADIENT[..., None].repeat(3, 2))


def test_palette_with_and_without_transparency(tmp_path):
    image = Image.new('P', (3, 1))
    image.putdata([0, 1, 2])
    image.putpalette([10, 20, 30, 200, 100, 0, 7, 7, 7])
    found = read_image(saved(tmp_path, image))
    assert found.tolist() == [[[10, 20, 30], [200, 100, 0], [7, 7, 7]]]
    found = read_image(saved(tmp_path, image, transparency=1))
    assert found.tolist() == [[[10, 20, 30], [255, 255, 255], [7, 7, 7]]]


def test_alpha_is_laid_over_white(tmp_path):
    pixels = np.array([[[0, 0, 0, 255], [0, 0, 0, 0], [0, 0, 0, 51]]], np.uint8)
    found = read_image(saved(tmp_path, Image.fromarray(pixels)))
    assert found[..., 0].tolist() == [[0, 255, 204]]
    gray = Image.fromarray(pixels[..., 2:].copy())
    assert gray.mode == 'LA'
    assert read_image(saved(tmp_path, gray))[..., 1].tolist() == [[0, 255, 204]]
    opaque = Image.fromarray(np.zeros((1, 2, 3), np.uint8))  # one color stands for nothing
    found = read_image(saved(tmp_path, opaque, transparency=(0, 0, 0)))
    assert found.min() == 255


def test_cmyk(tmp_path):
    cyan = Image.new('CMYK', (16, 16), (255, 0, 0, 0))
    found = read_image(saved(tmp_path, cyan, '.jpg'))
    assert np.abs(found.astype(int) - [0, 255, 255]).max() < 12


@pytest.mark.parametrize(
    'orientation, turned',
    [
        (1, lambda pixels: pixels),
        (3, lambda pixels: pixels[::-1, ::-1]),
        (6, lambda pixels: np.rot90(pixels, -1)),
        (8, np.rot90),
        (2, lambda pixels: pixels[:, ::-1]),
    ],
)
def test_exif_orientation(tmp_path, orientation, turned):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = read_image(saved(tmp_path, Image.fromarray(pixels), exif=exif))
    np.testing.assert_array_equal(found, turned(pixels))


def test_damaged_exif_loses_no_image(tmp_path):
    path = saved(tmp_path, Image.fromarray(GRADIENT), exif=b'Exif\0\0II*\0\xff\xff\xff\xff')
    assert read_image(path).shape == (4, 6, 3)


def test_the_first_frame_of_an_animation(tmp_path):
    frames = [Image.new('RGB', (4, 4), color) for color in ('red', 'blue')]
    path = saved(tmp_path, frames[0], '.gif', save_all=True, append_images=frames[1:])
    assert read_image(path)[0, 0].tolist() == [255, 0, 0]


def test_unreadable_files_are_named(tmp_path):
    with refused(path=tmp_path / 'nowhere.png', match='does not exist; give an image file'):
        read_image(tmp_path / 'nowhere.png')
    (tmp_path / 'text.jpg').write_text('not an image')
    with refused(path=tmp_path / 'text.jpg', match='text.jpg cannot be read as an image'):
        read_image(tmp_path / 'text.jpg')
    (tmp_path / 'empty.png').write_bytes(b'')
    with refused(path=tmp_path / 'empty.png'):
        read_image(tmp_path / 'empty.png')
    with refused(path=tmp_path):
        read_image(tmp_path)


@pytest.mark.parametrize('kind', ['jpeg', 'png', 'tiff', 'webp', 'gif', 'bmp'])
def test_cut_and_scrambled_files_are_named(tmp_path, kind):
    rng, file = np.random.default_rng(0), io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8)).save(file, format=kind)
    whole = np.frombuffer(file.getvalue(), np.uint8)
    path = tmp_path / f'bad.{kind}'
    path.write_bytes(whole[: len(whole) // 2].tobytes())
    with refused(path=path):
        read_image(path)
    for _ in range(30):  # some are read with wrong pixels; none may end otherwise
        bad = whole.copy()
        bad[rng.integers(0, len(bad), 20)] = rng.integers(0, 256, 20)
        path.write_bytes(bad.tobytes())
        try:
            assert read_image(path).ndim == 3
        except InputError as error:
            assert error.path == str(path)


def test_floating_point_pixels_are_refused(tmp_path):
    path = saved(tmp_path, Image.fromarray(np.zeros((2, 2), np.float32)), '.tif')
    with refused(path=path, match='floating-point pixels, whose white is unknown'):
        read_image(path)


def test_huge_images_are_refused(tmp_path, monkeypatch):
    path = saved(tmp_path, Image.fromarray(GRADIENT))
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 20)  # of 24 pixels Pillow warns
    assert read_image(path).shape == (4, 6, 3)
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 10)
    with refused(path=path, match='more than 20 pixels'):
        read_image(path)
