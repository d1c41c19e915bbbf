"""Data sets whose images have one class and boxes: of TFDS, or with boxes from other files."""

import pathlib

import numpy as np
import tensorflow_datasets as tfds
from etils import epath

from drn_jax.data import box_files
from drn_jax.data.cpu_tensorflow import tf
from drn_jax.data.decoding import decode_map
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
        return decode_map(record['object'])


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

    Boxes are listed by paths of images, which may begin anywhere, and whose suffixes do not count.
    A path is an image's if file names agree and no folder in it is another split or class; of
    several, the one with most of the image's folders is. An image that has none has no box.

    Args:
        source: the data set.
        path: of a CSV file, or of the directory of ImageNet's archives of boxes.

    Attributes:
        box_places: as many boxes as an image of the splits opened so far has at most.

    Raises:
        InputError: there is no such file or directory. When a split is opened: its archive is
            missing or damaged, or holds no boxes; or a path is that of several images.
    """

    label_kind = 'boxes'

    def __init__(self, source: Source, path: str):
        self._source, self._path = source, epath.Path(path)
        self._listed: dict[str, list[tuple[tuple[str, ...], np.ndarray]]] = {}  # by file name
        self._others = {*source.splits, *source.class_names}
        self._read: set[epath.Path] = set()
        self.name, self.class_names, self.splits = source.name, source.class_names, source.splits
        self.remarks = source.remarks
        if not path or not self._path.exists():
            raise InputError(
                f'config.data.boxes {path!r} is neither a CSV file nor the directory '
                f'of {box_files.ARCHIVES["validation"]}; give the one or the other',
                field='config.data.boxes',
            )

    def read(self, record):
        return self._source.read(record)

    def file_of(self, name):
        return self._source.file_of(name)

    def read_label(self, record):
        return self._source.read_label(record)

    def read_boxes(self, record, height, width):
        del height, width
        image = [record['split'], self.read_label(record), record['name']]
        boxes = tf.numpy_function(self._padded_boxes, image, tf.float32, stateful=False)
        return tf.ensure_shape(boxes, [self.box_places, 4])

    def _whole_split_records(self, split, start, stop):
        self._open_boxes(split)
        records = self._source._whole_split_records(split, start, stop)
        return records.map(lambda record: {**record, 'split': split})

    def _open_boxes(self, split):
        """Reads the boxes of a whole split, unless they were read before."""
        path, read = self._path, box_files.read_csv
        if path.is_dir():
            read = box_files.read_archive
            path = path / box_files.ARCHIVES['train' if split == 'train' else 'validation']
        if path in self._read:
            return
        for image, boxes in read(path).items():
            *folders, name = image.split('/')
            self._listed.setdefault(name, []).append((tuple(folders[-3:]), boxes))
            self.box_places = max(self.box_places, len(boxes))
        self._read.add(path)
        self._check_listed(path)

    def _check_listed(self, path):
        """Refuses a path of the list that is several images'."""
        first: dict[int, str] = {}
        for split, label, name in self._source.known_images():
            found = self._find(split, label, name)
            if found is not None and first.setdefault(id(found), name) != name:
                raise InputError(
                    f'{path} has boxes for {pathlib.PurePath(name).name} that could be those of '
                    f'{first[id(found)]} or of {name}; name images with their folders, such as '
                    f'{split}/{self._source.class_names[label]}/{pathlib.PurePath(name).name}',
                    path=path,
                )

    def _find(self, split, label, path):
        """Returns the boxes listed for an image, or None."""
        *folders, name = box_files.without_suffix(path).split('/')
        own = {split, self._source.class_names[label], *folders[-2:]}
        fitting = [
            (sum(folder in own for folder in listed), boxes)
            for listed, boxes in self._listed.get(name, ())
            if all(folder in own or folder not in self._others for folder in listed)
        ]
        best = max((agreeing for agreeing, _ in fitting), default=0)
        found = [boxes for agreeing, boxes in fitting if agreeing == best]
        return found[0] if len(found) == 1 else None

    def _padded_boxes(self, split, label, path):
        """Returns the boxes of an image, zeros where it has fewer, float32 [box_places, 4]."""
        padded = np.zeros((self.box_places, 4), np.float32)
        found = self._find(split.decode(), label, path.decode())
        if found is not None:
            padded[: len(found)] = found
        return padded
