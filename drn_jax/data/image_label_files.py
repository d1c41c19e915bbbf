"""Image files and their label maps: finds which belong together, and checks what they hold."""

import collections
import io
import os
from concurrent import futures
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from etils import epath
from PIL import Image

from drn_jax import cityscapes
from drn_jax.errors import InputError

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp')
_FORMATS = ('JPEG', 'PNG', 'BMP', 'GIF')  # what TensorFlow decodes
_IMAGE_END = '_leftImg8bit'
LABEL_ID_END, TRAIN_ID_END = '_labelIds', '_labelTrainIds'
_NAMED = 5  # files and values that a message names


class Pair(NamedTuple):
    """An image file and the file of its label map.

    Attributes:
        name: what messages and saved predictions call it: the image's relative path, no suffix.
        image, label: the files, str, local or gs://.
    """

    name: str
    image: str
    label: str


class Labelling(NamedTuple):
    """What the values in the files of label maps mean.

    Attributes:
        train_ids: class of every value, 255 where it has none, uint8 [256].
        known: whether a value may occur, bool [256].
        num_classes: number of classes.
        label_ids: whether the values are Cityscapes' label ids.
    """

    train_ids: np.ndarray
    known: np.ndarray
    num_classes: int
    label_ids: bool


class Examined(NamedTuple):
    """What was found in a pair of files.

    Attributes:
        problem: a sentence without its end, '' where there is none.
        size: height and width of the label map, (0, 0) where it cannot be read.
        values: number of pixels of every value of the label map, int64 [256].
    """

    problem: str
    size: tuple[int, int]
    values: np.ndarray


def labelling(num_classes, *, ignore=(), label_ids=False):
    """Says what the values in the files of label maps mean.

    Args:
        num_classes: number of classes, 1 to 255; allowed values are 0 to num_classes - 1, and 255.
        ignore: values that are allowed too, and mean 255, no class.
        label_ids: the values are Cityscapes' label ids, 0 to 33, of which 19 are classes.

    Returns:
        A Labelling.

    Example:
        >>> labelling(3, ignore=(0, 9)).train_ids[[0, 1, 2, 9, 255]].tolist()
        [255, 1, 2, 255, 255]
    """
    train_ids, known = np.full(256, 255, np.uint8), np.zeros(256, bool)
    if label_ids:
        train_ids, known[: cityscapes.LABEL_IDS] = cityscapes.TRAIN_IDS.copy(), True
    else:
        train_ids[:num_classes], known[:num_classes] = np.arange(num_classes), True
    train_ids[list(ignore)], known[[*ignore, 255]] = 255, True
    return Labelling(train_ids, known, num_classes, label_ids)


def pair_folders(images_dir, labels_dir):
    """Pairs the images of a folder with the label maps of another, searching folders inside too.

    Files belong together if their paths below the two folders agree but for the suffix. Cityscapes'
    names do as well: X_leftImg8bit.png with X_gtFine_labelTrainIds.png or else
    X_gtFine_labelIds.png.

    Args:
        images_dir, labels_dir: local or gs://.

    Returns:
        Pairs, sorted by name.

    Raises:
        InputError: there is no such folder, no image in it, or an image without a label map.
    """
    labels = {_stem(path): path for path in _files(labels_dir, ('.png',))}
    files = sorted(_files(images_dir, IMAGE_SUFFIXES))
    images = {_stem(path): path for path in files}
    twice = [path for path in files if images[_stem(path)] != path]
    if twice:
        raise InputError(
            f'{twice[0]} and {images[_stem(twice[0])]} in {os.fspath(images_dir)!r} '
            'would have the same label map; rename or remove one'
        )
    if not images:
        raise InputError(
            f'{os.fspath(images_dir)!r} holds no images; allowed are files that end '
            f'in {", ".join(IMAGE_SUFFIXES)}, in folders inside it too'
        )
    pairs, alone = [], []
    for name in sorted(images):
        candidates = [name]
        if name.endswith(_IMAGE_END):
            scene = name.removesuffix(_IMAGE_END)
            candidates += [f'{scene}_gtFine{TRAIN_ID_END}', f'{scene}_gtFine{LABEL_ID_END}']
        label = next((labels[key] for key in candidates if key in labels), None)
        if label is None:
            alone.append(images[name])
        else:
            pairs.append(
                Pair(name, os.path.join(images_dir, images[name]), os.path.join(labels_dir, label))
            )
    if alone:
        raise InputError(
            f'{len(alone)} of the {len(images)} images in {os.fspath(images_dir)!r} have no label '
            f'map in {os.fspath(labels_dir)!r}: {_some(alone)}; give each a .png file of the same '
            'relative path, or remove it'
        )
    return pairs


