"""Small archives with the layout of Cityscapes', for the real TFDS builder."""

import functools
import io
import pathlib
import zipfile

import numpy as np
from PIL import Image

IMAGES, LABELS = 'leftImg8bit_trainvaltest.zip', 'gtFine_trainvaltest.zip'
HEIGHT, WIDTH = 1024, 2048  # the builder knows no other size
IDS = (7, 8, 11, 21, 23, 26)  # label ids of the scenes, from top to bottom, 170 rows each
SPLITS = {'train': 'aachen', 'val': 'munster', 'test': 'berlin'}


def scene(number):
    """Returns the flat colors of an image and its label ids: uint8 [H, W, 3] and uint8 [H, W]."""
    band = np.minimum(np.arange(HEIGHT) // 170, len(IDS) - 1)
    label = np.repeat(np.array(IDS, np.uint8)[band][:, None], WIDTH, 1)
    label[:, :64] = 0  # unlabeled
    image = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    image[:] = np.stack([40 * band, 255 - 40 * band, 0 * band + 10 * number], -1)[:, None]
    return image, label


def write_cityscapes_zips(directory, train=2, validation=2, test=1):
    """Writes leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip into a directory.

    Image i of a split is leftImg8bit/SPLIT/CITY/CITY_00000i_000019_leftImg8bit.png, and shows
    `scene(i)`; labels of `test` are all 0, as in the real archives.
    """
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    with (
        zipfile.ZipFile(directory / IMAGES, 'w') as images,
        zipfile.ZipFile(directory / LABELS, 'w') as labels,
    ):
        for (split, city), count in zip(SPLITS.items(), (train, validation, test), strict=True):
            for number in range(count):
                image, label = _pngs(number)
                stem = f'{split}/{city}/{city}_{number:06d}_000019'
                images.writestr(f'leftImg8bit/{stem}_leftImg8bit.png', image)
                labels.writestr(
                    f'gtFine/{stem}_gtFine_labelIds.png', _empty() if split == 'test' else label
                )


@functools.cache
def _pngs(number):
    return tuple(png(array) for array in scene(number))


@functools.cache
def _empty():
    return png(np.zeros((HEIGHT, WIDTH), np.uint8))


def png(array, mode=None):
    """Encodes an image, or a label map."""
    buffer = io.BytesIO()
    Image.fromarray(array, mode).save(buffer, 'PNG', compress_level=1)
    return buffer.getvalue()
