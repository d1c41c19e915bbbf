"""Pictures on their way to files and from there to the page."""

import pathlib

import numpy as np
from PIL import Image

from drn_jax.pictures import files, page


def save(output, name, kind, pixels):
    """Writes a picture as `output/kind/name.png`.

    Returns:
        The path below output, with '/' between folders.
    """
    path = pathlib.Path(output) / kind / f'{name}.png'
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_png(path, pixels)
    return path.relative_to(output).as_posix()


def picture(record, output, kind, caption, photograph=True):
    """Reads a picture back for the page, so that pictures need not stay in memory till then.

    Args:
        record: a line of predictions.jsonl.
        output: the directory.
        kind: key in the record's `files`.
        caption, photograph: as in `page.Picture`.
    """
    with Image.open(pathlib.Path(output) / record['files'][kind]) as image:
        return page.Picture(caption, np.array(image), photograph)


def record(example):
    """Returns the fields that every line of predictions.jsonl begins with."""
    return {
        'name': example.source.name,
        'file': str(example.source.path),
        'size': list(example.pixels.shape[:2]),
    }


def title(record):
    """Returns the heading of a photograph on the page."""
    height, width = record['size']
    return f'{record["name"]} ({width} x {height})'
