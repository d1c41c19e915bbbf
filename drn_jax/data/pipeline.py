"""Batches for training and for evaluation: which images, in which order, cut how."""
import tensorflow as tf

from drn_jax.data import imagenet
from drn_jax.data.batches import Batches
from drn_jax.errors import InputError


def training_batches(source, data, *, batch_size, seed, first_step=0, rows=None):
    """Gives the endless stream of training batches, from any step on, for any block of rows.

    The split is cut into S = data.streams slices. Slice i, shuffled anew for every epoch, fills
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
        Batches without end: image, uint8 [R, size, size, 3], RGB; label, int32 [R]; mask, bool [R],
        False where the image cannot be read; index, uint32 [R], step * B + row of the global batch.

    Raises:
        InputError: batch_size or rows do not fit S, or the split is unknown or has fewer images
            than S; in iterating, too many images cannot be read.
    """
    streams, split = data.streams, data.train_split
    if streams < 1 or batch_size < 1:
        raise InputError(f'batch size {batch_size} and config.data.streams {streams} must both be '
                         'at least 1')
    if data.crop:
        _check_range('crop_area', data.crop_area, 1)
        _check_range('crop_ratio', data.crop_ratio, float('inf'))
    if batch_size % streams:
        raise InputError(f'batch size {batch_size} does not divide by config.data.streams '
                         f'{streams}; use a multiple of it')
    block = batch_size // streams
    start, stop = (0, batch_size) if rows is None else rows
    if start % block or stop % block or not 0 <= start < stop <= batch_size:
        raise InputError(f'rows {start} to {stop} of a batch of {batch_size} are no whole blocks '
                         f'of {block} rows; let config.data.streams {streams} be a multiple of the '
                         'number of processes')
    slices = [_endless_slice(source, data, number, seed, first_step * block)
              for number in range(start // block, stop // block)]
    blocks = tf.data.Dataset.range(stop - start).map(lambda row: row // block).repeat()
    records = tf.data.Dataset.choose_from_datasets(slices, blocks).batch(stop - start)

    def add_index(step, batch):
        return {**batch, 'index': step * batch_size + tf.range(start, stop, dtype=tf.int64)}

    def decode(record):
        if not data.crop:
            return imagenet.whole_image(source.read(record), size=data.image_size)
        return imagenet.training_image(
            source.read(record), tf.stack([tf.constant(seed, tf.int64), record['index']]),
            size=data.image_size, area=data.crop_area, ratio=data.crop_ratio)

    return Batches(
        records.enumerate(first_step).map(add_index), decode,
        image_shape=(data.image_size, data.image_size, 3), rows=stop - start, threads=data.threads,
        source=source, split=split, max_unreadable_share=data.max_unreadable_share)


def evaluation_batches(source, data, *, batch_size, crops=1, split=None, process=(0, 1)):
    """Gives every image of a split exactly once, in a fixed order.

    Process i of P takes positions i * n / P to (i + 1) * n / P of n, and all processes give equally
    many batches of equally many rows, padded.

    Args:
        source: a Source.
        data: `config.data`.
        batch_size: rows of the global batch, a multiple of P.
        crops: 1, or 10 for five, of which the other five are mirror images.
        split: name of the split, str; None: data.validation_split.
        process: i and P, the number of this process and how many there are.

    Returns:
        Batches: image, uint8 [R, size, size, 3], RGB, or [R, 5, size, size, 3], central, top left,
        top right, bottom left, bottom right; label, int32 [R]; mask, bool [R], False in padding and
        where the image cannot be read; index, uint32 [R], position in the split, 0 in padding. R is
        batch_size / P.

    Raises:
        InputError: the split is unknown, or batch_size, crops or sizes do not fit; in iterating,
            too many images cannot be read.
    """
    split = split or data.validation_split
    number, processes = process
    if batch_size < 1 or batch_size % processes:
        raise InputError(f'evaluation batch size {batch_size} does not divide by {processes} '
                         'processes; use a multiple of it')
    if crops not in (1, 10):
        raise InputError(f'{crops} crops were asked for; 1 and 10 are known')
    if crops == 10 and not data.crop:
        raise InputError('10 crops were asked for, but config.data.crop is False, whole images; '
                         'use 1 crop')
    if data.crop and data.resize_px < data.image_size:
        raise InputError(f'config.data.resize_px {data.resize_px} is less than '
                         f'config.data.image_size {data.image_size}, so crops do not fit; use at '
                         'least that')
    rows, count = batch_size // processes, source.num_examples(split)
    start, stop = number * count // processes, (number + 1) * count // processes
    largest_share = -(-count // processes)

    def decode(record):
        if not data.crop:
            return imagenet.whole_image(source.read(record), size=data.image_size)
        return imagenet.evaluation_crops(source.read(record), size=data.image_size,
                                         short=data.resize_px, crops=crops)

    records = source.records(split, start, stop).enumerate(start)
    records = records.map(lambda index, record: {**record, 'index': index}).batch(rows)
    crop_shape = (data.image_size, data.image_size, 3)
    return Batches(
        records, decode, image_shape=crop_shape if crops == 1 else (5, *crop_shape), rows=rows,
        steps=-(-largest_share // rows), threads=data.threads, source=source, split=split,
        max_unreadable_share=data.max_unreadable_share)


def _endless_slice(source, data, number, seed, begin):
    """Reads slice `number` of the training split epoch after epoch, from its record `begin` on."""
    streams, split = data.streams, data.train_split
    count = source.num_examples(split)
    start, stop = number * count // streams, (number + 1) * count // streams
    if start == stop:
        raise InputError(f'split {split!r} of {source.name!r} has {count} images, fewer than '
                         f'config.data.streams {streams}; use fewer streams')
    records = source.records(split, start, stop)

    def shuffled(epoch):
        # Negative where crops have their index, so that no two draws share a key.
        key = tf.stack([tf.constant(seed, tf.int64), -1 - (epoch * streams + number)])
        return records.shuffle(
            max(1, data.shuffle_buffer // streams), reshuffle_each_iteration=False,
            seed=tf.random.stateless_uniform([], key, 0, tf.int64.max, tf.int64, alg='philox'))

    first_epoch, done = divmod(begin, stop - start)
    return tf.data.Dataset.range(first_epoch, tf.int64.max).flat_map(shuffled).skip(done)


def _check_range(name, limits, largest):
    """Refuses what is no least and largest value above 0."""
    if len(limits) != 2 or not 0 < limits[0] <= limits[1] <= largest:
        raise InputError(f'config.data.{name} is {limits}; give a least and a largest value, '
                         f'above 0{f" and at most {largest}" if largest == 1 else ""}')
