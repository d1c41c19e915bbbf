"""What a data set offers to the pipeline: its classes, its splits and undecoded records."""
import abc

import tensorflow as tf
import tensorflow_datasets as tfds

from drn_jax.errors import InputError


class Source(abc.ABC):
    """An image classification data set whose records can be read in a fixed order.

    A split is named as TFDS names it: `train`, a part such as `train[:90%]` or `train[5000:]`, or
    a sum such as `train+tune`.

    Attributes:
        name: as `config.data.name` gives it.
        class_names: names of the classes, tuple of str; a label is an index into it.
        splits: TFDS's description of the whole splits, {name: tfds.core.SplitInfo}.
    """
    name: str
    class_names: tuple[str, ...]
    splits: tfds.core.SplitDict

    @property
    def num_classes(self):
        """Number of classes, int."""
        return len(self.class_names)

    def num_examples(self, split):
        """Counts the images of a split.

        Args:
            split: str, see Source.

        Returns:
            int, at least 1.

        Raises:
            InputError: there is no such split, or nothing in it.
        """
        return sum(stop - start for _, start, stop in self._parts(split))

    def records(self, split, start, stop):
        """Reads positions `start` to `stop` of a split in a fixed order, without decoding.

        Args:
            split: str, see Source.
            start, stop: positions in the split, 0 <= start <= stop <= num_examples(split).

        Returns:
            A tf.data.Dataset of dicts: image, string, what `read` makes encoded bytes of; label,
            int32; name, string, what messages call this image.

        Raises:
            InputError: there is no such split, or nothing in it.
        """
        none = tf.constant([], tf.string)
        records = tf.data.Dataset.from_tensor_slices(
            {'image': none, 'label': tf.constant([], tf.int32), 'name': none})
        for whole, first, last in self._parts(split):
            low, high = first + max(start, 0), min(first + stop, last)
            if low < high:
                records = records.concatenate(self._whole_split_records(whole, low, high))
            start, stop = start - (last - first), stop - (last - first)
        return records

    def read(self, record):
        """Fetches the encoded bytes of a record; called where images are decoded in parallel.

        Args:
            record: dict of tensors, one element of `records`.

        Returns:
            The image's encoded bytes, tf.string [].
        """
        return record['image']

    @abc.abstractmethod
    def _whole_split_records(self, split, start, stop):
        """Gives what `records` does, for a whole split and start < stop."""

    def _parts(self, split):
        """Resolves a split: list of (name of a whole split, start, stop), start < stop."""
        sizes = {name: self.splits[name].num_examples for name in self.splits}
        try:
            parts = [
                (part.splitname, part.from_ or 0,
                 sizes[part.splitname] if part.to is None else part.to)
                for part in tfds.core.ReadInstruction.from_spec(split).to_absolute(self.splits)]
        except (ValueError, NotImplementedError):  # TFDS's, for whatever it cannot resolve
            parts = []
        parts = [part for part in parts if part[1] < part[2]]
        if not parts:
            known = ', '.join(f'{name} ({size} images)' for name, size in sizes.items())
            raise InputError(f'split {split!r} of {self.name!r} is unknown or empty; known are '
                             f'{known} and parts of them such as {next(iter(sizes))}[:90%]')
        return parts
