"""Image-and-label-map data sets of the user's own: described, checked, and built once by TFDS."""

import hashlib
import json
import os
from collections.abc import Callable

import numpy as np
import tensorflow_datasets as tfds
from etils import epath

from drn_jax.data.cpu_tensorflow import tf
from drn_jax.data.dataset_info import Info, read_info
from drn_jax.data.image_files import read_label_map
from drn_jax.data.image_label_pairs import Pair, find_splits
from drn_jax.data.label_encodings import (
    LabelEncoding,
    check_names,
    checked_sizes,
    common_size,
    encoding_of,
)
from drn_jax.data.tfds_label_maps import decode_map
from drn_jax.data.tfds_sources import PreparedSource


class LabelMapSource(PreparedSource):
    """A data set of the user's own, described by info.json, in lists or in folders.

    Either train_images.txt and train_labels.txt (and so on for other splits) list files, one path
    a line, relative to the data set's directory; or files lie as images/SPLIT/NAME.jpg and
    labels/SPLIT/NAME.png. The split `val` is called `validation`; `test` needs no label maps, and
    is left out where it has none.

    When it is opened for the first time, all label maps are checked, and TFDS builds the data set
    in `prepared_dir`, in a folder named after a fingerprint of the files' names, sizes and times
    of change. So after a change it is built anew; older folders may be deleted.

    Args:
        root: directory of the data set, local or gs://.
        prepared_dir: where it is built, local or gs://; '' is ROOT/prepared.

    Raises:
        InputError: something is missing or cannot be used.
    """

    label_kind = 'maps'
    _prepared_in = 'prepared_dir'

    def __init__(self, root: str, prepared_dir: str = ''):
        self._info, self._pairs = read_info(root), find_splits(root)
        self._every = [pair for split in self._pairs.values() for pair in split]
        check_names(self._every, self._info)
        self._size: tuple[int, int] | None = None
        self._fingerprint = _fingerprint(self._pairs, self._info)
        super().__init__('label_maps', data_dir=prepared_dir or os.path.join(root, 'prepared'))

    def read_label(self, record):
        return decode_map(record['label'])

    def _encoding(self, pair):
        return encoding_of(pair, self._info)

    def _open(self, data_dir):
        return LabelMapBuilder(
            self._pairs,
            self._encoding,
            self._size,
            data_dir=os.path.join(data_dir, self._fingerprint),
        )

    def _choose_features(self, info):
        return {key: key for key in info.features}

    def _prepare(self, data_dir, manual_dir):
        self._size = common_size(checked_sizes(self._every, self._encoding))
        super()._prepare(data_dir, manual_dir)

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
        image_size: height and width of all images, or None.
        data_dir: where to build it.
    """

    name = 'label_maps'
    VERSION = tfds.core.Version('1.0.0')
    RELEASE_NOTES = {'1.0.0': 'First version.'}

    def __init__(
        self,
        splits: dict[str, list[Pair]],
        encoding_of: Callable[[Pair], LabelEncoding],
        image_size: tuple[int, int] | None,
        *,
        data_dir: str,
    ):
        self._pairs, self._encoding, self._image_size = splits, encoding_of, image_size
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
            label = self._encoding(pair).train_ids[read_label_map(pair.label)]
            yield (
                f'{split}_{number:07d}',
                {  # a list may name an image twice
                    'image': epath.Path(pair.image).read_bytes(),
                    'label': tf.io.encode_png(label[..., None]).numpy(),
                    'name': pair.name,
                    'size': np.array(label.shape, np.int64),
                },
            )


def _fingerprint(splits: dict[str, list[Pair]], info: Info) -> str:
    """Names what a data set is built of: hexadecimal digits."""
    state: list = [len(info.class_names), sorted(info.ignore), info.label_ids]
    for split, found in splits.items():
        for pair in found:
            stats = [epath.Path(path).stat() for path in (pair.image, pair.label)]
            changed = [(stat.length, stat.mtime) for stat in stats]
            state.append([split, pair.name, os.path.basename(pair.label), *changed])
    return hashlib.sha256(json.dumps(state).encode()).hexdigest()[:16]
