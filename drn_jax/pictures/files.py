"""Files that appear whole or not at all."""

import contextlib
import os
import pathlib

import numpy as np
from PIL import Image


@contextlib.contextmanager
def replacing(path, mode='w', **options):
    """Opens a file that takes the place of `path` when the block ends without an error.

    Args:
        path: the file, whose directory exists.
        mode: 'w' for text in UTF-8, 'wb' for bytes.
        **options: further arguments of `open`.

    Yields:
        The open file, a temporary one in the same directory; it is deleted after an error.

    Example:
        >>> import tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), 'a.txt')
        >>> with replacing(path) as file:
        ...     _ = file.write('whole')
        >>> path.read_text(), len(list(path.parent.iterdir()))
        ('whole', 1)
    """
    path = pathlib.Path(path)
    part = path.with_name(f'.{path.name}.{os.getpid()}.part')
    try:
        with open(part, mode, encoding=None if 'b' in mode else 'utf-8', **options) as file:
            yield file
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_png(path, pixels):
    """Writes a picture as PNG, in place of an earlier one.

    Args:
        path: the file, whose directory exists.
        pixels: [H, W, 3] or [H, W], uint8.
    """
    with replacing(path, 'wb') as file:
        Image.fromarray(np.asarray(pixels)).save(file, format='PNG')
