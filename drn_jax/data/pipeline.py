"""Batches for training and for evaluation: which images, in which order."""

import ml_collections

from drn_jax.data.cpu_tensorflow import tf
from drn_jax.data.decoded_batches import DecodedBatches
from drn_jax.data.row_makers import ROW_MAKERS
from drn_jax.data.source import Source
from drn_jax.errors import InputError


def training_batches(
    source: Source,
    data: ml_collections.ConfigDict,
    *,
    batch_size: int,
    seed: int,
    first_step: int = 0,
    rows: tuple[int, int] | None = None,
) -> DecodedBatches:
    """Returns the endless stream of training batches, from any step on, for any block of rows.

    The split is cut into S = data.shards slices. Slice i, shuffled anew for every epoch, fills
    rows i * B / S to (i + 1) * B / S of every global batch. So what a row holds is a function of
    (seed, step, S) alone. To start later, the rest of that epoch is read and nothing decoded.

    Args:
        source: the data set.
        data: `config.data`, which `fields.check` has accepted.
        batch_size: B, rows of the global batch, a multiple of S.
        seed: of the order and of the crops.
        first_step: step of the first batch, at least 0.
        rows: (start, stop), which rows of the global batch to give, whole blocks of B / S; None:
            all of them.

    Returns:
        Batches without end, as `batch_specs.training_batch` has them; index is step * B + row of
        the global batch.

    Raises:
        InputError: batch or rows are no whole blocks, or the split is unknown or has fewer images
            than S; in iterating, too many images cannot be read.
    """
    shards, split = data.shards, data.train_split
    block = batch_size // shards
    start, stop = (0, batch_size) if rows is None else rows
    if batch_size % shards or start % block or stop % block or not 0 <= start < stop <= batch_size:
        raise InputError(
            f'rows {start} to {stop} of a batch of {batch_size} are no whole blocks '
            f'of {batch_size / shards:g} rows; let config.data.shards {shards} be a multiple of '
            'the number of processes',
            field='config.data.shards',
        )
    slices = [
        _endless_slice(source, data, number, seed, first_step * block)
        for number in range(start // block, stop // block)
    ]
    blocks = tf.data.Dataset.range(stop - start).map(lambda row: row // block).repeat()
    records = tf.data.Dataset.choose_from_datasets(slices, blocks).batch(stop - start)

    def add_index(step, batch):
        return {**batch, 'index': step * batch_size + tf.range(start, stop, dtype=tf.int64)}

    return DecodedBatches(
        records.enumerate(first_step).map(add_index),
        ROW_MAKERS[source.label_kind].training(source, data, seed),
        rows=stop - start,
        threads=data.threads,
        source=source,
        split=split,
        max_unreadable_fraction=data.max_unreadable_fraction,
    )


def evaluation_batches(
    source: Source,
    data: ml_collections.ConfigDict,
    *,
    batch_size: int,
    crops: int = 1,
    whole_maps: bool = False,
    split: str | None = None,
    process: tuple[int, int] = (0, 1),
) -> DecodedBatches:
    """Returns every image of a split exactly once, in a fixed order.

    Process i of P takes positions i * n / P to (i + 1) * n / P of n, and all processes give equally
    many batches of equally many rows, padded. Where sizes differ it takes rows i * R to (i + 1) * R
    of every batch, and reads the records of the others without decoding them.

    Images with label maps come whole, resized to data.evaluation_size where that is not (0, 0).
    Where their sizes differ, a batch holds images of one size: it comes when it is full, and what
    is left of each size comes last, smaller sizes first, each padded to a batch.

    Args:
        source: the data set.
        data: `config.data`, which `fields.check` has accepted.
        batch_size: rows of the global batch, a multiple of P.
        crops: 1, or 10 for five, of which the other five are mirror images; without label maps.
        whole_maps: for boxes, whether rows have the whole image too, in one of few sizes.
        split: name of the split; None: data.validation_split.
        process: i and P, the number of this process and how many there are.

    Returns:
        Batches of batch_size / P rows, as `batch_specs.evaluation_row` has them. Five crops are
        central, top left, top right, bottom left, bottom right; index is the position in the
        split, 0 in padding.

    Raises:
        InputError: the split is unknown, or batch_size or sizes do not fit; in iterating, too many
            images cannot be read.
    """
    split = split or data.validation_split
    number, processes = process
    if batch_size < 1 or batch_size % processes:
        raise InputError(
            f'evaluation batch size {batch_size} does not divide by {processes} '
            'processes; use a multiple of it',
            field='config.evaluation.batch_size',
        )
    made = ROW_MAKERS[source.label_kind].evaluation(source, data, crops, whole_maps)
    rows, count = batch_size // processes, source.num_examples(split)
    start, stop = (
        (0, count)
        if made.sized
        else (number * count // processes, (number + 1) * count // processes)
    )
    records = source.records(split, start, stop).enumerate(start)
    records = records.map(lambda index, record: {**record, 'index': index})
    if made.sized:
        records = records.map(made.sized, num_parallel_calls=tf.data.AUTOTUNE).group_by_window(
            lambda record: record['size'][0] * 2**32 + record['size'][1],
            lambda _, group: group.batch(batch_size),
            window_size=batch_size,
        )
    else:
        records = records.batch(rows)
    largest_share = -(-count // processes)
    return DecodedBatches(
        records,
        made,
        rows=rows,
        first_row=number * rows if made.sized else 0,
        steps=None if made.sized else -(-largest_share // rows),
        named=True,
        threads=data.threads,
        source=source,
        split=split,
        max_unreadable_fraction=data.max_unreadable_fraction,
    )


def _endless_slice(source, data, number, seed, begin):
    """Reads slice `number` of the training split epoch after epoch, from its record `begin` on."""
    shards, split = data.shards, data.train_split
    count = source.num_examples(split)
    start, stop = number * count // shards, (number + 1) * count // shards
    if start == stop:
        raise InputError(
            f'split {split!r} of {source.name!r} has {count} images, fewer than '
            f'config.data.shards {shards}; use fewer shards',
            field='config.data.shards',
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
