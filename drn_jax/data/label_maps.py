"""Image-and-label-map data sets of the user's own: described, checked, and built once by TFDS."""

import hashlib
import json
import os
import re

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from etils import epath

from drn_jax import cityscapes
from drn_jax.data import image_label_files
from drn_jax.data.dataset_info import read_info
from drn_jax.data.source import Source
from drn_jax.data.tfds_label_maps import decode_map
from drn_jax.data.tfds_sources import PreparedSource
from drn_jax.errors import InputError


class LabelMapSource(PreparedSource):
    """A data set of the user's own, described by info.json, in lists or in folders.

    Either train_images.txt and train_labels.txt (and so on for other splits) list files, one path
    a line, relative to the data set's directory; or files lie as images/SPLIT/NAME.jpg and
    labels/SPLIT/NAME.png. The split `val` is called `validation`; `test` needs no label maps, and
    is left out where it has none.

    When it is opened for the first time, all label maps are checked, and TFDS builds the data set
    below ROOT/prepared, in a folder named after a fingerprint of the files' names, sizes and times
    of change. So after a change it is built anew; older folders may be deleted.

    Args:
        root: directory of the data set, local or gs://.

    Raises:
        InputError: something is missing or cannot be used.
    """

    label_kind = 'maps'

    def __init__(self, root):
        self._info, self._pairs = read_info(root), find_splits(root)
        every = [pair for split in self._pairs.values() for pair in split]
        check_names(every, self._info)
        self._every, self._size = every, None
        self._fingerprint = _fingerprint(self._pairs, self._info)
        super().__init__('label_maps', data_dir=root)

    def read_label(self, record):
        return decode_map(record['label'])

    def _meaning(self, pair):
        return meaning(self._info, pair)

    def _open(self, data_dir):
        return LabelMapBuilder(
            self._pairs,
            self._meaning,
            self._size,
            data_dir=os.path.join(data_dir, 'prepared', self._fingerprint),
        )

    def _choose_features(self, info):
        return {key: key for key in info.features}

    def _prepare(self, data_dir, manual_dir):
        self._size = _only(image_label_files.checked_sizes(self._every, self._meaning))
        super()._prepare(data_dir, manual_dir)

    def _describe(self, info):
        self.class_names, self.palette, self.mean_std = self._info[:3]
        self.image_size = info.metadata['image_size'] and tuple(info.metadata['image_size'])

    def _record(self, record):
        return record


class LabelMapBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Images, kept as they are, and label maps of train ids with 255 for no class.

    Args:
        splits: list of Pair for every split.
        meaning: function of a pair that gives its Labelling.
        image_size: height and width of all images, or None.
        data_dir: where to build it.
    """

    name = 'label_maps'
    VERSION = tfds.core.Version('1.0.0')
    RELEASE_NOTES = {'1.0.0': 'First version.'}

    def __init__(self, splits, meaning, image_size, *, data_dir):
        self._pairs, self._meaning, self._image_size = splits, meaning, image_size
        super().__init__(data_dir=data_dir)

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            description=type(self).__doc__,
            features=tfds.features.FeaturesDict(
                {
                    'image': tfds.features.Image(),
                    'label': tfds.features.Image(shape=(None, None, 1), encoding_format='png'),
                    'name': tfds.features.Text(),
                    'size': tfds.features.Tensor(shape=(2,), dtype=np.int64),
                }
            ),
            metadata=tfds.core.MetadataDict(image_size=self._image_size),
        )

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in self._pairs}

    def _generate_examples(self, split):
        for number, pair in enumerate(self._pairs[split]):
            label = self._meaning(pair).train_ids[image_label_files.read_label_map(pair.label)]
            yield (
                f'{split}_{number:07d}',
                {  # a list may name an image twice
                    'image': epath.Path(pair.image).read_bytes(),
                    'label': tf.io.encode_png(label[..., None]).numpy(),
                    'name': pair.name,
                    'size': np.array(label.shape, np.int64),
                },
            )


class PairSource(Source):
    """Images and label maps read straight from their files: one split, `all`.

    All label maps are read and checked once when it is opened.

    Args:
        found: list of Pair.
        class_names, palette: see Source.

    Raises:
        InputError: a label map cannot be used.
    """

    label_kind = 'maps'

    def __init__(self, found, class_names, palette):
        self.name, self.class_names, self.palette = 'pairs', tuple(class_names), tuple(palette)
        if self.num_classes != len(cityscapes.CLASS_NAMES):
            named = [pair for pair in found if _named(pair, image_label_files.LABEL_ID_END)]
            if named:
                raise InputError(
                    f'{named[0].label} is named as a file of Cityscapes label ids, but there are '
                    f'{self.num_classes} classes, not 19; give label maps of these classes'
                )
        self._pairs, self._sizes = found, image_label_files.checked_sizes(found, self._meaning)
        self.image_size = _only(self._sizes)
        self.splits = tfds.core.SplitDict(
            [tfds.core.SplitInfo(name='pairs', shard_lengths=[len(found)], num_bytes=0)]
        )

    def read(self, record):
        return tf.io.read_file(record['image'])

    def read_label(self, record):
        label = tf.numpy_function(self._read_map, [record['label']], tf.uint8, stateful=False)
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

    def _meaning(self, pair):
        return image_label_files.labelling(
            self.num_classes, label_ids=_named(pair, image_label_files.LABEL_ID_END)
        )

    def _read_map(self, path):
        pair = image_label_files.Pair('', '', path.decode())
        return self._meaning(pair).train_ids[image_label_files.read_label_map(pair.label)]


def open_pairs(images_dir, labels_dir, *, like):
    """Opens the images of a folder with the label maps of another, to evaluate on them.

    Args:
        images_dir, labels_dir: folders, local or gs://; see `image_label_files.pair_folders`. Label maps that
            are named X_labelIds.png hold Cityscapes' label ids, others hold classes and 255.
        like: a Source of label maps, whose classes they are, or (class names, palette).

    Returns:
        A Source with the one split `all`, in the order of names.

    Raises:
        InputError: an image has no label map, or something cannot be used.
    """
    class_names, palette = (like.class_names, like.palette) if isinstance(like, Source) else like
    return PairSource(image_label_files.pair_folders(images_dir, labels_dir), class_names, palette)


def find_splits(root):
    """Finds the files of a data set of the user's own; see LabelMapSource for where they lie.

    Args:
        root: directory of the data set, local or gs://.

    Returns:
        {split: list of Pair}.

    Raises:
        InputError: there are none, or images lack label maps.
    """
    root = os.fspath(root)
    lists = {
        match[1]: f'{match[1]}_labels.txt'
        for name in sorted(tf.io.gfile.listdir(root))
        if (match := re.fullmatch(r'(\w+)_images\.txt', name))
    }
    folders = os.path.join(root, 'images')
    if lists:
        splits = {
            split: (
                lambda split=split: image_label_files.pair_lists(
                    root, f'{split}_images.txt', lists[split]
                )
            )
            for split in lists
        }
        labeled = {split: tf.io.gfile.exists(os.path.join(root, lists[split])) for split in lists}
    elif tf.io.gfile.isdir(folders):
        names = [name.rstrip('/') for name in sorted(tf.io.gfile.listdir(folders))]
        names = [name for name in names if tf.io.gfile.isdir(os.path.join(folders, name))]
        splits = {
            split: (
                lambda split=split: image_label_files.pair_folders(
                    os.path.join(folders, split), os.path.join(root, 'labels', split)
                )
            )
            for split in names
        }
        labeled = {split: tf.io.gfile.isdir(os.path.join(root, 'labels', split)) for split in names}
    else:
        splits = {}
    found = {
        ('validation' if split == 'val' else split): find()
        for split, find in splits.items()
        if split != 'test' or labeled[split]
    }
    if not found:
        raise InputError(
            f'{root!r} holds neither train_images.txt and train_labels.txt nor images/train and '
            'labels/train; add the one or the other'
        )
    return found


def meaning(info, pair):
    """Returns the Labelling of a pair's label map; its name can say that it holds train ids."""
    return image_label_files.labelling(
        len(info.class_names),
        ignore=info.ignore,
        label_ids=info.label_ids and not _named(pair, image_label_files.TRAIN_ID_END),
    )


def check_names(found, info):
    """Refuses files that are named as label ids where info.json does not say that they are."""
    named = [pair for pair in found if _named(pair, image_label_files.LABEL_ID_END)]
    if named and not info.label_ids:
        raise InputError(
            f'{len(named)} label maps such as {named[0].label} are named as Cityscapes label ids, '
            'but info.json does not say so; give "label_ids": true in it, or files of train ids'
        )


def _fingerprint(splits, info):
    """Names what a data set is built of: hexadecimal digits."""
    state = [len(info.class_names), sorted(info.ignore), info.label_ids]
    for split, found in splits.items():
        for pair in found:
            stats = [epath.Path(path).stat() for path in (pair.image, pair.label)]
            state.append(
                [
                    split,
                    pair.name,
                    os.path.basename(pair.label),
                    *((stat.length, stat.mtime) for stat in stats),
                ]
            )
    return hashlib.sha256(json.dumps(state).encode()).hexdigest()[:16]


def _only(sizes):
    """Returns the size that all have, or None."""
    return sizes[0] if len(set(sizes)) == 1 else None


def _named(pair, end):
    return os.path.splitext(pair.label)[0].endswith(end)
