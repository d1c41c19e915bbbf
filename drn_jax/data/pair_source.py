"""Images and label maps that are read straight from their files, to evaluate on them."""

import os
from collections.abc import Sequence

import tensorflow_datasets as tfds

from drn_jax import cityscapes
from drn_jax.data.cpu_tensorflow import tf
from drn_jax.data.image_files import read_label_map
from drn_jax.data.image_label_pairs import Pair, pair_folders
from drn_jax.data.label_encodings import common_size, examine_all, label_encoding
from drn_jax.data.source import Source
from drn_jax.errors import InputError


class PairSource(Source):
    """Images and label maps read straight from their files: one split, `all`.

    All label maps are read and checked once when it is opened.

    Args:
        found: the files.
        class_names, palette: see Source.

    Raises:
        InputError: a label map cannot be used.
    """

    label_kind = 'maps'

    def __init__(
        self,
        found: list[Pair],
        class_names: Sequence[str],
        palette: Sequence[tuple[int, int, int]],
    ):
        self.name, self.class_names, self.palette = 'pairs', tuple(class_names), tuple(palette)
        if self.num_classes != len(cityscapes.CLASS_NAMES):
            named = [pair for pair in found if pair.named_label_ids]
            if named:
                raise InputError(
                    f'{named[0].label} is named as a file of Cityscapes label ids, but there are '
                    f'{self.num_classes} classes, not 19; give label maps of these classes',
                    path=named[0].label,
                )
        self._pairs, examined = found, examine_all(found, self._encoding)
        self._sizes, self.image_size = [each.size for each in examined], common_size(examined)
        self.splits = tfds.core.SplitDict(
            [tfds.core.SplitInfo(name='pairs', shard_lengths=[len(found)], num_bytes=0)]
        )

    def file_of(self, name):
        return next(pair.image for pair in self._pairs if pair.name == name)

    def read(self, record):
        return tf.io.read_file(record['image'])

    def read_label(self, record):
        files = [record['label'], record['image']]
        label = tf.numpy_function(self._read_map, files, tf.uint8, stateful=False)
        return tf.ensure_shape(label, [None, None])

    def _whole_split_records(self, split, start, stop):
        found = self._pairs[start:stop]
        return tf.data.Dataset.from_tensor_slices(
            {
                'image': [pair.image for pair in found],
                'label': [pair.label for pair in found],
                'name': [pair.name for pair in found],
                'size': tf.constant(self._sizes[start:stop], tf.int64),
            }
        )

    def _parts(self, split):
        # To TFDS, `all` is the sum of the splits, of which no part can be taken.
        return super()._parts(split.replace('all', 'pairs'))

    def _encoding(self, pair):
        return label_encoding(self.num_classes, label_ids=pair.named_label_ids)

    def _read_map(self, label, image):
        pair = Pair('', image.decode(), label.decode())
        return self._encoding(pair).train_ids[read_label_map(pair.label, pair.image)]


def open_pairs(
    images_dir: str | os.PathLike[str],
    labels_dir: str | os.PathLike[str],
    *,
    like: Source | tuple[Sequence[str], Sequence[tuple[int, int, int]]],
) -> PairSource:
    """Opens the images of a folder with the label maps of another, to evaluate on them.

    Args:
        images_dir, labels_dir: folders, local or gs://; see `pair_folders`.
            Label maps that are named X_labelIds.png hold Cityscapes' label ids, others hold
            classes and 255.
        like: a Source of label maps, whose classes they are, or (class names, palette).

    Returns:
        A Source with the one split `all`, in the order of names.

    Raises:
        InputError: an image has no label map, or something cannot be used.
    """
    class_names, palette = (like.class_names, like.palette) if isinstance(like, Source) else like
    pairs, remarks = pair_folders(images_dir, labels_dir)
    source = PairSource(pairs, class_names, palette)
    source.remarks = tuple(remarks)
    return source
