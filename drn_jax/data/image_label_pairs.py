"""Finds which image files and label maps belong together."""

import os
import re
from typing import NamedTuple

from etils import epath

from drn_jax.data.cpu_tensorflow import tf
from drn_jax.data.image_folders import SUFFIXES, find_images, is_hidden
from drn_jax.data.threads import in_threads
from drn_jax.errors import InputError, some
from drn_jax.files import read_text

_IMAGE_END = '_leftImg8bit'
_LABEL_ID_END, _TRAIN_ID_ENDS = '_labelIds', ('_labelTrainIds', '_trainIds')
_LABEL_SIGN = '_gtFine'


class Pair(NamedTuple):
    """An image file and the file of its label map.

    Attributes:
        name: what messages and saved predictions call it: the image's relative path, no suffix.
        image, label: the files, local or gs://.
    """

    name: str
    image: str
    label: str

    @property
    def named_label_ids(self) -> bool:
        """Whether the name of the label map says that it holds Cityscapes' label ids."""
        return _stem(self.label).endswith(_LABEL_ID_END)

    @property
    def named_train_ids(self) -> bool:
        """Whether the name of the label map says that it holds Cityscapes' train ids."""
        return _stem(self.label).endswith(_TRAIN_ID_ENDS)


def find_splits(root: str | os.PathLike[str]) -> tuple[dict[str, list[Pair]], list[str]]:
    """Finds the files of a data set of the user's own; see LabelMapSource for where they lie.

    Args:
        root: directory of the data set, local or gs://.

    Returns:
        {split: list of Pair}, and what is odd about the files, sentences without ends.

    Raises:
        InputError: there are none, or images lack label maps.
    """
    root = os.fspath(root)
    names = sorted(tf.io.gfile.listdir(root))
    lists, tables = (
        [match[1] for name in names if (match := re.fullmatch(pattern, name))]
        for pattern in (r'(\w+)_images\.txt', r'(train|val|validation|test)\.txt')
    )
    folders = os.path.join(root, 'images')
    found, remarks = {}, []
    if lists:
        for split in lists:
            images, labels = f'{split}_images.txt', f'{split}_labels.txt'
            if split != 'test' or tf.io.gfile.exists(os.path.join(root, labels)):
                found[split] = pair_lists(root, images, labels)
    elif tf.io.gfile.isdir(folders):
        for split in (name.rstrip('/') for name in sorted(tf.io.gfile.listdir(folders))):
            images, labels = os.path.join(folders, split), os.path.join(root, 'labels', split)
            if (
                not is_hidden(split)
                and tf.io.gfile.isdir(images)
                and (split != 'test' or tf.io.gfile.isdir(labels))
            ):
                found[split], alone = pair_folders(images, labels)
                remarks += alone
    elif tables:
        found = {split: pair_table(root, f'{split}.txt') for split in tables}
    if not found:
        raise InputError(
            f'{root!r} holds neither train_images.txt and train_labels.txt nor images/train and '
            'labels/train, nor train.txt with two paths a line; add the one or the other',
            path=root,
        )
    found = {'validation' if split == 'val' else split: pairs for split, pairs in found.items()}
    paths = {split: {pair.image for pair in pairs} for split, pairs in found.items()}
    if shared := paths.get('train', set()) & paths.get('validation', set()):
        remarks.append(
            f'{len(shared)} images are in train and in validation, such as {min(shared)}'
        )
    return found, remarks


def pair_folders(
    images_dir: str | os.PathLike[str], labels_dir: str | os.PathLike[str]
) -> tuple[list[Pair], list[str]]:
    """Pairs the images of a folder with the label maps of another, searching folders inside too.

    Files belong together if their paths below the two folders agree but for the suffix. Cityscapes'
    names do as well: X_leftImg8bit.png with X_gtFine_labelTrainIds.png, or else with
    X_gtFine_trainIds.png, as in the authors' release, or X_gtFine_labelIds.png.

    Args:
        images_dir, labels_dir: local or gs://.

    Returns:
        Pairs, sorted by name, and sentences on label maps without an image and on what is skipped.

    Raises:
        InputError: there is no such folder, no image in it, or an image without a label map.
    """
    found, found_labels = _find(images_dir), _find(labels_dir)
    label_files = sorted(found_labels.images, key=lambda path: path.lower().endswith('.png'))
    labels = {_stem(path): path for path in label_files}  # of several of one name the PNG file
    files = found.images
    images = {_stem(path): path for path in files}
    twice = [path for path in files if images[_stem(path)] != path]
    if twice:
        raise InputError(
            f'{twice[0]} and {images[_stem(twice[0])]} in {os.fspath(images_dir)!r} '
            'would have the same label map; rename or remove one',
            path=images_dir,
        )
    if not images:
        raise InputError(
            f'{os.fspath(images_dir)!r} holds no images; allowed are files that end '
            f'in {", ".join(SUFFIXES)}, in folders inside it too',
            path=images_dir,
        )
    pairs, alone = [], []
    for name in sorted(images):
        candidates = [name]
        if name.endswith(_IMAGE_END):
            scene = name.removesuffix(_IMAGE_END)
            ends = (*_TRAIN_ID_ENDS, _LABEL_ID_END)
            candidates += [f'{scene}{_LABEL_SIGN}{end}' for end in ends]
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
            f'map in {os.fspath(labels_dir)!r}: {some(alone)}; give each an image file of the same '
            'relative path, or remove it',
            path=images_dir,
        )
    # Cityscapes has more files than label maps for a scene.
    scenes = {name.removesuffix(_IMAGE_END) for name in images}
    unused = [
        path for name, path in sorted(labels.items()) if name.split(_LABEL_SIGN)[0] not in scenes
    ]
    return pairs, [*found.remarks, *found_labels.remarks] + [
        f'{len(unused)} label maps in {os.fspath(labels_dir)!r} have no image in '
        f'{os.fspath(images_dir)!r}, and are left out: {some(unused)}; images are files that end '
        f'in {", ".join(SUFFIXES)}'
    ] * bool(unused)