def pair_lists(root, images_list, labels_list):
    """Pairs the lines of two list files: relative paths, one a line; empty lines do not count.

    Args:
        root: directory that the paths are relative to, local or gs://.
        images_list, labels_list: names of the files in it.

    Returns:
        Pairs in the order of the lists.

    Raises:
        InputError: a list is missing, empty, longer than the other, or leads out of `root` or to
            files that do not exist.
    """
    images, labels = (_lines(root, name) for name in (images_list, labels_list))
    if len(images) != len(labels):
        raise InputError(
            f'{images_list} names {len(images)} images but {labels_list} '
            f'{len(labels)} label maps, in {os.fspath(root)!r}; line i of both must '
            'belong together'
        )
    for name, paths in ((images_list, images), (labels_list, labels)):
        there = in_threads(lambda path: tf.io.gfile.exists(os.path.join(root, path)), paths)
        missing = [path for path, exists in zip(paths, there) if not exists]
        if missing:
            raise InputError(
                f'{len(missing)} of the {len(paths)} files in {name} do not exist in '
                f'{os.fspath(root)!r}: {_some(missing)}; correct the list'
            )
    return [
        Pair(_stem(image), os.path.join(root, image), os.path.join(root, label))
        for image, label in zip(images, labels)
    ]


def read_label_map(path):
    """Reads the file of a label map.

    Args:
        path: local or gs://.

    Returns:
        The values as they are, of a file with a palette the indices, uint8 [H, W].

    Raises:
        InputError: it is no image, or not one of 8 bits in one channel.
    """
    try:
        with Image.open(io.BytesIO(epath.Path(path).read_bytes())) as image:
            if image.mode in ('L', 'P', '1'):
                return np.asarray(image).astype(np.uint8)
            mode = image.mode
    except Exception as error:  # Pillow's many, and those of file systems
        raise InputError(f'{path} cannot be read as an image; repair or replace it') from error
    kind = '16 bits or more' if mode[0] in 'IF' else f'{len(mode)} channels ({mode})'
    raise InputError(
        f'{path} has {kind}; a label map has one channel of 8 bits, which holds a '
        'class in every pixel'
    )


def examine(pair, meaning):
    """Reads a label map and the size of its image, and checks both.

    Args:
        pair: a Pair.
        meaning: a Labelling.

    Returns:
        Examined.
    """
    nothing = (0, 0), np.zeros(256, np.int64)
    try:
        label, size = read_label_map(pair.label), _image_size(pair.image)
    except InputError as error:
        return Examined(str(error), *nothing)
    values = np.bincount(label.ravel(), minlength=256)
    problem = ''
    if size != label.shape:
        problem = (
            f'{pair.image} has {size[0]} x {size[1]} pixels, {pair.label} '
            f'{label.shape[0]} x {label.shape[1]}; both must have the same'
        )
    elif values[~meaning.known].any():
        problem = f'{pair.label} holds {_out_of_range(values, meaning)}'
    return Examined(problem, label.shape, values)


