"""Batches for training and for evaluation: which images, in which order, cut how."""

import tensorflow as tf

from drn_jax.data import imagenet, map_crops
from drn_jax.data.batches import Batches
from drn_jax.errors import InputError


def training_batches(source, data, *, batch_size, seed, first_step=0, rows=None):
    """Returns the endless stream of training batches, from any step on, for any block of rows.

    The split is cut into S = data.shards slices. Slice i, shuffled anew for every epoch, fills
    rows i * B / S to (i + 1) * B / S of every global batch. So what a row holds is a function of
    (seed, step, S) alone. To start later, the rest of that epoch is read and nothing decoded.

    Args:
        source: a Source.
        data: `config.data`.
        batch_size: B, rows of the global batch, a multiple of S.
        seed: of the order and of the crops, int.
        first_step: step of the first batch, at least 0.
        rows: (start, stop), which rows of the global batch to give, whole blocks of B / S; None:
            all of them.

    Returns:
        Batches without end: image, uint8 [R, size, size, 3], RGB; label, int32 [R], or for label
        maps uint8 [R, size, size], 255 where there is no class; mask, bool [R], False where the
        image cannot be read; index, uint32 [R], step * B + row of the global batch.

    Raises:
        InputError: batch_size or rows do not fit S, or the split is unknown or has fewer images
            than S; in iterating, too many images cannot be read.
    """
    shards, split = data.shards, data.train_split
    if shards < 1 or batch_size < 1:
        raise InputError(
            f'batch size {batch_size} and config.data.shards {shards} must both be at least 1'
        )
    if batch_size % shards:
        raise InputError(
            f'batch size {batch_size} does not divide by config.data.shards '
            f'{shards}; use a multiple of it'
        )
    decode, blank = _training_rows(source, data, seed)
    block = batch_size // shards
    start, stop = (0, batch_size) if rows is None else rows
    if start % block or stop % block or not 0 <= start < stop <= batch_size:
        raise InputError(
            f'rows {start} to {stop} of a batch of {batch_size} are no whole blocks '
            f'of {block} rows; let config.data.shards {shards} be a multiple of the '
            'number of processes'
        )
    slices = [
        _endless_slice(source, data, number, seed, first_step * block)
        for number in range(start // block, stop // block)
    ]
    blocks = tf.data.Dataset.range(stop - start).map(lambda row: row // block).repeat()
    records = tf.data.Dataset.choose_from_datasets(slices, blocks).batch(stop - start)

    def add_index(step, batch):
        return {**batch, 'index': step * batch_size + tf.range(start, stop, dtype=tf.int64)}

    return Batches(
        records.enumerate(first_step).map(add_index),
        decode,
        blank=blank,
        rows=stop - start,
        threads=data.threads,
        source=source,
        split=split,
        max_unreadable_fraction=data.max_unreadable_fraction,
    )


def evaluation_batches(
    source, data, *, batch_size, crops=1, whole_maps=False, split=None, process=(0, 1)
):
    """Returns every image of a split exactly once, in a fixed order.

    Process i of P takes positions i * n / P to (i + 1) * n / P of n, and all processes give equally
    many batches of equally many rows, padded. Where sizes differ it takes rows i * R to (i + 1) * R
    of every batch, and reads the records of the others without decoding them.

    Images with label maps come whole, resized to data.evaluation_size where that is not (0, 0).
    Where their sizes differ, a batch holds images of one size: it comes when it is full, and what
    is left of each size comes last, smaller sizes first, each padded to a batch.

    Args:
        source: a Source.
        data: `config.data`.
        batch_size: rows of the global batch, a multiple of P.
        crops: 1, or 10 for five, of which the other five are mirror images; for classes only.
        whole_maps: for boxes, whether rows have the whole image too, in one of few sizes.
        split: name of the split, str; None: data.validation_split.
        process: i and P, the number of this process and how many there are.

    Returns:
        Batches: image, uint8 [R, size, size, 3], RGB, or [R, 5, size, size, 3], central, top left,
        top right, bottom left, bottom right; label, int32 [R]; mask, bool [R], False in padding and
        where the image cannot be read; index, uint32 [R], position in the split, 0 in padding;
        name, str objects [R], what messages call the image, '' in padding. R is batch_size / P.
        For label maps, image is uint8 [R, H, W, 3], and label uint8 [R, H, W], 255 where there is
        no class and in padding. For boxes, there are boxes, float32 [R, N, 4], in pixels, zeros
        where an image has fewer; geometry, int32 [R, 6], see `imagenet.central_geometry`; perhaps
        whole, uint8 [R, H, W, 3]; and perhaps object, uint8, 0 beside the object, of the height and
        width of the image that maps are made of.

    Raises:
        InputError: the split is unknown, or batch_size, crops or sizes do not fit; in iterating,
            too many images cannot be read.
    """
    split = split or data.validation_split
    number, processes = process
    if batch_size < 1 or batch_size % processes:
        raise InputError(
            f'evaluation batch size {batch_size} does not divide by {processes} '
            'processes; use a multiple of it'
        )
    whole_maps = whole_maps and data.crop  # else images are whole anyway, and have one size
    several_sizes = whole_maps or source.label_kind == 'maps' and not _map_size(source, data)
    if whole_maps:
        _check_whole_maps(data)
    decode, blank = _evaluation_rows(source, data, crops)
    rows, count = batch_size // processes, source.num_examples(split)
    start, stop = (
        (0, count)
        if several_sizes
        else (number * count // processes, (number + 1) * count // processes)
    )
    largest_share = -(-count // processes)

    records = source.records(split, start, stop).enumerate(start)
    records = records.map(lambda index, record: {**record, 'index': index})
    if whole_maps:
        records = records.map(_add_map_size(source, data), num_parallel_calls=tf.data.AUTOTUNE)
    if several_sizes:
        records = records.group_by_window(
            lambda record: record['size'][0] * 2**32 + record['size'][1],
            lambda _, group: group.batch(batch_size),
            window_size=batch_size,
        )
    else:
        records = records.batch(rows)
    return Batches(
        records,
        decode,
        blank=blank,
        rows=rows,
        first_row=number * rows if several_sizes else 0,
        steps=None if several_sizes else -(-largest_share // rows),
        named=True,
        threads=data.threads,
        source=source,
        split=split,
        max_unreadable_fraction=data.max_unreadable_fraction,
    )


def _training_rows(source, data, seed):
    """Returns the functions that make a row of a training batch: `decode` and `blank` of Batches."""

    def key(record):
        return tf.stack([tf.constant(seed, tf.int64), record['index']])

    def crop(record):
        if not data.crop:
            image = imagenet.whole_image(
                imagenet.decode_image(source.read(record)), data.image_size, data.image_size
            )
        else:
            image = imagenet.training_image(
                source.read(record),
                key(record),
                size=data.image_size,
                area=data.crop_area,
                ratio=data.crop_ratio,
            )
        return {'image': image, 'label': source.read_label(record)}

    def crop_both(record):
        image, label = map_crops.training_example(
            source.read(record),
            source.read_label(record),
            key(record),
            crop_px=data.crop_px,
            scale=data.scale,
            rotation_degrees=data.rotation_degrees,
        )
        return {'image': image, 'label': label}

    if source.label_kind == 'maps':
        _check_range('scale', data.scale, float('inf'))
        if data.crop_px < 1 or data.rotation_degrees < 0:
            raise InputError(
                f'config.data.crop_px {data.crop_px} must be at least 1, and '
                f'config.data.rotation_degrees {data.rotation_degrees} at least 0'
            )
        return crop_both, lambda batch: _blank_map(data.crop_px, data.crop_px)
    if data.crop:
        _check_range('crop_area', data.crop_area, 1)
        _check_range('crop_ratio', data.crop_ratio, float('inf'))
    return crop, lambda batch: _blank_class(data.image_size, data.image_size, 3)


def _evaluation_rows(source, data, crops):
    """Returns the functions that make a row in evaluation: `decode` and `blank` of Batches."""

    def cut(record):
        image = imagenet.decode_image(source.read(record))
        row = {'label': source.read_label(record)}
        if source.label_kind == 'boxes':
            row |= _boxes_and_maps(source, data, record, image)
        if not data.crop:
            return {**row, 'image': imagenet.whole_image(image, data.image_size, data.image_size)}
        return {
            **row,
            'image': imagenet.evaluation_crops(
                image, size=data.image_size, short=data.resize_px, crops=crops
            ),
        }

    def whole(record):
        image, label = map_crops.whole_example(
            source.read(record), source.read_label(record), size=tuple(data.evaluation_size)
        )
        if not any(data.evaluation_size):  # a file of another size must not cost its whole batch
            tf.debugging.assert_equal(tf.shape(label, tf.int64), record['size'])
        return {'image': image, 'label': label}

    if source.label_kind == 'maps':
        size = _map_size(source, data)
        return whole, lambda batch: _blank_map(*(size or tf.unstack(batch['size'][0])))
    if crops not in (1, 10):
        raise InputError(f'{crops} crops were asked for; 1 and 10 are known')
    if crops == 10 and not data.crop:
        raise InputError(
            '10 crops were asked for, but config.data.crop is False, whole images; use 1 crop'
        )
    if data.crop and data.resize_px < data.image_size:
        raise InputError(
            f'config.data.resize_px {data.resize_px} is less than '
            f'config.data.image_size {data.image_size}, so crops do not fit; use at '
            'least that'
        )
    several = (5,) * (crops == 10)

    def blank(batch):
        row = _blank_class(*several, data.image_size, data.image_size, 3)
        return row | (_blank_boxes(source, data, batch) if source.label_kind == 'boxes' else {})

    return cut, blank


def _boxes_and_maps(source, data, record, image):
    """Returns what a row of a data set with boxes has besides image and label.

    These are boxes, float32 [N, 4], in pixels of the original image and clipped to it, zeros where
    nothing is left of them; geometry, int32 [6], see `imagenet.central_geometry`; for maps of whole
    images whole, uint8 [H, W, 3]; and where the data set has masks object, uint8, of the size of
    the image that maps are made of.
    """
    height, width, _ = tf.unstack(tf.shape(image))
    ends = tf.cast(tf.stack([height, width, height, width]), tf.float32)
    boxes = tf.clip_by_value(source.read_boxes(record, height, width), 0.0, ends)
    has_area = tf.reduce_all(boxes[:, 2:] > boxes[:, :2], axis=1, keepdims=True)
    row, mapped = {'boxes': tf.where(has_area, boxes, 0.0)}, (data.image_size, data.image_size)
    if not data.crop:
        geometry = (height, width, *mapped, 0, 0)
    elif 'size' in record:
        mapped = tf.unstack(tf.cast(record['size'], tf.int32))  # that of its batch
        geometry = (height, width, *mapped, 0, 0)
        row['whole'] = imagenet.whole_image(image, *mapped)
    else:
        geometry = imagenet.central_geometry(
            height, width, size=data.image_size, short=data.resize_px
        )
    if source.masks:
        *resized, y, x = geometry[2:]
        mask = tf.image.resize(source.read_object(record)[..., None], resized, 'nearest')
        row['object'] = tf.image.crop_to_bounding_box(mask, y, x, *mapped)[..., 0]
    return {**row, 'geometry': tf.stack([tf.cast(length, tf.int32) for length in geometry])}


def _blank_boxes(source, data, batch):
    """Returns what `_boxes_and_maps` does of an image that is none."""
    mapped = [data.image_size] * 2
    row = {
        'boxes': tf.zeros([source.box_places, 4]),
        'geometry': tf.constant([1, 1, 1, 1, 0, 0], tf.int32),
    }
    if data.crop and batch is not None and 'size' in batch:
        mapped = tf.unstack(tf.cast(batch['size'][0], tf.int32))
        row['whole'] = tf.zeros([*mapped, 3], tf.uint8)
    if source.masks:
        row['object'] = tf.zeros(mapped, tf.uint8)
    return row


def _add_map_size(source, data):
    """Returns the function that adds to a record the size of the whole image that maps are made of.

    Only the head of a JPEG file is read for it. What cannot be read joins the square images, and is
    left out where these are decoded.
    """

    def size(record):
        encoded = source.read(record)
        shape = tf.cond(
            tf.io.is_jpeg(encoded),
            lambda: tf.io.extract_jpeg_shape(encoded),
            lambda: tf.shape(imagenet.decode_image(encoded)),
        )
        return tf.cast(tf.stack(imagenet.few_shapes(shape[0], shape[1], data.resize_px)), tf.int64)

    square = tf.data.Dataset.from_tensors(tf.constant([data.resize_px] * 2, tf.int64))

    def add(record):
        read = tf.data.Dataset.from_tensors(record).map(size).ignore_errors()
        return {**record, 'size': read.concatenate(square).take(1).get_single_element()}

    return add


def _check_whole_maps(data):
    """Refuses maps of whole images where they cannot be made."""
    if data.resize_px % 8:
        raise InputError(
            f'config.data.resize_px is {data.resize_px}; for maps of whole images, '
            'whose sides are eighths of it, give a multiple of 8'
        )


def _blank_class(*shape):
    """Returns the row of an image that is none, of a data set of classes."""
    return {'image': tf.zeros(shape, tf.uint8), 'label': tf.zeros([], tf.int32)}


def _blank_map(height, width):
    """Returns the row of an image that is none, of a data set of label maps."""
    return {
        'image': tf.zeros([height, width, 3], tf.uint8),
        'label': tf.fill([height, width], tf.constant(map_crops.IGNORED, tf.uint8)),
    }


def _map_size(source, data):
    """Returns the height and width that all images have in evaluation, or None."""
    size = tuple(data.evaluation_size)
    if len(size) != 2 or min(size) < 0 or (min(size) == 0) != (max(size) == 0):
        raise InputError(
            f'config.data.evaluation_size is {size}; give a height and a width in '
            'pixels, or (0, 0) for the images as they are'
        )
    return size if any(size) else source.image_size


def _endless_slice(source, data, number, seed, begin):
    """Reads slice `number` of the training split epoch after epoch, from its record `begin` on."""
    shards, split = data.shards, data.train_split
    count = source.num_examples(split)
    start, stop = number * count // shards, (number + 1) * count // shards
    if start == stop:
        raise InputError(
            f'split {split!r} of {source.name!r} has {count} images, fewer than '
            f'config.data.shards {shards}; use fewer shards'
        )
    records = source.records(split, start, stop)

    def shuffled(epoch):
        # Negative where crops have their index, so that no two draws share a key.
        key = tf.stack([tf.constant(seed, tf.int64), -1 - (epoch * shards + number)])
        return records.shuffle(
            max(1, data.shuffle_buffer // shards),
            reshuffle_each_iteration=False,
            seed=tf.random.stateless_uniform([], key, 0, tf.int64.max, tf.int64, alg='philox'),
        )

    first_epoch, done = divmod(begin, stop - start)
    return tf.data.Dataset.range(first_epoch, tf.int64.max).flat_map(shuffled).skip(done)


def _check_range(name, limits, largest):
    """Refuses what is no least and largest value above 0."""
    if len(limits) != 2 or not 0 < limits[0] <= limits[1] <= largest:
        raise InputError(
            f'config.data.{name} is {limits}; give a least and a largest value, '
            f'above 0{f" and at most {largest}" if largest == 1 else ""}'
        )
