"""One picture stored in many ways."""

import io

import numpy as np
from PIL import Image

ORIENTATIONS = {  # how pixels are stored that this orientation turns upright
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: np.rot90,
    7: lambda pixels: np.rot90(pixels.swapaxes(0, 1), 2),
    8: lambda pixels: np.rot90(pixels, -1),
}


def picture(number, height=24, width=40):
    """Draws blocks of 8 x 8 pixels in nine colors, the last one white; uint8 [height, width, 3].

    JPEG keeps such blocks within a gray level, and turns them without a change.
    """
    random = np.random.default_rng(number)
    colors = np.append(random.integers(0, 250, (8, 3)), [[255] * 3], 0).astype(np.uint8)
    blocks = random.integers(0, 9, (height // 8, width // 8))
    blocks[0, 0] = 8  # white
    return colors[blocks.repeat(8, 0).repeat(8, 1)]


def encode(pixels, kind, *, orientation=None, **options):
    """Stores an array, or an image of Pillow's, as bytes."""
    if orientation:
        pixels = ORIENTATIONS[orientation](pixels)
        options['exif'] = Image.Exif()
        options['exif'][0x0112] = orientation
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def transparent(pixels):
    """Returns pixels whose white is transparent black, uint8 [H, W, 4]."""
    opaque = (pixels < 255).any(-1, keepdims=True)
    return np.concatenate([pixels * opaque, np.uint8(255) * opaque], -1)


def palette(pixels, *, lost=False):
    """Returns an image with a palette, in which `lost` makes white another color."""
    image = Image.fromarray(pixels).quantize(9)
    white = image.getpixel((0, 0))
    colors = image.getpalette()
    assert colors[3 * white : 3 * white + 3] == [255] * 3
    if lost:
        colors[3 * white : 3 * white + 3] = [1, 2, 3]
        image.putpalette(colors)
        image.info['transparency'] = white
    return image


# By the end of the file's name, all without loss but for the last ones.
ENCODINGS = {
    '.png': lambda pixels: encode(pixels, 'PNG'),
    '_turned.png': lambda pixels: encode(pixels, 'PNG', orientation=6),
    '_alpha.PNG': lambda pixels: encode(transparent(pixels), 'PNG'),
    '_palette.png': lambda pixels: encode(palette(pixels), 'PNG'),
    '_key.png': lambda pixels: encode(
        palette(pixels, lost=True), 'PNG', transparency=palette(pixels).getpixel((0, 0))
    ),
    '.gif': lambda pixels: encode(palette(pixels), 'GIF'),
    '_key.gif': lambda pixels: encode(
        palette(pixels, lost=True), 'GIF', transparency=palette(pixels).getpixel((0, 0))
    ),
    '.bmp': lambda pixels: encode(pixels, 'BMP'),
    '_palette.BMP': lambda pixels: encode(palette(pixels), 'BMP'),
    '.webp': lambda pixels: encode(pixels, 'WEBP', lossless=True),
    '_alpha.webp': lambda pixels: encode(transparent(pixels), 'WEBP', lossless=True),
    '.ppm': lambda pixels: encode(pixels, 'PPM'),
    '.tif': lambda pixels: encode(pixels, 'TIFF'),
    '_turned.tiff': lambda pixels: encode(pixels, 'TIFF', orientation=8),
    '_cmyk.tif': lambda pixels: encode(Image.fromarray(pixels).convert('CMYK'), 'TIFF'),
    **{
        f'_{orientation}.jpg': lambda pixels, orientation=orientation: encode(
            pixels, 'JPEG', orientation=orientation, quality=100, subsampling=0
        )
        for orientation in (None, *ORIENTATIONS)
    },
}