def pair_lists(root: str | os.PathLike[str], images_list: str, labels_list: str) -> list[Pair]:
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
    images, labels = (_listed(root, name) for name in (images_list, labels_list))
    if len(images) != len(labels):
        raise InputError(
            f'{images_list} names {len(images)} images but {labels_list} '
            f'{len(labels)} label maps, in {os.fspath(root)!r}; line i of both must '
            'belong together',
            path=os.path.join(root, images_list),
        )
    _check_there(root, images_list, images)
    _check_there(root, labels_list, labels)
    return _pairs(root, images, labels)


def pair_table(root: str | os.PathLike[str], table: str) -> list[Pair]:
    """Pairs the two paths of every line of a file, an image's and its label map's.

    Folders above the data set, where it lay when the file was written, are left out: those that
    `root` lacks on the first line, as many on all others.

    Args:
        root: directory of the data set, local or gs://.
        table: name of the file in it, such as CamVid's train.txt.

    Returns:
        Pairs in the order of the file.

    Raises:
        InputError: the file is empty, a line has not two paths, or one leads out of `root` or to
            a file that does not exist.
    """
    file = epath.Path(root) / table
    lines = [line.split() for line in _lines(file)]
    for number, line in enumerate(lines, 1):
        if len(line) != 2:
            raise InputError(
                f'line {number} of {file} holds {len(line)} paths; give two a line, the image and '
                'its label map',
                path=file,
            )
    images, labels = ([_parts(path) for path in paths] for paths in zip(*lines))
    above = next(
        (
            count
            for count in range(len(images[0]))
            if tf.io.gfile.exists(os.path.join(root, *images[0][count:]))
        ),
        0,
    )
    images, labels = (['/'.join(path[above:]) for path in paths] for paths in (images, labels))
    for paths in (images, labels):
        _check_inside(paths, file)
    _check_there(root, table, [*images, *labels])
    return _pairs(root, images, labels)


def _find(root):
    """Finds the image files below a folder."""
    if not root or not tf.io.gfile.isdir(root):
        raise InputError(f'{os.fspath(root)!r} is no directory; give one that exists', path=root)
    return find_images(root)


def _check_there(root, name, paths):
    """Refuses paths of a list file, by its name, where there is no file."""
    there = in_threads(lambda path: tf.io.gfile.exists(os.path.join(root, path)), paths)
    missing = [path for path, exists in zip(paths, there) if not exists]
    if missing:
        raise InputError(
            f'{len(missing)} of the {len(paths)} files in {name} do not exist in '
            f'{os.fspath(root)!r}: {some(missing)}; correct the list',
            path=os.path.join(root, name),
        )


def _pairs(root, images, labels):
    return [
        Pair(_stem(image), os.path.join(root, image), os.path.join(root, label))
        for image, label in zip(images, labels)
    ]


def _listed(root, name):
    """Reads a list file: relative paths that stay inside `root`."""
    file = epath.Path(root) / name
    if not file.exists():
        raise InputError(
            f'{name} is missing in {os.fspath(root)!r}; every SPLIT_images.txt needs '
            'a SPLIT_labels.txt, with the label maps in the same order',
            path=file,
        )
    paths = _lines(file)
    _check_inside(paths, file)
    return paths


def _lines(file):
    """Reads the lines of a text file that are not empty."""
    name, root = file.name, os.fspath(file.parent)
    try:
        lines = [line.strip() for line in read_text(file).splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise InputError(
            f'{name} in {root!r} is no UTF-8 text ({error}); save it as UTF-8', path=file
        ) from error
    if not lines:
        raise InputError(f'{name} in {root!r} is empty; give one relative path a line', path=file)
    return lines


def _check_inside(paths, file):
    """Refuses paths in a list file that lead out of its directory."""
    for number, path in enumerate(paths, 1):
        if os.path.isabs(path) or '://' in path or '..' in _parts(path):
            raise InputError(
                f'path {number} of {file.name}, {path!r}, leads out of '
                f'{os.fspath(file.parent)!r}; give paths inside it, relative to it',
                path=file,
            )


def _parts(path):
    return [part for part in path.replace('\\', '/').split('/') if part]


def _stem(path):
    return os.path.splitext(path)[0]
