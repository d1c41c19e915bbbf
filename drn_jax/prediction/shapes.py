"""Sizes to which photographs are resized before a network sees them."""

import numpy as np
from PIL import Image

LONGEST = 8  # times the shorter side: longer strips would fill the memory, and are squeezed


def classifier_size(height, width, data):
    """Returns the size at which a classifier sees a whole photograph.

    Where the configuration crops (ImageNet), the shorter side becomes `data.resize_px`, as in
    evaluation, and the longer side resize_px * ratio, the ratio being that of the sides, rounded
    to eighths and at most 8. So there are few shapes to compile for, and a photograph is stretched
    by less than 1/16. Where it does not crop, the photograph becomes a square of `data.image_size`.

    Args:
        height, width: of the photograph in pixels.
        data: `config.data`.

    Returns:
        Height and width in pixels.

    Example:
        >>> from drn_jax import recipes
        >>> data = recipes.classification().data
        >>> classifier_size(480, 640, data), classifier_size(500, 375, data)
        ((256, 352), (352, 256))
    """
    if not data.crop:
        return data.image_size, data.image_size
    eighths = min(round(8 * max(height, width) / min(height, width)), 8 * LONGEST)
    short, long = data.resize_px, max(data.resize_px * eighths // 8, 1)
    return (short, long) if height <= width else (long, short)


def short_side_size(height, width, short_px):
    """Returns the size of a photograph whose shorter side gets a length and that keeps its ratio.

    Example:
        >>> short_side_size(427, 640, 256)
        (256, 384)
    """
    scale = short_px / min(height, width)
    return max(round(height * scale), 1), max(round(width * scale), 1)


def resize(photograph, size):
    """Resizes a photograph, bilinearly and averaging where it shrinks, as evaluation does.

    Args:
        photograph: [H, W, 3], uint8.
        size: height and width in pixels.

    Returns:
        [height, width, 3], uint8; the photograph itself where it has that size.
    """
    if photograph.shape[:2] == tuple(size):
        return photograph
    return np.asarray(Image.fromarray(photograph).resize(size[::-1], Image.Resampling.BILINEAR))
