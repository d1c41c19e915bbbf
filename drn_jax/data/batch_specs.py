"""What a batch holds, by kind of label: the shape, type and padding of every entry, said once.

Kinds of label are 'classes', one for each image; 'boxes', one and boxes for each, which training
does not see; and 'maps', a class for every pixel.
"""

from typing import Any, NamedTuple, TypedDict

import ml_collections
import numpy as np

from drn_jax.cityscapes import IGNORE_LABEL
from drn_jax.geometry import Geometry

_SIDES = {'classes': 'image_size', 'boxes': 'image_size', 'maps': 'crop_px'}


class Batch(TypedDict, total=False):
    """A batch of B rows, as training and evaluation get it; which entries there are is said below.

    Attributes:
        image: RGB, uint8 [B, H, W, 3], or [B, 5, H, W, 3] for ten crops of which five are mirrored.
        label: int32 [B], or for maps uint8 [B, H, W], 255 where there is no class.
        mask: False in padding and where the image cannot be read, bool [B].
        index: place in the stream, or in the split, uint32 [B].
        name: what messages call the image, str objects [B]; in evaluation.
        boxes: y0 x0 y1 x1 in pixels, zeros where an image has fewer, float32 [B, N, 4].
        geometry: `Geometry`, packed, int32 [B, 6].
        whole: the whole image, resized, uint8 [B, H, W, 3].
        object: 0 beside the object, uint8, of the height and width that maps are made of.
    """

    image: np.ndarray
    label: np.ndarray
    mask: np.ndarray
    index: np.ndarray
    name: np.ndarray
    boxes: np.ndarray
    geometry: np.ndarray
    whole: np.ndarray
    object: np.ndarray


class Entry(NamedTuple):
    """One entry of a row.

    Attributes:
        shape: of a row, without the batch; lengths may be tensors.
        dtype: of NumPy.
        fill: what a row holds that has no image; it broadcasts to the shape.
    """

    shape: tuple[Any, ...]
    dtype: type
    fill: Any = 0


# What every row has besides its image and labels; only `mask` tells padding.
MARKS = {'mask': Entry((), np.bool_, False), 'index': Entry((), np.uint32)}


def image_side(label_kind: str, data: ml_collections.ConfigDict) -> int:
    """Returns the side of training images, in pixels.

    Args:
        label_kind: 'classes', 'boxes' or 'maps'.
        data: `config.data`; read is image_size or crop_px.
    """
    return data[_SIDES[label_kind]]


def training_row(label_kind: str, data: ml_collections.ConfigDict) -> dict[str, Entry]:
    """Returns what a row of a training batch holds, without `MARKS`.

    Args:
        label_kind, data: see `image_side`.
    """
    side = image_side(label_kind, data)
    return _map_row(side, side) if label_kind == 'maps' else _class_row(side, side)


def training_batch(
    label_kind: str, data: ml_collections.ConfigDict, batch_size: int
) -> dict[str, tuple[tuple[int, ...], type]]:
    """Returns the shape and type of every entry of a training batch.

    Args:
        label_kind, data: see `image_side`.
        batch_size: rows of the batch.

    Example:
        >>> data = ml_collections.ConfigDict({'image_size': 224})
        >>> shape, dtype = training_batch('classes', data, 8)['image']
        >>> shape, dtype.__name__
        ((8, 224, 224, 3), 'uint8')
    """
    row = training_row(label_kind, data) | MARKS
    return {key: ((batch_size, *entry.shape), entry.dtype) for key, entry in row.items()}


def evaluation_row(
    label_kind: str,
    data: ml_collections.ConfigDict,
    *,
    crops: int = 1,
    size: tuple[Any, Any] | None = None,
    box_places: int = 0,
    masks: bool = False,
) -> dict[str, Entry]:
    """Returns what a row of an evaluation batch holds, without `MARKS` and its name.

    Args:
        label_kind, data: see `image_side`.
        crops: 1 or 10, of images with classes or boxes.
        size: height and width of images with label maps; for boxes, of whole images, or None
            where rows have none.
        box_places: how many boxes a row has room for.
        masks: whether there are pixels of objects.
    """
    if label_kind == 'maps':
        assert size is not None
        return _map_row(*size)
    side = image_side(label_kind, data)
    row = _class_row(*((5,) if crops == 10 else ()), side, side)
    if label_kind == 'boxes':
        row['boxes'] = Entry((box_places, 4), np.float32)
        row['geometry'] = Entry((len(Geometry._fields),), np.int32, Geometry(1, 1, 1, 1, 0, 0))
        if size:
            row['whole'] = Entry((*size, 3), np.uint8)
        if masks:
            row['object'] = Entry(size or (side, side), np.uint8)
    return row


def _class_row(*shape: int) -> dict[str, Entry]:
    return {'image': Entry((*shape, 3), np.uint8), 'label': Entry((), np.int32)}


def _map_row(*size: Any) -> dict[str, Entry]:
    return {
        'image': Entry((*size, 3), np.uint8),
        'label': Entry(size, np.uint8, IGNORE_LABEL),
    }
