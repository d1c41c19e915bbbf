"""Files that appear whole or not at all, here and in Cloud Storage."""

import contextlib
import json
import os
import pathlib
import tempfile
from collections.abc import Iterator
from typing import Any

from etils import epath

from drn_jax import buckets
from drn_jax.errors import InputError

PARTIAL = '.partial'  # what the name of a file ends in that is not complete


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Any]:
    """Replaces a file by what is written beside it, when the block ends without an error.

    Args:
        path: the file, local or gs://; local folders above it are made.

    Yields:
        Where to write, a local path. Nothing is left there after an error.

    Raises:
        OSError: something cannot be made or replaced.
        buckets.StorageError: Cloud Storage refuses or does not answer.

    Example:
        >>> import tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), 'new', 'a.txt')
        >>> with replacing(path) as partial:
        ...     _ = partial.write_text('whole')
        >>> path.read_text(), len(list(path.parent.iterdir()))
        ('whole', 1)
    """
    if buckets.is_cloud(path):
        with tempfile.TemporaryDirectory() as folder:
            yield pathlib.Path(folder, 'file')
            buckets.upload(path, pathlib.Path(folder, 'file'))
        return
    target = pathlib.Path(path)
    partial = target.with_name(target.name + PARTIAL)
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


def exists(path: str | os.PathLike[str]) -> bool:
    """Returns whether there is a file, local or gs://.

    Raises:
        buckets.StorageError: Cloud Storage refuses or does not answer.
    """
    return buckets.read(path) is not None if buckets.is_cloud(path) else os.path.exists(path)


def check_reachable(path: str | os.PathLike[str]) -> None:
    """Asks Cloud Storage for a directory there, as libraries try for minutes; it may be missing.

    Args:
        path: the directory; of a local one nothing is looked at.

    Raises:
        buckets.StorageError: the bucket is missing, refuses or does not answer.
    """
    if buckets.is_cloud(path):
        buckets.holds_something(path)


def make_directory(path: str | os.PathLike[str], flag: str) -> None:
    """Makes a directory with those above it; in Cloud Storage looks whether the bucket is there.

    Args:
        path: the directory, local or gs://.
        flag: what it was given with, for the error.

    Raises:
        InputError: it cannot be made, or the bucket refuses or does not answer.

    Example:
        >>> make_directory('/dev/null/a', '--output')
        Traceback (most recent call last):
        ...
        drn_jax.errors.InputError: /dev/null/a cannot be made (Not a directory); give another \
--output
    """
    check_reachable(path)
    if buckets.is_cloud(path):
        return
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise InputError(
            f'{os.fspath(path)} cannot be made ({error.strerror}); give another {flag}',
            field=flag,
            path=path,
        ) from error


def check_directory(path: str | os.PathLike[str], flag: str) -> None:
    """Refuses a directory that could not be made, and leaves none that was not there.

    Args, Raises: see `make_directory`.
    """
    missing: list[pathlib.Path] = []
    if not buckets.is_cloud(path):
        local = pathlib.Path(path)
        missing = [each for each in (local, *local.parents) if not os.path.lexists(each)]
    make_directory(path, flag)
    with contextlib.suppress(OSError):  # another process has put something there
        for each in missing:
            each.rmdir()


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Writes a JSON file so that there is never half of one.

    Args:
        path: the file, local or gs://; local folders above it are made.
        content: what `json.dumps` takes.

    Raises:
        OSError: it cannot be written.
        buckets.StorageError: Cloud Storage refuses or does not answer.

    Example:
        >>> import tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), 'a.json')
        >>> write_json(path, {'steps': 5})
        >>> path.read_text()
        '{\\n  "steps": 5\\n}\\n'
    """
    with replacing(path) as partial:
        partial.write_text(json.dumps(content, indent=2) + '\n')
