"""Data sets of label maps that TFDS knows by name."""

from drn_jax import cityscapes
from drn_jax.data.cpu_tensorflow import tf
from drn_jax.data.decoding import decode_map
from drn_jax.data.tfds_sources import PreparedSource, find_builder


class CityscapesSource(PreparedSource):
    """Cityscapes with its fine annotations; TFDS keeps label ids, which become the 19 train ids.

    The split `test` has labels without any class: they are not published.
    """

    label_kind = 'maps'
    image_size = cityscapes.IMAGE_SIZE
    class_names = cityscapes.CLASS_NAMES
    palette = cityscapes.PALETTE

    def read_label(self, record):
        label_ids = tf.cast(decode_map(record['label']), tf.int32)
        return tf.gather(tf.constant(cityscapes.TRAIN_IDS), label_ids)

    def _open(self, data_dir):
        return find_builder('cityscapes/semantic_segmentation', data_dir)

    def _choose_features(self, info):
        return {'image': 'image_left', 'label': 'segmentation_label', 'name': 'image_id'}

    def _describe(self, info):
        pass

    def _record(self, record):
        return {**record, 'size': tf.constant(self.image_size, tf.int64)}


class DigitMapSource(PreparedSource):
    """The embedded data set with its masks: background, and the class of the digit upon it."""

    label_kind = 'maps'
    class_names = ('background', *map(str, range(10)))
    # Black, and ten colors that are told apart on photographs.
    palette = (
        (0, 0, 0),
        (230, 25, 75),
        (60, 180, 75),
        (255, 225, 25),
        (0, 130, 200),
        (245, 130, 48),
        (145, 30, 180),
        (70, 240, 240),
        (240, 50, 230),
        (210, 245, 60),
        (250, 190, 212),
    )

    def read_label(self, record):
        return decode_map(record['label']) * tf.cast(record['digit'] + 1, tf.uint8)

    def _choose_features(self, info):
        return {'image': 'image', 'label': 'mask', 'digit': 'label'}

    def _describe(self, info):
        self.image_size = info.features['image'].shape[:2]

    def _record(self, record):
        return {**record, 'size': tf.constant(self.image_size, tf.int64)}
