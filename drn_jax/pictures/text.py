"""Text in pictures, in the font that Pillow brings along."""

import functools

from PIL import ImageFont


@functools.cache
def font(size_px: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Returns the font at a size."""
    return ImageFont.load_default(size_px)


def width(text: str, size_px: float) -> int:
    """Returns how many pixels a line of text takes.

    Example:
        >>> width('mm', 20) > width('i', 20) > 0
        True
    """
    return int(font(size_px).getlength(text) + 1)


def shorten(text: str, width_px: float, size_px: float) -> str:
    """Cuts a line of text to a width, with three dots for what is left out.

    Example:
        >>> shorten('drn_c_26', 500, 14)
        'drn_c_26'
        >>> shorten('a rather long name', 60, 14).endswith('...')
        True
    """
    if width(text, size_px) <= width_px:
        return text
    while text and width(text + '...', size_px) > width_px:
        text = text[:-1]
    return text.rstrip() + '...' if text else ''
