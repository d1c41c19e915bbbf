"""Files that appear whole or not at all, here and in Cloud Storage."""

import contextlib
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

from etils import epath

PARTIAL = '.partial'  # what the name of a file ends in that is not complete


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Any]:
    """Replaces a file by what is written beside it, when the block ends without an error.

    Args:
        path: the file, local or gs://; local folders above it are made.

    Yields:
        Where to write: a path of the same folder, `pathlib.Path` or `epath.Path`. Nothing is left
        there after an error.

    Raises:
        OSError: something cannot be made or replaced.

    Example:
        >>> import tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), 'new', 'a.txt')
        >>> with replacing(path) as partial:
        ...     _ = partial.write_text('whole')
        >>> path.read_text(), len(list(path.parent.iterdir()))
        ('whole', 1)
    """
    cloud = '://' in os.fspath(path)  # where folders are but parts of names
    target = epath.Path(path) if cloud else pathlib.Path(path)
    partial = target.with_name(target.name + PARTIAL)
    if not cloud:
        target.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield partial
        partial.replace(target)
    except BaseException:
        with contextlib.suppress(Exception):  # the first error tells more
            partial.unlink(missing_ok=True)
        raise


def read_text(path: epath.Path) -> str:
    """Reads a text that a user wrote, without the byte-order mark that editors put before it.

    Args:
        path: the file, local or gs://, in UTF-8.

    Raises:
        OSError: it cannot be read.
        UnicodeDecodeError: it is no UTF-8.

    Example:
        >>> import tempfile
        >>> path = epath.Path(tempfile.mkdtemp()) / 'a.txt'
        >>> _ = path.write_text('\ufeffone')
        >>> read_text(path)
        'one'
    """
    return path.read_bytes().decode('utf-8-sig')


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Writes a JSON file so that there is never half of one.

    Args:
        path: the file, local or gs://; local folders above it are made.
        content: what `json.dumps` takes.

    Raises:
        OSError: it cannot be written.

    Example:
        >>> import tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), 'a.json')
        >>> write_json(path, {'steps': 5})
        >>> path.read_text()
        '{\\n  "steps": 5\\n}\\n'
    """
    with replacing(path) as partial:
        partial.write_text(json.dumps(content, indent=2) + '\n')
