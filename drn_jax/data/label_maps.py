"""Image-and-label-map data sets of the user's own: described, checked, and built once by TFDS."""

import hashlib
import json
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from etils import epath

from drn_jax.data.cpu_tensorflow import tf
from drn_jax.data.dataset_info import Info, read_info
from drn_jax.data.decoding import decode_map
from drn_jax.data.image_files import read_label_map
from drn_jax.data.image_label_pairs import Pair, find_splits
from drn_jax.data.label_encodings import (
    LabelEncoding,
    check_label_ids,
    check_names,
    common_size,
    complete_info,
    encoding_of,
    examine_all,
)
from drn_jax.data.tfds_sources import PreparedSource


class LabelMapSource(PreparedSource):
    """A data set of the user's own, in lists or in folders, described by info.json.

    Either train_images.txt and train_labels.txt (and so on for other splits) list files, one path
    a line, relative to the data set's directory; or files lie as images/SPLIT/NAME.jpg and
    labels/SPLIT/NAME.png; or train.txt lists both, an image and its label map a line. The split
    `val` is called `validation`; `test` needs no label maps, and is left out where it has none.

    When it is opened for the first time, all label maps are checked, and TFDS builds the data set
    in `prepared_dir`, in a folder named after a fingerprint of the files' names, sizes and times
    of change. So after a change it is built anew; older folders may be deleted.

    Args:
        root: directory of the data set, local or gs://.
        prepared_dir: where it is built, local or gs://; '' is ROOT/prepared.
        name: 'label_maps', described by info.json, or one of `dataset_info.OWN`.

    Raises:
        InputError: something is missing or cannot be used.
    """

    label_kind = 'maps'
    _prepared_in = 'prepared_dir'

    def __init__(self, root: str, prepared_dir: str = '', name: str = 'label_maps'):
        info, (self._pairs, remarks) = read_info(root, name), find_splits(root)
        self._every = [pair for split in self._pairs.values() for pair in split]
        self._info, self.remarks = complete_info(info, self._every), tuple(remarks)
        check_names(self._every, self._info)
        self._found: dict[str, Any] = {}
        self._fingerprints = _fingerprints(self._pairs, self._info)
        super().__init__(name, data_dir=prepared_dir or os.path.join(root, 'prepared'))

    def class_counts(self, split):
        wholes = {whole for whole, _, _ in self._parts(split)}
        return sum(np.array(self._builder.info.metadata['pixels'][whole]) for whole in wholes)

    def fingerprint(self, split):
        wholes = sorted({whole for whole, _, _ in self._parts(split)})
        digest = _digest([self._fingerprints[whole] for whole in wholes])
        return f'{super().fingerprint(split)}, {digest[:8]}'

    def read_label(self, record):
        return decode_map(record['label'])

    def _encoding(self, pair):
        return encoding_of(pair, self._info)

    def _open(self, data_dir):
        return LabelMapBuilder(
            self._pairs,
            self._encoding,
            self._found,
            data_dir=os.path.join(data_dir, _digest(self._fingerprints)),
        )

    def _choose_features(self, info):
        return {key: key for key in info.features}

    def _prepare(self, data_dir, manual_dir):
        found = examine_all(self._every, self._encoding)
        if self._info.label_ids:
            ids = [self._encoding(pair).label_ids for pair in self._every]
            check_label_ids(sum(each.values * flag for each, flag in zip(found, ids)))
        self._found = {'image_size': common_size(found), 'pixels': self._pixels(found)}
        super()._prepare(data_dir, manual_dir)

    def _pixels(self, found):
        """Counts the pixels of every class in every split, of what `examine_all` found."""
        counts = {split: np.zeros(len(self._info.class_names), np.int64) for split in self._pairs}
        of_pair = [split for split, pairs in self._pairs.items() for _ in pairs]
        for split, pair, examined in zip(of_pair, self._every, found):
            train_ids = self._encoding(pair).train_ids
            np.add.at(counts[split], train_ids[train_ids < 255], examined.values[train_ids < 255])
        return {split: count.tolist() for split, count in counts.items()}

    def _describe(self, info):
        self.class_names, self.palette, self.mean_std = self._info[:3]
        self.image_size = info.metadata['image_size'] and tuple(info.metadata['image_size'])

    def _record(self, record):
        return record


class LabelMapBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Images, kept as they are, and label maps of train ids with 255 for no class.

    Args:
        splits: the files of every split.
        encoding_of: returns the encoding of a pair's label map.
        found: what is known of the files: `image_size`, height and width of all images, or None;
            `pixels`, {split: number of pixels of every class}.
        data_dir: where to build it.
    """

    name = 'label_maps'
    VERSION = tfds.core.Version('2.0.0')
    RELEASE_NOTES = {'2.0.0': 'Sizes and label maps are those of upright images.'}

    def __init__(
        self,
        splits: dict[str, list[Pair]],
        encoding_of: Callable[[Pair], LabelEncoding],
        found: dict[str, Any],
        *,
        data_dir: str,
    ):
        self._pairs, self._encoding, self._found = splits, encoding_of, found
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
            metadata=tfds.core.MetadataDict(self._found),
        )

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in self._pairs}

    def _generate_examples(self, split):
        for number, pair in enumerate(self._pairs[split]):
            label = self._encoding(pair).train_ids[read_label_map(pair.label, pair.image)]
            yield (
                f'{split}_{number:07d}',
                {  # a list may name an image twice
                    'image': epath.Path(pair.image).read_bytes(),
                    'label': tf.io.encode_png(label[..., None]).numpy(),
                    'name': pair.name,
                    'size': np.array(label.shape, np.int64),
                },
            )


def _fingerprints(splits: dict[str, list[Pair]], info: Info) -> dict[str, str]:
    """Returns digits for what each split is built of: names, sizes and times of its files."""
    meaning = [len(info.class_names), sorted(info.ignore), info.label_ids]
    found = {}
    for split, pairs in splits.items():
        state: list = [meaning, split]
        for pair in pairs:
            stats = [epath.Path(path).stat() for path in (pair.image, pair.label)]
            changed = [(stat.length, stat.mtime) for stat in stats]
            state.append([pair.name, os.path.basename(pair.label), *changed])
        found[split] = _digest(state)
    return found


def _digest(state: Any) -> str:
    """Returns hexadecimal digits that differ where what is given does."""
    return hashlib.sha256(json.dumps(state).encode()).hexdigest()[:16]
