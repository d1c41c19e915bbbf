"""Types of flags: what stands behind `=` becomes a value, or is refused in one sentence."""

import argparse


def positive(text: str) -> int:
    """Reads a whole number of at least 1.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'{text!r} is given, but it is a whole number, at least 1')
    return int(text)


def fraction(text: str) -> float:
    """Reads a number that is at least 0 and below 1.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < 1:
        raise argparse.ArgumentTypeError(
            f'{text!r} is given, but it is a number, at least 0 and below 1'
        )
    return number


def height_and_width(text: str) -> tuple[int, int]:
    """Reads a size in pixels.

    Raises:
        argparse.ArgumentTypeError: it is none.

    Example:
        >>> height_and_width('512x1024')
        (512, 1024)
    """
    height, separator, width = text.partition('x')
    if not separator or 'x' in width:
        raise argparse.ArgumentTypeError(
            f'{text!r} is given, but a size is HEIGHTxWIDTH, such as 512x1024'
        )
    return positive(height), positive(width)


def side_or_size(text: str) -> tuple[int, int]:
    """Reads the side of a square, or height and width, in pixels.

    Raises:
        argparse.ArgumentTypeError: it is neither.

    Example:
        >>> side_or_size('224'), side_or_size('512x1024')
        ((224, 224), (512, 1024))
    """
    return height_and_width(text) if 'x' in text else (positive(text),) * 2
