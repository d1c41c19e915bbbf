"""What the pixels of image files and label maps are, without TensorFlow."""

import contextlib
import os
import re
import warnings
from typing import BinaryIO

import numpy as np
from etils import epath
from PIL import Image, UnidentifiedImageError

from drn_jax import buckets
from drn_jax.errors import InputError, one_line

_ALPHA_MODES = ('RGBA', 'RGBa', 'LA', 'La', 'PA')
_ORIENTATION = 0x0112  # tag of EXIF and TIFF
# What turns the stored pixels upright, by the orientation; from 5 on the sides change places.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Values of a label map are exact in these; the others change them, or have several channels.
_LABEL_FORMATS = ('PNG', 'BMP', 'GIF', 'TIFF', 'PPM')

# Broken metadata is none of the user's concern where the pixels can be read, nor is the size of an
# image before Pillow refuses it. Not for each file, because that is not safe in threads.
warnings.filterwarnings('ignore', module=r'PIL\.')


def read_image(file: str | os.PathLike[str] | BinaryIO) -> np.ndarray:
    """Reads an image file of any kind that Pillow knows as a viewer shows it: upright, RGB.

    It is turned as the orientation in its EXIF data, or TIFF tag, says. Transparent parts are laid
    over white. Gray of 16 bits is divided by 257, so 65535 becomes 255. CMYK becomes
    (255 - ink) * (255 - black) / 255, rounded down; in JPEG files without Adobe's marker values are
    ink, as the standard has it, and else paper. Palettes and other color spaces are converted
    by Pillow; color profiles are ignored. Of several frames the first is read. This is the rule for
    all of the package; `decoding.decode_image` is its fast form.

    Args:
        file: its path, local or gs://, or an open file.

    Returns:
        [H, W, 3], uint8.

    Raises:
        InputError: the file cannot be read, holds floating-point pixels, or has more pixels than
            two times `PIL.Image.MAX_IMAGE_PIXELS`; the message names the file.
        buckets.StorageError: Cloud Storage refuses or does not answer, which is no damage.

    Example:
        >>> import io
        >>> file = io.BytesIO()
        >>> Image.new('LA', (3, 2), (0, 0)).save(file, format='PNG')  # black, but transparent
        >>> pixels = read_image(file)
        >>> pixels.shape, pixels.min().item()
        ((2, 3, 3), 255)
    """
    with _opened(file) as image:
        image.load()
        # Pillow takes CMYK in JPEG for inverted, as Adobe writes it, also where the marker says
        # nothing of it; TensorFlow, whose way is the fast one, then does not.
        inverted = image.format in ('JPEG', 'MPO') and 'adobe' not in image.info
        return _rgb(_turned(image, _orientation(image)), file, inverted)


def read_size(file: str | os.PathLike[str] | BinaryIO) -> tuple[int, int]:
    """Reads height and width of an image as `read_image` gives it, from the head of its file.

    Args, Raises: see `read_image`.
    """
    with _opened(file) as image:
        return _layout(image)[0]


def has_colors(file: str | os.PathLike[str] | BinaryIO) -> bool:
    """Returns whether an image has several channels, from the head of its file.

    Args, Raises: see `read_image`.
    """
    with _opened(file) as image:
        return len(image.getbands()) >= 3


def read_palette(file: str | os.PathLike[str] | BinaryIO) -> np.ndarray | None:
    """Reads the colors of an image with a palette, from the head of its file; None without one.

    Args, Raises: see `read_image`.

    Returns:
        uint8 [256, 3], black where the palette is shorter.
    """
    with _opened(file) as image:
        if image.mode != 'P':
            return None
        colors = np.array(image.getpalette() or (), np.uint8).reshape(-1, 3)
        return np.pad(colors, [(0, 256 - len(colors)), (0, 0)])


def read_label_map(
    file: str | os.PathLike[str] | BinaryIO, image: str | os.PathLike[str] | None = None
) -> np.ndarray:
    """Reads the file of a label map: the values as they are stored, of a palette the indices.

    It is turned as its own orientation says. A map without one that has the size of an image before
    that is turned upright is turned with it.

    Args:
        file: its path, local or gs://, or an open file.
        image: the path of the image that it belongs to; None where no image is turned.

    Returns:
        uint8 [H, W].

    Raises:
        InputError: it is no image, not one of 8 bits in one channel, or of a format that changes
            values.

    Example:
        >>> import io
        >>> file = io.BytesIO()
        >>> Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8)).save(file, format='PNG', bits=2)
        >>> read_label_map(file).tolist()
        [[0, 1], [2, 1]]
    """
    with _opened(file) as label:
        if label.format not in _LABEL_FORMATS:
            kind = f'is a {label.format} file, which does not keep values'
        elif label.mode not in ('L', 'P', '1'):
            wide = label.mode[0] in 'IF'
            channels = f'{len(label.mode)} channels ({label.mode})'
            kind = f'has {"16 bits or more" if wide else channels}'
        else:
            values = _stored(label)
            return values if image is None else _turned_with(values, image)
    raise InputError(
        f'{file} {kind}; a label map has one channel of 8 bits, which holds a class in every '
        'pixel: save it as PNG',
        path=file,
    )


