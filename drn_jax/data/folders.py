"""A folder of classes of image files."""

import hashlib
import os

import numpy as np
import tensorflow_datasets as tfds
from etils import epath

from drn_jax.data.cpu_tensorflow import tf
from drn_jax.data.image_folders import SUFFIXES, find_images
from drn_jax.data.source import Source
from drn_jax.errors import InputError


class FolderSource(Source):
    """Images in folders `ROOT/SPLIT/CLASS/NAME.jpg`, or another of `image_folders.SUFFIXES`.

    As in TFDS's ImageFolder, images in folders inside those of classes do not count, nor do splits
    without images. Classes are sorted by name. Images stand in one fixed order that mixes the
    classes (sorted by the SHA-256 of their paths below the split), so that parts and slices of a
    split hold all classes, as in data sets that TFDS prepares.

    Args:
        root: the directory that holds the splits, local or gs://.

    Raises:
        InputError: there is no such directory, or no images where they should be.
    """

    def __init__(self, root: str):
        self.name = 'folder'
        if not root or not epath.Path(root).is_dir():
            raise InputError(
                f'config.data.data_dir {root!r} is no directory; give the one that '
                'holds SPLIT/CLASS/NAME.jpg, such as train/cat/1.jpg',
                field='config.data.data_dir',
            )
        found = find_images(root, layout='SPLIT/CLASS/NAME')
        self.remarks = found.remarks
        places = [folder.split('/') for folder in found.folders]
        splits = {path.split('/')[0] for path in found.images}  # others hold runs, notes, ...
        classes = [place for place in places if len(place) == 2 and place[0] in splits]
        self.class_names = tuple(sorted({name for _, name in classes}))
        self._files: dict[str, list[tuple[str, int]]] = {split: [] for split, _ in classes}
        for path in sorted(found.images, key=_order):
            split, name, _ = path.split('/')
            label = self.class_names.index(name)
            self._files[split].append((os.path.join(root, path), label))
        if not found.images:
            raise InputError(
                f'{root!r} holds no images as SPLIT/CLASS/NAME.jpg, or with one of the endings '
                f'{", ".join(SUFFIXES)}; arrange them so',
                path=root,
            )
        self.splits = tfds.core.SplitDict(
            [
                tfds.core.SplitInfo(name=split, shard_lengths=[len(files)], num_bytes=0)
                for split, files in self._files.items()
            ]
        )

    def class_counts(self, split):
        labels = [label for _, label in self._listed(split)]
        return np.bincount(labels, minlength=self.num_classes)

    def file_of(self, name):
        return name

    def fingerprint(self, split):
        names = '\n'.join(_below_split(path) for path, _ in self._listed(split))
        digest = hashlib.sha256(names.encode()).hexdigest()
        return f'{super().fingerprint(split)}, {digest[:8]}'

    def known_images(self):
        for split, files in self._files.items():
            yield from ((split, label, path) for path, label in files)

    def read(self, record):
        return tf.io.read_file(record['image'])

    def _whole_split_records(self, split, start, stop):
        paths, labels = zip(*self._files[split][start:stop])
        return tf.data.Dataset.from_tensor_slices(
            {
                'image': list(paths),
                'label': tf.constant(labels, tf.int32),
                'name': list(paths),
            }
        )

    def _listed(self, split):
        """Lists (path, label) of the images of a split, or of parts."""
        return [
            file
            for whole, start, stop in self._parts(split)
            for file in self._files[whole][start:stop]
        ]


def _below_split(path):
    """Returns CLASS/NAME of a file."""
    return '/'.join(path.rsplit('/', 2)[-2:])


def _order(path):
    """Mixes the classes of a split."""
    return hashlib.sha256(_below_split(path).encode()).digest()
