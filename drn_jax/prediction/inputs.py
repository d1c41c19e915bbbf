"""The photographs that a command is given, and the directory that it writes."""

import contextlib
import os
import pathlib
from typing import NamedTuple

from drn_jax.errors import InputError, check_local

SUFFIXES = ('.jpg', '.jpeg', '.png', '.webp', '.tif', '.tiff', '.bmp', '.gif', '.ppm', '.pgm')


class Photograph(NamedTuple):
    """A file to look at.

    Attributes:
        name: what its results are called: the path below the folder that was given, without the
            ending, with '/' between folders.
        path: the file.
    """

    name: str
    path: pathlib.Path


def find_photographs(given, output=None):
    """Finds image files: those given, and those in folders and all folders below, sorted.

    In folders, files count whose ending is in `SUFFIXES`, in capitals or not; what begins with a
    dot does not.

    Args:
        given: paths of files and folders.
        output: a directory that is left out, because results of an earlier call may lie in it.

    Returns:
        A list of `Photograph`, in the order given.

    Raises:
        InputError: a path does not exist, a folder holds no images, or two have the same name.

    Example:
        >>> import tempfile
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> (folder / 'b').mkdir()
        >>> for name in ('b/c.PNG', 'a.jpg', 'notes.txt'):
        ...     (folder / name).touch()
        >>> [photograph.name for photograph in find_photographs([folder])]
        ['a', 'b/c']
    """
    found = {}
    for path in map(pathlib.Path, given):
        if not path.exists():
            raise InputError(f'{path} does not exist; give image files or folders of them')
        for photograph in (
            _in_folder(path, output) if path.is_dir() else [Photograph(path.stem, path)]
        ):
            other = found.setdefault(photograph.name, photograph)
            if other is not photograph:
                raise InputError(
                    f'the results of {other.path} and {photograph.path} would both be called '
                    f'{photograph.name!r}; rename one, or give them in two calls'
                )
    return list(found.values())


def _in_folder(folder, output):
    """Returns the photographs in a folder and below."""
    left_out = None if output is None else pathlib.Path(output).resolve()
    paths = []
    for directory, folders, files in os.walk(folder):
        folders[:] = [
            name
            for name in folders
            if not name.startswith('.') and (pathlib.Path(directory) / name).resolve() != left_out
        ]
        paths += [
            pathlib.Path(directory) / name
            for name in files
            if not name.startswith('.') and name.lower().endswith(SUFFIXES)
        ]
    if not paths:
        raise InputError(f'{folder} holds no images; their names end in {", ".join(SUFFIXES)}')
    return [
        Photograph(path.relative_to(folder).with_suffix('').as_posix(), path)
        for path in sorted(paths)
    ]


def check_output(output, overwrite):
    """Refuses a directory that holds something, before anything is computed.

    Args:
        output: the directory.
        overwrite: whether files in it may be replaced.

    Raises:
        InputError: it holds something and `overwrite` is False, it is a file, or it is not local.
    """
    check_local(output)
    output = pathlib.Path(output)
    try:
        exists, is_file = output.exists(), output.exists() and not output.is_dir()
        filled = exists and not is_file and any(output.iterdir())
    except OSError as error:
        raise InputError(
            f'--output={output} cannot be looked into ({error.strerror}); name another directory'
        ) from error
    if is_file:
        raise InputError(f'--output={output} is a file; name a directory')
    if filled and not overwrite:
        raise InputError(
            f'--output={output} is not empty; name another directory, or add '
            '--overwrite to replace files of the same names in it'
        )


def make_output(output):
    """Makes a directory, and those above it.

    Returns:
        Its `pathlib.Path`.

    Raises:
        InputError: it cannot be made or written.
    """
    output = pathlib.Path(output)
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f'--output={output} cannot be made ({error.strerror}); name another directory'
        ) from error
    if not os.access(output, os.W_OK):
        raise InputError(f'--output={output} cannot be written; name another directory')
    return output


@contextlib.contextmanager
def writing(output):
    """Turns the errors of a full disk and the like into one sentence.

    Args:
        output: the directory that is written.

    Raises:
        InputError: writing failed.
    """
    try:
        yield
    except OSError as error:
        raise InputError(
            f'writing to --output={output} failed ({error.strerror or error}); make '
            'room, or name another directory'
        ) from error
