"""A folder of classes of image files."""

import hashlib

import numpy as np
import tensorflow_datasets as tfds
from etils import epath

from drn_jax.data.cpu_tensorflow import tf
from drn_jax.data.source import Source
from drn_jax.errors import InputError


class FolderSource(Source):
    """Images in folders `ROOT/SPLIT/CLASS/NAME.jpg` (or .jpeg, .png), found by TFDS's ImageFolder.

    Classes are sorted by name. Images stand in one fixed order that mixes the classes (sorted by
    the SHA-256 of their paths below the split), so that parts and slices of a split hold all
    classes, as in data sets that TFDS prepares.

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
        self._builder = tfds.ImageFolder(root)
        self.class_names = tuple(self._builder.info.features['label'].names)
        self.splits = self._builder.info.splits
        if not any(info.num_examples for info in self.splits.values()):
            raise InputError(
                f'{root!r} holds no images as SPLIT/CLASS/NAME.jpg, .jpeg or .png; arrange them so',
                path=root,
            )
        self._files = {
            split: self._sorted_files(split)
            for split, info in self.splits.items()
            if info.num_examples
        }

    def class_counts(self, split):
        labels = [label for _, label in self._listed(split)]
        return np.bincount(labels, minlength=self.num_classes)

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

    def _sorted_files(self, split):
        """Lists (path, label) of a split's images, in the order that the class describes."""
        files = self._builder.as_dataset(split=split, decoders={'image': _no_image()})
        pairs = (
            (file['image/filename'].decode(), file['label']) for file in files.as_numpy_iterator()
        )
        return sorted(
            pairs,
            key=lambda pair: hashlib.sha256(_below_split(pair[0]).encode()).digest(),
        )


def _below_split(path):
    """Returns CLASS/NAME of a file."""
    return '/'.join(path.rsplit('/', 2)[-2:])


@tfds.decode.make_decoder(output_dtype=tf.string)
def _no_image(serialized, feature):
    """Replaces the image, so that listing files does not read them."""
    del serialized, feature
    return tf.constant('')
