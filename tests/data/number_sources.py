"""A data set whose images tell which they are."""

import io

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

from drn_jax.data import Source  # before TensorFlow, whose environment it sets


class NumberSource(Source):
    """JPEG files of 16 x 16 pixels; image i of a split has label i.

    Args:
        damaged: numbers of the images whose files are cut off.
        sizes: number of images of each split, by its name.
    """

    def __init__(self, damaged=(), **sizes):
        self.name = 'numbers'
        self.class_names = tuple(map(str, range(max(sizes.values()))))
        self.splits = tfds.core.SplitDict(
            [
                tfds.core.SplitInfo(name=name, shard_lengths=[size], num_bytes=0)
                for name, size in sizes.items()
            ]
        )
        self._damaged = damaged

    def _whole_split_records(self, split, start, stop):
        numbers = list(range(start, stop))
        return tf.data.Dataset.from_tensor_slices(
            {
                'image': [
                    encode(number)[: 100 if number in self._damaged else None] for number in numbers
                ],
                'label': tf.constant(numbers, tf.int32),
                'name': [f'{split}/{number}.jpg' for number in numbers],
            }
        )


def encode(number):
    """Encodes the image of a number: brighter downwards and to the right, to tell crops apart."""
    y, x, _ = np.indices((16, 16, 3))
    buffer = io.BytesIO()
    Image.fromarray((number + 8 * y + 2 * x).astype(np.uint8)).save(buffer, 'JPEG')
    return buffer.getvalue()
