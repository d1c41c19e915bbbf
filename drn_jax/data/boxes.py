"""Data sets whose images have one class and boxes: of TFDS, or with boxes from other files."""
from etils import epath
import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from drn_jax.data import box_files
from drn_jax.data.prepared import PreparedSource
from drn_jax.data.source import Source
from drn_jax.errors import InputError

MAX_BOXES = 64  # of an image; images that have fewer get boxes of zeros


class FeatureBoxSource(PreparedSource):
    """An image classification data set of TFDS that has boxes among its features.

    These are a feature of kind BBoxFeature, one for each image, or a sequence of objects with one
    for each. A feature `mask` of the image's size gives the pixels of the object.

    Args:
        name, data_dir, manual_dir: see PreparedSource.

    Raises:
        InputError: see PreparedSource; or no feature is a box.
    """
    labels = 'boxes'

    def _choose_features(self, info):
        boxes = [name for name, feature in info.features.items() if _has_boxes(feature)]
        if not boxes:
            raise InputError(
                f'data set {self.name!r} has no boxes; give config.data.boxes a CSV file of them '
                f'or, for ImageNet, the directory of {box_files.ARCHIVES["validation"]}')
        self.masks = 'mask' in info.features and isinstance(
            info.features['mask'], tfds.features.Image)
        masks = {'object': 'mask'} if self.masks else {}
        return {**super()._choose_features(info), 'boxes': boxes[0], **masks}

    def _record(self, record):
        boxes = record['boxes']
        if isinstance(boxes, dict):
            (boxes,) = [value for value in boxes.values() if value.shape[-1] == 4]
        boxes = tf.reshape(boxes, [-1, 4])[:MAX_BOXES]
        boxes = tf.pad(boxes, [[0, MAX_BOXES - tf.shape(boxes)[0]], [0, 0]])
        return super()._record({**record, 'boxes': tf.ensure_shape(boxes, [MAX_BOXES, 4])})

    def read_boxes(self, record, height, width):
        """Gives the boxes of a record, float32 [MAX_BOXES, 4], in pixels; see TableBoxSource."""
        return record['boxes'] * tf.cast(tf.stack([height, width, height, width]), tf.float32)

    def read_object(self, record):
        """Gives the pixels of a record's object, uint8 [H, W], 0 beside it."""
        return tf.io.decode_png(record['object'], channels=1)[..., 0]


def _has_boxes(feature):
    """Says whether a feature is a box, or a sequence of objects that have one."""
    inner = getattr(feature, 'feature', None)
    return isinstance(feature, tfds.features.BBoxFeature) or (
        isinstance(inner, tfds.features.FeaturesDict) and any(map(_has_boxes, inner.values())))


class TableBoxSource(Source):
    """A data set of classes with boxes from ImageNet's archives or from a CSV file.

    Boxes are found by the name of the image's file, without directories and suffix.

    Args:
        source: the data set.
        path: of a CSV file, or of the directory of ImageNet's archives of boxes.

    Raises:
        InputError: there is no such file or directory. When a split is opened: its archive is
            missing or damaged, or holds boxes for none of its images' names.
    """
    labels = 'boxes'
    masks = False

    def __init__(self, source, path):
        self._source, self._path, self._tables = source, epath.Path(path), {}
        self.name, self.class_names, self.splits = source.name, source.class_names, source.splits
        if not self._path.exists():
            raise InputError(f'config.data.boxes {path!r} is neither a CSV file nor the directory '
                             f'of {box_files.ARCHIVES["validation"]}')

    def read(self, record):
        return self._source.read(record)

    def read_label(self, record):
        return self._source.read_label(record)

    def read_boxes(self, record, height, width):
        """Gives the boxes of a record, float32 [MAX_BOXES, 4], y0 x0 y1 x1 in pixels.

        Args:
            record: dict of tensors, one element of `records`.
            height, width: of the image, in pixels.
        """
        del height, width
        return record['boxes']

    def _whole_split_records(self, split, start, stop):
        table, rows = self._table(split)
        rows = tf.constant(rows)

        def add(record):
            stem = tf.strings.regex_replace(record['name'], r'^.*/|\.[^./]*$', '')
            return {**record, 'boxes': rows[table.lookup(stem)]}

        return self._source._whole_split_records(split, start, stop).map(add)

    def _table(self, split):
        """Gives a table from names to rows, and the rows, float32 [N, MAX_BOXES, 4]."""
        path = self._path
        if path.is_dir():
            path = path / box_files.ARCHIVES['train' if split == 'train' else 'validation']
        if path not in self._tables:
            csv = path == self._path
            found = box_files.read_csv(path) if csv else box_files.read_archive(path)
            rows = np.zeros((len(found) + 1, MAX_BOXES, 4), np.float32)  # the last has no box
            for row, boxes in zip(rows, found.values()):
                row[:len(boxes)] = boxes[:MAX_BOXES]
            table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(
                list(found), np.arange(len(found))), default_value=len(found))
            self._tables[path] = table, rows
        return self._tables[path]