def checked_sizes(pairs, meaning):
    """Checks what pairs of files hold.

    Args:
        pairs: list of Pair.
        meaning: function of a pair that gives its Labelling.

    Returns:
        Height and width of every pair's images, in pixels.

    Raises:
        InputError: something cannot be used; the first problem is told, and how many there are.
    """
    found = list(in_threads(lambda pair: examine(pair, meaning(pair)), pairs))
    problems = [examined.problem for examined in found if examined.problem]
    if problems:
        count = (
            f' ({len(problems)} files have problems; python -m drn_jax.check_data lists all)'
            if len(problems) > 1
            else ''
        )
        raise InputError(problems[0] + count)
    return [examined.size for examined in found]


def _out_of_range(values, meaning):
    """Says which values of a label map are not allowed."""
    wrong = np.flatnonzero(values * ~meaning.known)
    last = cityscapes.LABEL_IDS if meaning.label_ids else meaning.num_classes
    hint = ''
    if not meaning.label_ids and meaning.num_classes == len(cityscapes.CLASS_NAMES):
        if wrong.max() < cityscapes.LABEL_IDS:
            hint = (
                '; they look like Cityscapes label ids, not train ids: give "label_ids": true '
                'in info.json'
            )
    return (
        f'{values[wrong].sum()} pixels out of range, of the values {_some(wrong)}; allowed are '
        f'0 to {last - 1} and 255{hint}'
    )


def _image_size(path):
    """Returns height and width of an image, from the head of its file; InputError for other files."""
    try:
        with epath.Path(path).open('rb') as file, Image.open(file) as image:
            if image.format in _FORMATS:
                return image.height, image.width
            kind = image.format
    except Exception as error:  # Pillow's many, and those of file systems
        raise InputError(f'{path} cannot be read as an image; repair or replace it') from error
    raise InputError(f'{path} is a {kind} file; allowed are {", ".join(_FORMATS)}')


def _files(root, suffixes):
    """Lists the files below a folder that end in one of the suffixes: relative paths."""
    if not root or not tf.io.gfile.isdir(root):
        raise InputError(f'{os.fspath(root)!r} is no directory; give one that exists')
    return [
        os.path.relpath(os.path.join(folder, name), root)
        for folder, _, names in tf.io.gfile.walk(root)
        for name in names
        if os.path.splitext(name)[1].lower() in suffixes and not name.startswith('.')
    ]


def _lines(root, name):
    """Reads a list file: relative paths that stay inside `root`."""
    file = epath.Path(root) / name
    if not file.exists():
        raise InputError(
            f'{name} is missing in {os.fspath(root)!r}; every SPLIT_images.txt needs '
            'a SPLIT_labels.txt, with the label maps in the same order'
        )
    try:
        paths = [line.strip() for line in file.read_text().splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise InputError(
            f'{name} in {os.fspath(root)!r} is no UTF-8 text ({error}); save it as UTF-8'
        ) from error
    if not paths:
        raise InputError(f'{name} in {os.fspath(root)!r} is empty; give one relative path a line')
    for number, path in enumerate(paths, 1):
        if os.path.isabs(path) or '://' in path or '..' in path.replace('\\', '/').split('/'):
            raise InputError(
                f'path {number} of {name}, {path!r}, leads out of '
                f'{os.fspath(root)!r}; give paths inside it, relative to it'
            )
    return paths


def in_threads(function, items):
    """Maps in parallel and in order: an iterator, so that results need not all be kept.

    Args:
        function: of one item.
        items: an iterable.

    Example:
        >>> list(in_threads(abs, [-1, 2, -3]))
        [1, 2, 3]
    """
    with futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        waiting = collections.deque()
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > 4 * (os.cpu_count() or 1):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _stem(path):
    return os.path.splitext(path)[0]


def _some(items):
    """Names the first few items."""
    items = list(items)
    return ', '.join(map(str, items[:_NAMED])) + ', ...' * (len(items) > _NAMED)