def _stored(label):
    """Returns the values of an open label map as the file has them, upright, uint8 [H, W].

    Pillow spreads gray values of less than 8 bits over 0 to 255, and inverts where 0 is white.
    """
    decoder, _, _, arguments = label.tile[0]
    raw = str(arguments[0] if isinstance(arguments, tuple) else arguments)
    bits = re.search('[24]', raw.partition(';')[2])
    label.load()
    values = np.asarray(_turned(label, _orientation(label))).astype(np.uint8)
    if label.mode == 'P':
        return values
    if decoder.startswith('ppm'):
        largest = arguments[-1]
    else:
        largest = 1 if label.mode == '1' else 2 ** int(bits[0] if bits else 8) - 1
    if label.mode == 'L' and largest < 255:
        values = np.round(values * (largest / 255)).astype(np.uint8)
    return largest - values if ';' in raw and 'I' in raw else values


def _turned_with(values, image):
    """Turns a label map with an image that is stored with the same sides and shown with others."""
    with _opened(image) as opened:
        size, orientation = _layout(opened)
    if values.shape == size or values.shape != size[::-1] or orientation < 5:
        return values
    return np.asarray(_turned(Image.fromarray(values), orientation))


@contextlib.contextmanager
def _opened(file):
    """Opens an image file; what fails in the block becomes an InputError that names it."""
    try:
        with contextlib.ExitStack() as stack:
            if isinstance(file, str | os.PathLike):
                stream = stack.enter_context(epath.Path(file).open('rb'))
            else:
                stream = file
            yield stack.enter_context(Image.open(stream))
    except InputError:
        raise
    except Image.DecompressionBombError as error:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise InputError(
            f'{file} has more than {limit:,} pixels; make it smaller first', path=file
        ) from error
    except FileNotFoundError as error:
        raise InputError(f'{file} does not exist; give an image file', path=file) from error
    # Pillow's decoders raise almost anything on damaged files, down to struct.error.
    except Exception as error:
        said = buckets.problem(error)
        if said and type(error).__name__ != 'NotFoundError':
            raise buckets.StorageError(said, path=file) from error
        unknown = isinstance(error, UnidentifiedImageError)  # whose text is that
        reason = '' if unknown else f' ({one_line(error, short=True)})'
        raise InputError(
            f'{file} cannot be read as an image{reason}; repair or replace it', path=file
        ) from error


def _layout(image):
    """Returns height and width of an opened image, upright, and the orientation as it is stored."""
    if image.format == 'TIFF':  # which Pillow turns itself when it is loaded
        orientation = image.tag_v2.get(_ORIENTATION, 1)
        image.load()
        return image.size[::-1], orientation
    if image.format == 'PNG' and 'exif' not in image.info:  # it may stand behind the pixels
        place = image.fp.tell()
        behind = b'eXIf' in image.fp.read()
        image.fp.seek(place)
        if behind:
            image.load()
    orientation = _orientation(image)
    return image.size if orientation >= 5 else image.size[::-1], orientation


def _orientation(image):
    """Returns the orientation in an image's EXIF data, 1 where there is none or it is damaged.

    Pillow would look for one in XMP data and in comments too, which viewers do not.
    """
    exif = Image.Exif()
    try:
        exif.load(image.info.get('exif', b''))
        orientation = exif.get(_ORIENTATION, 1)
    except Exception:  # as many kinds as decoders raise
        return 1
    return orientation if orientation in _TURNS else 1


def _turned(image, orientation):
    return image.transpose(_TURNS[orientation]) if orientation in _TURNS else image


def _rgb(image, file, inverted):
    """Returns the pixels of a loaded image as uint8 RGB; `inverted`: of CMYK, ink is paper."""
    if image.mode == 'F':
        raise InputError(
            f'{file} holds floating-point pixels, whose white is unknown; save it with 8 or 16 '
            'bits',
            path=file,
        )
    if image.mode.startswith('I'):  # 16 bits; older versions of Pillow hold them as 32
        gray = np.asarray(image).astype(np.int64).clip(0, 65535)
        return np.repeat(np.round(gray / 257).astype(np.uint8)[..., None], 3, axis=2)
    if image.mode == 'CMYK':  # Pillow would round to the nearest, where TensorFlow rounds down
        ink = np.asarray(image).astype(np.uint16)
        paper = ink if inverted else 255 - ink
        return (paper[..., :3] * paper[..., 3:] // 255).astype(np.uint8)
    if image.mode in _ALPHA_MODES or 'transparency' in image.info:
        image = image.convert('RGBA')
        white = Image.new('RGBA', image.size, 'white')
        image = Image.alpha_composite(white, image)
    return np.array(image if image.mode == 'RGB' else image.convert('RGB'))
