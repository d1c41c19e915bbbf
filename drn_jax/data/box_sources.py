"""Data sets whose images have one class and boxes: of TFDS, or with boxes from other files."""

import numpy as np
import tensorflow_datasets as tfds
from etils import epath

from drn_jax.data import box_files
from drn_jax.data.cpu_tensorflow import tf
from drn_jax.data.source import Source
from drn_jax.data.tfds_sources import PreparedSource
from drn_jax.errors import InputError

MAX_BOXES = 64  # of an image in a data set of TFDS that has a sequence of them


class FeatureBoxSource(PreparedSource):
    """An image classification data set of TFDS that has boxes among its features.

    These are a feature of kind BBoxFeature, one for each image, or a sequence of them, or of
    objects with one each. A feature `mask` of the image's size gives the pixels of the object. An
    image with more than MAX_BOXES boxes counts as unreadable.

    Args:
        name, data_dir, manual_dir: see PreparedSource.

    Raises:
        InputError: see PreparedSource; or no feature is a box.
    """

    label_kind = 'boxes'

    def _choose_features(self, info):
        chosen = super()._choose_features(info)
        found = {
            name: path
            for name, feature in info.features.items()
            if (path := _find_boxes(feature)) is not None
        }
        if not found:
            raise InputError(
                f'data set {self.name!r} has no boxes; give config.data.boxes a CSV file of them '
                f'or, for ImageNet, the directory of {box_files.ARCHIVES["validation"]}',
                field='config.data.boxes',
            )
        name, self._path = next(iter(found.items()))
        one = isinstance(info.features[name], tfds.features.BBoxFeature)
        self.box_places = 1 if one else MAX_BOXES
        self.masks = 'mask' in info.features and isinstance(
            info.features['mask'], tfds.features.Image
        )
        return {**chosen, 'boxes': name, **({'object': 'mask'} if self.masks else {})}

    def _record(self, record):
        boxes = record['boxes']
        for name in self._path:
            boxes = boxes[name]
        boxes = tf.reshape(boxes, [-1, 4])
        count, boxes = tf.shape(boxes)[0], boxes[: self.box_places]
        boxes = tf.pad(boxes, [[0, self.box_places - tf.shape(boxes)[0]], [0, 0]])
        return super()._record(
            {**record, 'box_count': count, 'boxes': tf.ensure_shape(boxes, [self.box_places, 4])}
        )

    def read_boxes(self, record, height, width):
        tf.debugging.assert_less_equal(record['box_count'], self.box_places)
        return record['boxes'] * tf.cast(tf.stack([height, width, height, width]), tf.float32)

    def read_object(self, record):
        return tf.io.decode_png(record['object'], channels=1)[..., 0]


def _find_boxes(feature):
    """Returns where in a feature its boxes are, tuple of names of features, or None."""
    if isinstance(feature, tfds.features.BBoxFeature):
        # Other formats of TFDS give pixels, or x before y.
        relative = feature.bbox_format == tfds.features.BBoxFeature().bbox_format
        return () if relative else None
    inner = getattr(feature, 'feature', None)  # of a sequence
    if isinstance(inner, tfds.features.FeaturesDict):
        for name, each in inner.items():
            if isinstance(each, tfds.features.BBoxFeature) and _find_boxes(each) is not None:
                return (name,)
        return None
    return _find_boxes(inner) if isinstance(inner, tfds.features.BBoxFeature) else None


class TableBoxSource(Source):
    """A data set of classes with boxes from ImageNet's archives or from a CSV file.

    Boxes are found by the name of the image's file, without directories and suffix. An image that
    has none there has no box.

    Args:
        source: the data set.
        path: of a CSV file, or of the directory of ImageNet's archives of boxes.

    Attributes:
        box_places: as many boxes as an image of the splits opened so far has at most.

    Raises:
        InputError: there is no such file or directory. When a split is opened: its archive is
            missing or damaged, or holds no boxes.
    """

    label_kind = 'boxes'

    def __init__(self, source: Source, path: str):
        self._source, self._path = source, epath.Path(path)
        self._found: dict[str, np.ndarray] = {}
        self._read: set[epath.Path] = set()
        self.name, self.class_names, self.splits = source.name, source.class_names, source.splits
        if not path or not self._path.exists():
            raise InputError(
                f'config.data.boxes {path!r} is neither a CSV file nor the directory '
                f'of {box_files.ARCHIVES["validation"]}; give the one or the other',
                field='config.data.boxes',
            )

    def read(self, record):
        return self._source.read(record)

    def read_label(self, record):
        return self._source.read_label(record)

    def read_boxes(self, record, height, width):
        del height, width
        stem = tf.strings.regex_replace(record['name'], r'^.*/|\.[^./]*$', '')
        row = self._rows.lookup(stem)
        boxes = self._boxes[self._starts[row] : self._starts[row + 1]]
        boxes = tf.pad(boxes, [[0, self.box_places - tf.shape(boxes)[0]], [0, 0]])
        return tf.ensure_shape(boxes, [self.box_places, 4])

    def _whole_split_records(self, split, start, stop):
        self._open_boxes(split)
        return self._source._whole_split_records(split, start, stop)

    def _open_boxes(self, split):
        """Reads the boxes of a whole split, unless they were read before."""
        path, read = self._path, box_files.read_csv
        if path.is_dir():
            read = box_files.read_archive
            path = path / box_files.ARCHIVES['train' if split == 'train' else 'validation']
        if path in self._read:
            return
        self._found |= read(path)
        self._read.add(path)
        # All boxes one after the other: padded, those of ImageNet would take half a GiB.
        counts = [len(boxes) for boxes in self._found.values()] + [0]  # the last row has no box
        self.box_places = max(counts)
        self._boxes = tf.constant(np.concatenate(list(self._found.values())))
        self._starts = tf.constant(np.cumsum([0, *counts]))
        self._rows = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(list(self._found), np.arange(len(self._found))),
            default_value=len(self._found),
        )
