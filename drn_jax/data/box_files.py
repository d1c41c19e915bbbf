"""Reads the boxes of objects from ImageNet's archives and from CSV files."""

import collections
import csv
import gzip
import io
import os
import tarfile
import zlib
from xml.etree import ElementTree

import numpy as np
from etils import epath

from drn_jax.data.image_folders import SUFFIXES
from drn_jax.errors import InputError
from drn_jax.files import read_text

# ImageNet's archives of boxes, by split; the second holds an archive for each class.
ARCHIVES = {'validation': 'ILSVRC2012_bbox_val_v3.tgz', 'train': 'ILSVRC2012_bbox_train_v2.tar.gz'}
COLUMNS = ('image', 'x0', 'y0', 'x1', 'y1')


def read_archive(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Reads the boxes of an archive of Pascal VOC's XML files, also in archives inside of it.

    The files count pixels from 0 and include the last one, so its end here is one higher.

    Args:
        path: .tgz, .tar.gz or .tar, local or gs://.

    Returns:
        {path of the image without suffix: float32 [N, 4]}, y0 x0 y1 x1, upper ends exclusive.

    Raises:
        InputError: the file is missing, cut off or damaged, or holds no boxes, or fractions of the
            image.
    """
    file = epath.Path(path)
    found: dict[str, list] = collections.defaultdict(list)
    if not file.exists():
        raise InputError(
            f'{file.name} is not in {file.parent}; download it from '
            'https://image-net.org (after registration), or give config.data.boxes a '
            'CSV file',
            path=path,
        )
    try:
        with file.open('rb') as stream:
            for name, content in _xml_files(stream):
                found[without_suffix(name)] += _boxes(name, content)
    except (OSError, EOFError, tarfile.TarError, zlib.error, ValueError) as error:
        raise InputError(
            f'{path} is damaged or no archive of boxes ({error}); download it again', path=path
        ) from error
    arrays = {name: np.array(boxes, np.float32) for name, boxes in found.items() if boxes}
    if not arrays:
        raise InputError(f'{path} holds no boxes; give {ARCHIVES["validation"]}', path=path)
    _check_pixels(path, np.concatenate(list(arrays.values())) - (0, 0, 1, 1))
    return arrays


def _xml_files(file):
    """Yields the name and content of every XML file, also of archives inside.

    Raises:
        EOFError, zlib.error, tarfile.TarError: the archive is cut off or damaged.
    """
    packed = file.read(2) == b'\x1f\x8b'
    file.seek(0)
    unpacked = gzip.GzipFile(fileobj=file) if packed else file
    with tarfile.open(fileobj=unpacked, mode='r:') as archive:
        for member in archive:
            extracted = archive.extractfile(member)
            if not extracted:  # a directory
                continue
            content = extracted.read()
            if os.path.basename(member.name).startswith('.'):  # ._x.xml, of macOS
                continue
            if member.name.endswith('.xml'):
                yield member.name, content
            elif member.name.endswith(('.tar.gz', '.tgz', '.tar')):
                yield from _xml_files(io.BytesIO(content))
        # tarfile takes a damaged header, and a file cut off before one, for the archive's end.
        unpacked.seek(archive.offset)
        if unpacked.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError(f'it breaks off after {archive.offset} bytes')
        while unpacked.read(2**20):  # at its end, gzip compares the checksum
            pass


def _boxes(name, content):
    """Returns the boxes of one XML file, list of (y0, x0, y1, x1).

    Raises:
        ValueError: it is damaged, or lacks a number.
    """
    try:
        edges = [
            [float(box.findtext(edge, '')) for edge in ('ymin', 'xmin', 'ymax', 'xmax')]
            for box in ElementTree.fromstring(content).iter('bndbox')
        ]
    except (ElementTree.ParseError, ValueError) as error:
        raise ValueError(f'{name}: {error}') from error
    return [(y0, x0, y1 + 1, x1 + 1) for y0, x0, y1, x1 in edges]


def read_csv(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Reads boxes from lines `image,x0,y0,x1,y1` in pixels, upper ends exclusive.

    An image may have several lines; a first line that names the columns is left out. A path may
    begin anywhere above the image, and its suffix does not count.

    Args:
        path: of the file, local or gs://.

    Returns:
        {path of the image without suffix: float32 [N, 4]}, y0 x0 y1 x1.

    Raises:
        InputError: there is no such file, no box, a line is no box, or two paths differ in their
            suffixes only; it is named. Or all boxes are fractions of the image.

    Example:
        >>> import tempfile
        >>> path = epath.Path(tempfile.mkdtemp()) / 'boxes.csv'
        >>> _ = path.write_text('image,x0,y0,x1,y1\\ncats/1.jpg,10,20,30,40\\n')
        >>> read_csv(path)
        {'cats/1': array([[20., 10., 40., 30.]], dtype=float32)}
    """
    file = epath.Path(path)
    found: dict[str, list] = collections.defaultdict(list)
    names: dict[str, str] = {}
    try:
        lines = list(csv.reader(read_text(file).splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f'{path} cannot be read as a CSV file of boxes ({error}); give one, or '
            f'the directory of {ARCHIVES["validation"]}',
            path=path,
        ) from error
    for number, line in enumerate(lines, 1):
        if not line or number == 1 and tuple(word.strip() for word in line) == COLUMNS:
            continue
        name, box = _name_and_box(line)
        if not box:
            raise InputError(
                f'line {number} of {path} is {",".join(line)!r}; a line is '
                'image,x0,y0,x1,y1 in pixels, with x1 above x0 and y1 above y0',
                path=path,
            )
        image = without_suffix(name)
        if names.setdefault(image, name) != name:
            raise InputError(
                f'{path} names two images {image}, {names[image]} and {name}; boxes are found by '
                'paths without suffix, so give each image its own',
                path=path,
            )
        found[image].append(box)
    if not found:
        raise InputError(f'{path} holds no boxes; a line is image,x0,y0,x1,y1 in pixels', path=path)
    arrays = {image: np.array(boxes, np.float32) for image, boxes in found.items()}
    _check_pixels(path, np.concatenate(list(arrays.values())))
    return arrays


def _check_pixels(path, boxes):
    """Refuses boxes that are all within the first pixel, and not all of it: fractions."""
    if boxes.min() >= 0 and boxes.max() <= 1 and (boxes % 1).any():
        raise InputError(
            f'{path} holds fractions of the image, such as {boxes[boxes % 1 > 0][0]:.4g}; multiply '
            'x with the width and y with the height of each image, for pixels',
            path=path,
        )


def _name_and_box(line):
    """Returns the name in a line of a CSV file, and its box y0, x0, y1, x1, or None for no box."""
    try:
        name, (x0, y0, x1, y1) = line[0].strip(), map(float, line[1:])
    except ValueError:
        return '', None
    valid = name and x1 > x0 and y1 > y0 and np.isfinite([x0, y0, x1, y1]).all()
    return name, (y0, x0, y1, x1) if valid else None


def without_suffix(path: str) -> str:
    """Takes the suffix of an image or an XML file off a path, and writes it with slashes.

    Example:
        >>> without_suffix('val\\\\1.2.JPEG'), without_suffix('train.tfrecord-00000__7')
        ('val/1.2', 'train.tfrecord-00000__7')
    """
    stem, suffix = os.path.splitext(path.replace('\\', '/'))
    return stem if suffix.lower() in (*SUFFIXES, '.xml') else stem + suffix
