"""Image files: which there are, and label maps and sizes read from them, without TensorFlow."""

import io
import os

import numpy as np
from etils import epath
from PIL import Image

from drn_jax.errors import InputError

# How files of images end: those that data sets are made of, and the others that Pillow reads.
DECODED_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp')
SUFFIXES = (*DECODED_SUFFIXES, '.gif', '.webp', '.tif', '.tiff', '.ppm', '.pgm')
_DECODED_FORMATS = ('JPEG', 'PNG', 'BMP', 'GIF')  # by TensorFlow


def read_label_map(path: str | os.PathLike[str]) -> np.ndarray:
    """Reads the file of a label map.

    Args:
        path: local or gs://.

    Returns:
        The values as they are, of a file with a palette the indices, uint8 [H, W].

    Raises:
        InputError: it is no image, or not one of 8 bits in one channel.
    """
    try:
        with Image.open(io.BytesIO(epath.Path(path).read_bytes())) as image:
            if image.mode in ('L', 'P', '1'):
                return np.asarray(image).astype(np.uint8)
            mode = image.mode
    except Exception as error:  # Pillow's many, and those of file systems
        raise InputError(
            f'{path} cannot be read as an image; repair or replace it', path=path
        ) from error
    kind = '16 bits or more' if mode[0] in 'IF' else f'{len(mode)} channels ({mode})'
    raise InputError(
        f'{path} has {kind}; a label map has one channel of 8 bits, which holds a '
        'class in every pixel',
        path=path,
    )


def read_image_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Reads height and width of an image, from the head of its file.

    Args:
        path: local or gs://.

    Raises:
        InputError: it is no image that TensorFlow decodes.
    """
    try:
        with epath.Path(path).open('rb') as file, Image.open(file) as image:
            if image.format in _DECODED_FORMATS:
                return image.height, image.width
            kind = image.format
    except Exception as error:  # Pillow's many, and those of file systems
        raise InputError(
            f'{path} cannot be read as an image; repair or replace it', path=path
        ) from error
    raise InputError(
        f'{path} is a {kind} file; allowed are {", ".join(_DECODED_FORMATS)}', path=path
    )
