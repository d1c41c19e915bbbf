"""The photographs that a command is given, found and read in batches, and their label maps."""

import logging
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from drn_jax import paths
from drn_jax.cityscapes import IGNORE_LABEL
from drn_jax.data import image_files, image_folders
from drn_jax.errors import InputError

_logger = logging.getLogger(__name__)
HELD_BYTES = 1 << 29  # of photographs that wait for others of their shape
LAG_BATCHES = 16  # no photograph waits while more than this many batches are read


class Photograph(NamedTuple):
    """A file to look at.

    Attributes:
        name: what its results are called: the path below the folder that was given, without the
            ending, with '/' between folders.
        path: the file.
        pixels: the photograph itself, [H, W, 3], uint8, where there is no file.
    """

    name: str
    path: pathlib.Path
    pixels: np.ndarray | None = None


def find_photographs(
    given: Sequence[str | os.PathLike], output: str | os.PathLike | None = None
) -> list[Photograph]:
    """Finds image files: those given, and those in folders and all folders below, sorted.

    In folders, those count that `image_folders.find_images` finds.

    Args:
        given: paths of files and folders.
        output: a directory that is left out, because results of an earlier call may lie in it.

    Returns:
        The photographs, in the order given.

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
    found: dict[str, Photograph] = {}
    for path in map(paths.local, given):
        if not path.exists():
            raise InputError(
                f'{path} does not exist; give image files or folders of them', path=path
            )
        for photograph in (
            _in_folder(path, output) if path.is_dir() else [Photograph(path.stem, path)]
        ):
            other = found.setdefault(photograph.name, photograph)
            if other is not photograph:
                raise InputError(
                    f'the results of {other.path} and {photograph.path} would both be called '
                    f'{photograph.name!r}; rename one, or give them in two calls',
                    path=photograph.path,
                )
    return list(found.values())


def _in_folder(folder, output):
    """Finds the photographs in a folder and below."""
    found = image_folders.find_images(folder, left_out=output)
    for remark in found.remarks:
        _logger.warning('%s', remark)
    paths = [pathlib.Path(path) for path in found.images]
    if not paths:
        raise InputError(
            f'{folder} holds no images; their names end in {", ".join(image_folders.SUFFIXES)}',
            path=folder,
        )
    return [Photograph(path.with_suffix('').as_posix(), folder / path) for path in sorted(paths)]


class Example(NamedTuple):
    """A photograph that was read.

    Attributes:
        position: among the photographs given.
        source: its name and path.
        pixels: [H, W, 3], uint8, at full size.
        resized: [h, w, 3], uint8, what the network sees.
        shape: height and width of its batch, in which it lies at the upper left.
    """

    position: int
    source: Photograph
    pixels: np.ndarray
    resized: np.ndarray
    shape: tuple[int, int]

    @property
    def geometry(self) -> np.ndarray:
        """Where the network's input lies in the photograph, as `geometry.Geometry` names it."""
        return np.array([*self.pixels.shape[:2], *self.resized.shape[:2], 0, 0], np.int32)


class Unreadable(NamedTuple):
    """A file that is no photograph.

    Attributes:
        position: among the photographs given.
        source: its name and path.
        reason: one sentence.
    """

    position: int
    source: Photograph
    reason: str


def batches(
    photographs: Sequence[Photograph],
    size_of: Callable[[int, int], tuple[int, int]],
    batch_size: int,
    *,
    shape_of: Callable[[int, int], tuple[int, int]] = lambda height, width: (height, width),
    held_bytes: int = HELD_BYTES,
    lag: int = LAG_BATCHES,
) -> Iterator[list[Example] | Unreadable]:
    """Reads photographs and puts those together that the network sees in arrays of one shape.

    A batch is handed out when it is full, when what waits takes more than `held_bytes`, or when
    its first photograph was read `lag` batches ago; the rest at the end.

    Args:
        photographs: of `find_photographs`.
        size_of: (height, width) -> height and width that the network sees.
        batch_size: photographs in a full batch.
        shape_of: these -> height and width of the array, at least as large.
        held_bytes: of photographs that wait.
        lag: in batches.

    Yields:
        Lists of up to `batch_size` `Example`s of one `shape`, and `Unreadable`s.
    """
    waiting: dict[tuple[int, int], list[Example]] = {}
    for position, source in enumerate(photographs):
        try:
            pixels = source.pixels
            if pixels is None:
                pixels = image_files.read_image(source.path)
        except InputError as error:
            yield Unreadable(position, source, str(error))
            continue
        size = size_of(*pixels.shape[:2])
        shape = shape_of(*size)
        group = waiting.setdefault(shape, [])
        group.append(Example(position, source, pixels, resize(pixels, size), shape))
        if len(group) == batch_size:
            yield waiting.pop(shape)
        while waiting and _held(waiting) > held_bytes:
            yield waiting.pop(max(waiting, key=lambda shape: len(waiting[shape])))
        # Dicts keep their order, so the first group holds the oldest photograph.
        while waiting and position - next(iter(waiting.values()))[0].position >= lag * batch_size:
            yield waiting.pop(next(iter(waiting)))
    yield from waiting.values()


