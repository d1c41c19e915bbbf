"""What a record becomes in a batch, by kind of label: one row of `ROW_MAKERS` for each kind."""

from collections.abc import Callable
from typing import Any, NamedTuple

import ml_collections

from drn_jax.data import batch_specs, imagenet, map_crops
from drn_jax.data.cpu_tensorflow import tf
from drn_jax.data.decoding import decode_image, is_upright_jpeg
from drn_jax.data.source import Record, Source
from drn_jax.errors import InputError
from drn_jax.geometry import Geometry


class Rows(NamedTuple):
    """How the rows of a batch are made.

    Attributes:
        decode: makes the row of a record, a dict of tensors, or fails.
        entries: returns what a row holds, of the size that a batch has, two tensors; of None where
            all batches have one size.
        sized: where batches differ in size, adds to a record the `size` of its batch, int64 [2];
            None where all have one size.
    """

    decode: Callable[[Record], Record]
    entries: Callable[[Any], dict[str, batch_specs.Entry]]
    sized: Callable[[Record], Record] | None = None


class RowMaker(NamedTuple):
    """What differs between kinds of labels.

    Attributes:
        training: (source, data, seed) -> `Rows`.
        evaluation: (source, data, crops, whole_maps) -> `Rows`; see `pipeline.evaluation_batches`.
    """

    training: Callable[[Source, ml_collections.ConfigDict, int], Rows]
    evaluation: Callable[[Source, ml_collections.ConfigDict, int, bool], Rows]


def _training_images(source, data, seed):
    def decode(record):
        encoded, side = source.read(record), data.image_size
        if data.crop:
            image = imagenet.training_image(
                encoded,
                _key(seed, record),
                size=side,
                area=data.crop_area,
                ratio=data.crop_ratio,
            )
        else:
            image = imagenet.whole_image(decode_image(encoded), side, side)
        return {'image': image, 'label': source.label(record)}

    return Rows(decode, lambda size: batch_specs.training_row(source.label_kind, data))


def _training_maps(source, data, seed):
    def decode(record):
        image, label = map_crops.training_example(
            source.read(record),
            source.label(record),
            _key(seed, record),
            crop_px=data.crop_px,
            scale=data.scale,
            rotation_degrees=data.rotation_degrees,
        )
        return {'image': image, 'label': label}

    return Rows(decode, lambda size: batch_specs.training_row('maps', data))


def _key(seed, record):
    """Returns the key of a record's draws, int64 [2]."""
    return tf.stack([tf.constant(seed, tf.int64), record['index']])


def _evaluation_images(source, data, crops, whole_maps):
    del whole_maps

    def decode(record):
        image = decode_image(source.read(record))
        return {'image': _cut(image, data, crops), 'label': source.label(record)}

    return Rows(decode, lambda size: batch_specs.evaluation_row('classes', data, crops=crops))


def _evaluation_boxes(source, data, crops, whole_maps):
    whole_maps = whole_maps and data.crop  # else images are whole anyway, and have one size
    if whole_maps and data.resize_px % 8:
        raise InputError(
            f'config.data.resize_px is {data.resize_px}; for maps of whole images, '
            'whose sides are eighths of it, give a multiple of 8',
            field='config.data.resize_px',
        )

    def decode(record):
        image = decode_image(source.read(record))
        row = {'image': _cut(image, data, crops), 'label': source.label(record)}
        return row | _boxes_and_maps(source, data, record, image, whole_maps)

    def entries(size):
        return batch_specs.evaluation_row(
            'boxes',
            data,
            crops=crops,
            size=size,
            box_places=source.box_places,
            masks=source.masks,
        )

    return Rows(decode, entries, _add_map_size(source, data) if whole_maps else None)


def _evaluation_maps(source, data, crops, whole_maps):
    del crops, whole_maps
    resized = tuple(data.evaluation_size)
    common = resized if any(resized) else source.image_size

    def decode(record):
        image, label = map_crops.whole_example(
            source.read(record), source.label(record), size=resized
        )
        if not any(resized):  # a file of another size must not cost its whole batch
            tf.debugging.assert_equal(tf.shape(label, tf.int64), record['size'])
        return {'image': image, 'label': label}

    return Rows(
        decode,
        lambda size: batch_specs.evaluation_row('maps', data, size=common or size),
        None if common else lambda record: record,  # which has its size already
    )


ROW_MAKERS = {
    'classes': RowMaker(_training_images, _evaluation_images),
    'boxes': RowMaker(_training_images, _evaluation_boxes),
    'maps': RowMaker(_training_maps, _evaluation_maps),
}


def _cut(image, data, crops):
    """Cuts what the network sees out of an image."""
    if not data.crop:
        return imagenet.whole_image(image, data.image_size, data.image_size)
    return imagenet.evaluation_crops(image, size=data.image_size, short=data.resize_px, crops=crops)


def _boxes_and_maps(source, data, record, image, whole_maps):
    """Returns what a row of a data set with boxes has besides image and label.

    Boxes are clipped to the original image, and zeros where nothing is left of them.
    """
    height, width, _ = tf.unstack(tf.shape(image))
    ends = tf.cast(tf.stack([height, width, height, width]), tf.float32)
    boxes = tf.clip_by_value(source.read_boxes(record, height, width), 0.0, ends)
    has_area = tf.reduce_all(boxes[:, 2:] > boxes[:, :2], axis=1, keepdims=True)
    row, mapped = {'boxes': tf.where(has_area, boxes, 0.0)}, (data.image_size, data.image_size)
    if whole_maps:
        mapped = tf.unstack(tf.cast(record['size'], tf.int32))  # that of its batch
        row['whole'] = imagenet.whole_image(image, *mapped)
    if data.crop and not whole_maps:
        geometry = imagenet.central_geometry(
            height, width, size=data.image_size, short=data.resize_px
        )
    else:
        geometry = Geometry(height, width, *mapped, 0, 0)
    if source.masks:
        resized = geometry.resized_height, geometry.resized_width
        mask = tf.image.resize(source.read_object(record)[..., None], resized, 'nearest')
        row['object'] = tf.image.crop_to_bounding_box(mask, geometry.top, geometry.left, *mapped)[
            ..., 0
        ]
    return {**row, 'geometry': tf.stack([tf.cast(length, tf.int32) for length in geometry])}


def _add_map_size(source, data):
    """Returns the function that adds to a record the size of the whole image that maps are made of.

    Only the head of an upright JPEG file is read for it. What cannot be read joins the square
    images, and is left out where these are decoded.
    """

    def size(record):
        encoded = source.read(record)
        shape = tf.cond(
            is_upright_jpeg(encoded),
            lambda: tf.io.extract_jpeg_shape(encoded),
            lambda: tf.shape(decode_image(encoded)),
        )
        return tf.cast(tf.stack(imagenet.few_shapes(shape[0], shape[1], data.resize_px)), tf.int64)

    square = tf.data.Dataset.from_tensors(tf.constant([data.resize_px] * 2, tf.int64))

    def add(record):
        read = tf.data.Dataset.from_tensors(record).map(size).ignore_errors()
        return {**record, 'size': read.concatenate(square).take(1).get_single_element()}

    return add
