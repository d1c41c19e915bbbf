"""Reads the boxes of objects from ImageNet's archives and from CSV files."""
import collections
import csv
import io
import tarfile
from xml.etree import ElementTree

from etils import epath
import numpy as np

from drn_jax.errors import InputError

# ImageNet's archives of boxes, by split; the second holds an archive for each class.
ARCHIVES = {'validation': 'ILSVRC2012_bbox_val_v3.tgz', 'train': 'ILSVRC2012_bbox_train_v2.tar.gz'}
COLUMNS = ('image', 'x0', 'y0', 'x1', 'y1')


def read_archive(path):
    """Reads the boxes of an archive of Pascal VOC's XML files, also in archives inside of it.

    The files count pixels from 0 and include the last one, so its end here is one higher.

    Args:
        path: .tgz, .tar.gz or .tar, local or gs://.

    Returns:
        {name of the image without suffix: float32 [N, 4]}, y0 x0 y1 x1, upper ends exclusive.

    Raises:
        InputError: the file is missing, cut off or damaged, or holds no boxes.
    """
    path, found = epath.Path(path), collections.defaultdict(list)
    if not path.exists():
        raise InputError(f'{path.name} is not in {path.parent}; download it from '
                         'https://image-net.org (after registration), or give a CSV file')
    try:
        with path.open('rb') as file:
            for name, content in _xml_files(file):
                for box in _boxes(name, content):
                    found[_stem(name)].append(box)
    except (OSError, EOFError, tarfile.TarError, ElementTree.ParseError, AttributeError,
            ValueError) as error:
        raise InputError(f'{path} is damaged or no archive of boxes ({error}); download it again'
                         ) from error
    if not found:
        raise InputError(f'{path} holds no boxes; give {ARCHIVES["validation"]}')
    return {name: np.array(boxes, np.float32) for name, boxes in found.items()}


def _xml_files(file):
    """Yields the name and content of every XML file, also of archives inside."""
    with tarfile.open(fileobj=file, mode='r|*') as archive:
        for member in archive:
            if not member.isfile():
                continue
            content = archive.extractfile(member).read()
            if member.name.endswith('.xml'):
                yield member.name, content
            elif member.name.endswith(('.tar.gz', '.tgz', '.tar')):
                yield from _xml_files(io.BytesIO(content))


def _boxes(name, content):
    """Gives the boxes of one XML file, y0 x0 y1 x1."""
    for box in ElementTree.fromstring(content).iter('bndbox'):
        x0, y0, x1, y1 = (float(box.find(edge).text) for edge in ('xmin', 'ymin', 'xmax', 'ymax'))
        yield y0, x0, y1 + 1, x1 + 1


def read_csv(path):
    """Reads boxes from lines `image,x0,y0,x1,y1` in pixels, upper ends exclusive.

    An image may have several lines; a first line that names the columns is left out.

    Args:
        path: of the file, local or gs://.

    Returns:
        {name of the image without directories and suffix: float32 [N, 4]}, y0 x0 y1 x1.

    Raises:
        InputError: there is no such file, no box, or a line is no box; it is named.

    Example:
        >>> import tempfile
        >>> path = epath.Path(tempfile.mkdtemp()) / 'boxes.csv'
        >>> _ = path.write_text('image,x0,y0,x1,y1\\ncats/1.jpg,10,20,30,40\\n')
        >>> read_csv(path)
        {'1': array([[20., 10., 40., 30.]], dtype=float32)}
    """
    path, found = epath.Path(path), collections.defaultdict(list)
    try:
        lines = list(csv.reader(path.read_text().splitlines()))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f'{path} cannot be read as a CSV file of boxes: {error}') from error
    for number, line in enumerate(lines, 1):
        if not line or number == 1 and tuple(word.strip() for word in line) == COLUMNS:
            continue
        try:
            name, (x0, y0, x1, y1) = line[0], map(float, line[1:])
            valid = x1 > x0 and y1 > y0 and np.isfinite([x0, y0, x1, y1]).all()
        except ValueError:
            valid = False
        if not valid:
            raise InputError(f'line {number} of {path} is {",".join(line)!r}; a line is '
                             'image,x0,y0,x1,y1 in pixels, with x1 above x0 and y1 above y0')
        found[_stem(name)].append((y0, x0, y1, x1))
    if not found:
        raise InputError(f'{path} holds no boxes; a line is image,x0,y0,x1,y1 in pixels')
    return {name: np.array(boxes, np.float32) for name, boxes in found.items()}


def _stem(name):
    name = epath.Path(name.strip()).name
    return name.rpartition('.')[0] or name