def _held(waiting):
    return sum(example.pixels.nbytes for group in waiting.values() for example in group)


def stack(examples: list[Example], batch_size: int) -> np.ndarray:
    """Makes an array of a batch, with copies of its last photograph and zeros beyond each.

    Args:
        examples: up to `batch_size` of one shape.
        batch_size: rows of the array.

    Returns:
        [batch_size, h, w, 3], uint8.
    """
    rows = np.zeros((batch_size, *examples[0].shape, 3), np.uint8)
    for place, row in enumerate(rows):
        resized = examples[min(place, len(examples) - 1)].resized
        row[: resized.shape[0], : resized.shape[1]] = resized
    return rows


def resize(photograph: np.ndarray, size: tuple[int, int], kind: str = 'bilinear') -> np.ndarray:
    """Resizes a photograph or a label map with one of Pillow's filters.

    Args:
        photograph: [H, W, 3] or [H, W], uint8.
        size: height and width in pixels.
        kind: 'bilinear', averaging where it shrinks, as evaluation does; 'bicubic' or 'nearest'.

    Returns:
        uint8 of that size; the photograph itself where it has it.
    """
    if photograph.shape[:2] == tuple(size):
        return photograph
    filter = Image.Resampling[kind.upper()]
    return np.asarray(Image.fromarray(photograph).resize(size[::-1], filter))


def find_labels(
    given: str | os.PathLike, photographs: Sequence[Photograph]
) -> dict[str, pathlib.Path]:
    """Finds the label map of each photograph.

    Args:
        given: a folder whose files have the names of the photographs, or, for one photograph, a
            file.
        photographs: of `find_photographs`.

    Returns:
        {name of the photograph: path}.

    Raises:
        InputError: a photograph has none.
    """
    path = paths.local(given, '--labels')
    if not path.is_dir():
        if len(photographs) != 1:
            raise InputError(
                f'--labels={given} is no folder, but there are {len(photographs)} '
                'photographs; give a folder with a label map of the same name for '
                'each',
                field='--labels',
            )
        if not path.exists():
            raise InputError(
                f'--labels={given} does not exist; give a label map or a folder', field='--labels'
            )
        return {photographs[0].name: path}
    found = {label.name: label.path for label in find_photographs([path])}
    missing = [photograph.name for photograph in photographs if photograph.name not in found]
    if missing:
        raise InputError(
            f'--labels={given} lacks label maps for {len(missing)} of '
            f'{len(photographs)} photographs, for example {missing[0]!r}; they have '
            'the names of the photographs',
            field='--labels',
        )
    return found


def read_labels(
    path: pathlib.Path,
    shape: Sequence[int],
    classes: int,
    photograph: pathlib.Path | None = None,
) -> np.ndarray:
    """Reads a label map: the class of every pixel, 255 where there is none.

    Args:
        path: an image file of 8 bits, gray or with a palette.
        shape: height and width that it must have.
        classes: how many there are.
        photograph: its file, with which the label map is turned; see `image_files.read_label_map`.

    Returns:
        [H, W], uint8.

    Raises:
        InputError: it cannot be read, or has another kind, size or values; the file is named.
    """
    labels = image_files.read_label_map(path, photograph)
    if labels.shape != tuple(shape):
        raise InputError(
            f'{path} has {labels.shape[0]} x {labels.shape[1]} pixels, but its '
            f'photograph {shape[0]} x {shape[1]}; give them one size',
            path=path,
        )
    unknown = np.unique(labels[(labels >= classes) & (labels != IGNORE_LABEL)])
    if len(unknown):
        raise InputError(
            f'{path} has the label {unknown[0]}, but classes are 0 to {classes - 1}, '
            f'and {IGNORE_LABEL} is none; map its labels first',
            path=path,
        )
    return labels
