"""Shapes and dtypes of batches, by kind of labels."""

import numpy as np


def image_side(label_kind, data):
    """Returns the side of training images, in pixels."""
    return data.crop_px if label_kind == 'maps' else data.image_size


def training_batch(label_kind, data, batch_size):
    """Returns {key: (shape, dtype)} of a training batch."""
    side = image_side(label_kind, data)
    label = ((batch_size, side, side), np.uint8) if label_kind == 'maps' else (
        (batch_size,), np.int32)
    return {'image': ((batch_size, side, side, 3), np.uint8), 'label': label,
            'mask': ((batch_size,), np.bool_), 'index': ((batch_size,), np.uint32)}
