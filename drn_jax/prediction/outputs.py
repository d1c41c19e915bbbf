"""The directory that a command writes: refused early, made, and filled with pictures."""

import contextlib
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from drn_jax import paths
from drn_jax.errors import InputError
from drn_jax.pictures import page, png_files
from drn_jax.prediction.inputs import Example
from drn_jax.reporting import progress


def check_output(output: str, overwrite: bool) -> pathlib.Path:
    """Refuses a directory that holds something, before anything is computed.

    Args:
        output: the directory, as it was typed.
        overwrite: whether files in it may be replaced.

    Returns:
        Its path, which is made later, by `make_output`.

    Raises:
        InputError: it holds something and `overwrite` is False, it is a file, or it is not local.
    """
    path = paths.local(output, '--output')
    try:
        is_file = path.exists() and not path.is_dir()
        filled = path.is_dir() and any(path.iterdir())
    except OSError as error:
        raise InputError(
            f'--output={output} cannot be looked into ({error.strerror}); name another directory',
            field='--output',
        ) from error
    if is_file:
        raise InputError(f'--output={output} is a file; name a directory', field='--output')
    if filled and not overwrite:
        raise InputError(
            f'--output={output} is not empty; name another directory, or add '
            '--overwrite to replace files of the same names in it',
            field='--output',
        )
    return path


def make_output(output: pathlib.Path) -> None:
    """Makes a directory, and those above it.

    Raises:
        InputError: it cannot be made or written.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f'--output={output} cannot be made ({error.strerror}); name another directory',
            field='--output',
        ) from error
    if not os.access(output, os.W_OK):
        raise InputError(
            f'--output={output} cannot be written; name another directory', field='--output'
        )


@contextlib.contextmanager
def writing(output: pathlib.Path) -> Iterator[None]:
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
            'room, or name another directory',
            field='--output',
        ) from error


def tell_unreadable(examples: int, unreadable: dict[str, str]) -> None:
    """Says how many files could not be read, where there are some.

    Args:
        examples: photographs that were read.
        unreadable: {file: why it could not be read}.

    Raises:
        InputError: nothing could be read.
    """
    if unreadable and not examples:
        raise InputError(
            f'no photograph could be read, for example: {next(iter(unreadable.values()))}',
            path=next(iter(unreadable)),
        )
    if unreadable:
        progress.say(
            f'{len(unreadable)} of {examples + len(unreadable)} files could not be read; '
            'the page and report.json name them'
        )


def save(output: pathlib.Path, name: str, kind: str, pixels: np.ndarray) -> str:
    """Writes a picture as `output/kind/name.png`; returns the path below output, with '/'."""
    path = output / kind / f'{name}.png'
    path.parent.mkdir(parents=True, exist_ok=True)
    png_files.write_png(path, pixels)
    return path.relative_to(output).as_posix()


def picture(
    record: dict[str, Any], output: pathlib.Path, kind: str, caption: str, photograph: bool = True
) -> page.Picture:
    """Reads a picture back for the page, so that pictures need not stay in memory till then.

    Args:
        record: a line of predictions.jsonl.
        output: the directory.
        kind: key in the record's `files`.
        caption, photograph: as in `page.Picture`.
    """
    with Image.open(output / record['files'][kind]) as image:
        return page.Picture(caption, np.array(image), photograph)


def record(example: Example) -> dict[str, Any]:
    """Returns the fields that every line of predictions.jsonl begins with."""
    return {
        'name': example.source.name,
        'file': str(example.source.path),
        'size': list(example.pixels.shape[:2]),
    }


def title(record: dict[str, Any]) -> str:
    """Returns the heading of a photograph on the page."""
    height, width = record['size']
    return f'{record["name"]} ({width} x {height})'


def percent(fraction: float) -> str:
    """Writes a fraction in percent.

    Example:
        >>> percent(.98214)
        '98.2 %'
    """
    return f'{100 * fraction:.1f} %'
