"""Reading of photographs of any kind."""

import os
import warnings
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps

from drn_jax.errors import InputError

ALPHA_MODES = ('RGBA', 'RGBa', 'LA', 'La', 'PA')


def read_photograph(path: str | os.PathLike[str] | BinaryIO) -> np.ndarray:
    """Reads an image file of any kind that Pillow knows as upright RGB pixels.

    It is turned as its EXIF tag says. Transparent parts are laid over white. Gray of 16 bits
    is divided by 257, so 65535 becomes 255. Palettes, CMYK and other color spaces are converted
    by Pillow; color profiles are ignored. Of several frames the first is read.

    Args:
        path: the file.

    Returns:
        [H, W, 3], uint8.

    Raises:
        InputError: the file cannot be read, holds floating-point pixels, or has more pixels than
            `PIL.Image.MAX_IMAGE_PIXELS`; the message names the file.

    Example:
        >>> import io
        >>> file = io.BytesIO()
        >>> Image.new('LA', (3, 2), (0, 0)).save(file, format='PNG')  # black, but transparent
        >>> pixels = read_photograph(file)
        >>> pixels.shape, pixels.min().item()
        ((2, 3, 3), 255)
    """
    with warnings.catch_warnings():
        # Pillow warns of a large image and refuses one twice as large; both would exhaust memory.
        warnings.simplefilter('error', Image.DecompressionBombWarning)
        # Broken metadata is none of the user's concern where the pixels can be read.
        warnings.filterwarnings('ignore', category=UserWarning, module=r'PIL\.')
        try:
            with Image.open(path) as image:
                image.load()
                return _rgb(_upright(image), path)
        except InputError:
            raise
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            raise InputError(
                f'{path} has more than {Image.MAX_IMAGE_PIXELS:,} pixels; make it smaller first',
                path=path,
            ) from error
        except FileNotFoundError as error:
            raise InputError(f'{path} does not exist; give an image file', path=path) from error
        # Pillow's decoders raise almost anything on damaged files, down to struct.error.
        except Exception as error:
            raise InputError(
                f'{path} cannot be read as an image ({error}); give a whole file '
                'such as JPEG, PNG, TIFF or WebP',
                path=path,
            ) from error


def _upright(image):
    """Turns an image as its EXIF tag says, or leaves it where the tag is damaged."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # as many kinds as decoders raise; the pixels have been read by now
        return image


def _rgb(image, path):
    """Returns the pixels of an open image as uint8 RGB."""
    if image.mode == 'F':
        raise InputError(
            f'{path} holds floating-point pixels, whose white is unknown; save it with 8 or '
            '16 bits',
            path=path,
        )
    if image.mode.startswith('I'):  # 16 bits; older versions of Pillow hold them as 32
        gray = np.asarray(image).astype(np.int64).clip(0, 65535)
        return np.repeat(np.round(gray / 257).astype(np.uint8)[..., None], 3, axis=2)
    if image.mode in ALPHA_MODES or 'transparency' in image.info:
        image = image.convert('RGBA')
        white = Image.new('RGBA', image.size, 'white')
        image = Image.alpha_composite(white, image)
    return np.array(image.convert('RGB'))
