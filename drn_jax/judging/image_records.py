"""Results of each image in a CSV file, written as they come, so that a stopped command goes on."""

import contextlib
import csv
import pathlib
from collections.abc import Iterator

import numpy as np

from drn_jax.errors import InputError
from drn_jax.files import replacing
from drn_jax.judging.verdicts import CLASSES, ImageCounts

_SHOWN = ('mean_iou', 'pixel_accuracy', 'pixel_accuracy_with_void', 'mean_class_accuracy')
# The digest is last, so that nothing is missing of a line whose digest is whole.
_HEAD = ('name', *_SHOWN, 'confusion', 'digest')


def read(path: pathlib.Path) -> dict[str, ImageCounts]:
    """Reads what a file holds of images, {digest: counts}; {} where there is no file.

    A line that was cut off, where writing was stopped, is left out.

    Raises:
        InputError: the file is of another kind.
    """
    if not path.exists():
        return {}
    with path.open(newline='', encoding='utf-8', errors='surrogateescape') as file:
        lines = csv.reader(file)
        if next(lines, None) not in (None, list(_HEAD)):
            raise InputError(
                f'{path} is no file of judged images; name another --output, or remove it',
                field='--output',
                path=path,
            )
        found = {}
        for line in lines:
            with contextlib.suppress(ValueError):  # cut off
                name, *_, counts, digest = line
                confusion = np.array(counts.split(), np.int64).reshape(CLASSES + 1, CLASSES)
                found[digest] = ImageCounts(name, digest, confusion)
        return found


@contextlib.contextmanager
def writing(path: pathlib.Path, done: list[ImageCounts]) -> Iterator['RecordFile']:
    """Opens a file of judged images, in place of the earlier one.

    Args:
        path: the file.
        done: what is known already, which it begins with.
    """
    write(path, done)
    with open(path, 'a', newline='', encoding='utf-8', errors='surrogateescape') as file:
        yield RecordFile(file)


def write(path: pathlib.Path, images: list[ImageCounts]) -> None:
    """Writes a file of judged images as a whole, in this order."""
    with (
        replacing(path) as partial,
        open(partial, 'w', newline='', encoding='utf-8', errors='surrogateescape') as file,
    ):
        csv.writer(file, lineterminator='\n').writerow(_HEAD)
        records = RecordFile(file)
        for image in images:
            records.add(image)


class RecordFile:
    """An open file of judged images."""

    def __init__(self, file):
        self._file, self._writer = file, csv.writer(file, lineterminator='\n')

    def add(self, image: ImageCounts) -> None:
        """Writes the line of an image, to stay when the process ends."""
        metrics = image.metrics
        shown = ['' if np.isnan(metrics[name]) else f'{metrics[name]:.6f}' for name in _SHOWN]
        confusion = ' '.join(map(str, image.confusion.ravel()))
        self._writer.writerow([image.name, *shown, confusion, image.digest])
        self._file.flush()
