"""Decodes records in parallel into batches in which no unreadable image shifts another."""

import logging
import os
import weakref
from collections.abc import Iterator

import numpy as np

from drn_jax import buckets
from drn_jax.data import image_files
from drn_jax.data.batch_specs import MARKS, Batch
from drn_jax.data.cpu_tensorflow import tf
from drn_jax.data.row_makers import Rows
from drn_jax.data.source import Source
from drn_jax.errors import InputError

_logger = logging.getLogger(__name__)
_NAMED = 5  # files that an error names


class DecodedBatches(Iterator[Batch]):
    """Iterates over batches of decoded images.

    The images of a batch are decoded by a small tf.data pipeline of their own, which leaves out
    what it cannot decode. Here such rows come back as blank rows with mask False, as do rows beyond
    the last image. A pipeline for a batch costs little; one for each image would cost a fifth of
    its decoding.

    Args:
        records: tf.data.Dataset of dicts of rows: what `Source.records` gives, and index, int64.
        made: how rows are decoded, and what those hold that have no image.
        rows: of every batch.
        first_row: which rows of each element of `records` are decoded: at most `rows` from here on.
        steps: number of batches, padding where the records end before; None: as the records.
        named: whether batches have `name`.
        threads: images decoded at once; 0: as many as there are cores.
        source, split: what the records were read from.
        max_unreadable_fraction: of the split's images; when more cannot be read, the iteration
            raises InputError.

    Attributes:
        unreadable: the images that could not be read so far, {name: index}.
    """

    def __init__(
        self,
        records: tf.data.Dataset,
        made: Rows,
        *,
        rows: int,
        first_row: int = 0,
        steps: int | None = None,
        named: bool = False,
        threads: int,
        source: Source,
        split: str,
        max_unreadable_fraction: float,
    ):
        self.unreadable: dict[str, int] = {}
        self._entries = made.entries
        self._rows, self._steps_left, self._named = rows, steps, named
        self._source, self._split, self._max_share = source, split, max_unreadable_fraction

        def decode_rows(batch):
            part = {key: values[first_row : first_row + rows] for key, values in batch.items()}
            blank = _blank_row(made.entries(tf.unstack(batch['size'][0]) if made.sized else None))
            return _decode_batch(part, made.decode, blank, threads or os.cpu_count())

        decoded = records.prefetch(1).map(
            decode_rows,
            num_parallel_calls=2,  # one batch begins while the last images of another are decoded
            deterministic=True,
        )
        self._decoded = [decoded.prefetch(2).as_numpy_iterator()]
        # Before Python ends, because its threads would wait for Python's lock for ever.
        weakref.finalize(self, self._decoded.clear)

    def __next__(self) -> Batch:
        if self._steps_left is not None:
            if not self._steps_left:
                raise StopIteration
            self._steps_left -= 1
        try:
            decoded = next(self._decoded[0], None)
        except (tf.errors.DataLossError, tf.errors.NotFoundError) as error:  # not of one image
            cause = error.message.split('}} ')[-1].split(' [Op:')[0]  # without TensorFlow's frame
            raise InputError(
                f'the files of split {self._split!r} of {self._source.name!r} are damaged: '
                f'{cause}; prepare the data set again',
                field='config.data.data_dir',
            ) from error
        except tf.errors.ResourceExhaustedError as error:
            raise InputError(
                f'a batch of {self._rows} images does not fit into the memory of this '
                'machine; give smaller batches or smaller images'
            ) from error
        if decoded is None and self._steps_left is None:
            raise StopIteration
        return self._complete(decoded or self._no_images())

    def _complete(self, decoded):
        """Returns a batch of all rows, of what `_decode_batch` gives."""
        row, index = decoded['row'][:-1], decoded['index'].astype(np.uint32)
        batch = {key: values[:-1] for key, values in decoded['decoded'].items()}
        batch |= {'mask': np.ones(len(row), bool), 'index': index[row]}
        if len(row) < self._rows:
            self._report(np.delete(decoded['name'], row), np.delete(index, row))
            blank = {key: values[-1] for key, values in decoded['decoded'].items()}
            blank |= {key: entry.dtype(entry.fill) for key, entry in MARKS.items()}
            for key, values in batch.items():
                batch[key] = np.repeat(blank[key][None], self._rows, 0)
                batch[key][row] = values
            batch['index'][: len(index)] = index
        if self._named:
            names = [name.decode(errors='replace') for name in decoded['name']]
            batch['name'] = np.array(names + [''] * (self._rows - len(names)), object)
        return batch

    def _no_images(self):
        """Returns what `_decode_batch` would of no records."""
        blank = _blank_row(self._entries(None))
        return {
            'row': np.zeros(1, int),
            'index': np.zeros(0),
            'name': np.zeros(0, object),
            'decoded': {key: np.asarray(value)[None] for key, value in blank.items()},
        }

    def _report(self, names, indices):
        """Remembers images that could not be read, and raises InputError when they are too many."""
        for name, index in zip(names, indices):
            name = name.decode(errors='replace')
            if name not in self.unreadable:
                self._check_storage(name)
                _logger.warning('%s of %s cannot be read: left out', name, self._source.name)
                self.unreadable[name] = int(index)
        self.check_unreadable(len(self.unreadable), list(self.unreadable))

    def _check_storage(self, name):
        """Raises StorageError where an image in Cloud Storage is whole, but could not be had."""
        file = self._source.file_of(name)
        if not buckets.is_cloud(file):
            return
        try:
            image_files.read_image(file)
        except InputError as error:
            if isinstance(error, buckets.StorageError):
                raise
            return
        raise buckets.StorageError(
            f'{file} could not be read a moment ago; give the same command again', path=file
        )

    def check_unreadable(self, number: int, names: list[str]) -> None:
        """Raises InputError when so many images, of which some are named, are too many."""
        count = self._source.num_examples(self._split)
        if number > self._max_share * count:
            raise InputError(
                f'{number} of the {count} images of split {self._split!r} of '
                f'{self._source.name!r} cannot be read, which is more than a share of '
                f'{self._max_share:g}: {", ".join(names[:_NAMED])}'
                f'{", ..." if number > _NAMED else ""}; '
                'repair these files, or raise config.data.max_unreadable_fraction',
                field='config.data.max_unreadable_fraction',
            )


def _blank_row(entries):
    """Returns a row that has no image, a dict of tensors."""
    return {
        key: tf.zeros(entry.shape, entry.dtype) + tf.constant(entry.fill, entry.dtype)
        for key, entry in entries.items()
    }


def _decode_batch(batch, decode, blank, threads):
    """Decodes the images of a batch in parallel.

    Returns:
        Dict of tensors: name, string [B], and index, int64 [B], of all rows; row, int64 [G + 1],
        and decoded, what `decode` gives, [G + 1, ...] each, of the G rows that could be decoded,
        and of one more, `blank`, without which there would be no batch where G is 0.
    """
    size = tf.size(batch['name'], tf.int64)
    rows = tf.data.Dataset.from_tensor_slices(batch).enumerate()
    rows = rows.map(
        lambda row, record: {'row': row, 'decoded': decode(record)},
        num_parallel_calls=threads,
        deterministic=True,
    ).ignore_errors()
    rows = rows.concatenate(
        tf.data.Dataset.from_tensors({'row': tf.zeros([], tf.int64), 'decoded': blank})
    )
    decoded = rows.batch(size + 1).get_single_element()
    return {**decoded, 'name': batch['name'], 'index': batch['index']}
