"""What a data set offers to the pipeline: its classes, its splits and undecoded records."""

import abc
import copy
import functools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from drn_jax.cityscapes import IGNORE_LABEL
from drn_jax.data.cpu_tensorflow import tf
from drn_jax.errors import InputError

Record = dict[str, Any]  # tensors of an undecoded image, or of a row made of it


class Source(abc.ABC):
    """Images with a class or a label map each, whose records can be read in a fixed order.

    A split is named as TFDS names it: `train`, a part such as `train[:90%]` or `train[5000:]`, or
    a sum such as `train+tune`.

    Attributes:
        name: as `config.data.name` gives it.
        label_kind: 'classes', one for each image; 'boxes', one and boxes for each; or 'maps', one
            for each pixel.
        class_names: names of the classes, tuple of str; what `label` gives is an index into it.
        splits: TFDS's description of the whole splits, {name: tfds.core.SplitInfo}.
        palette: where labels are maps, the color of each class, tuple of (r, g, b) in 0..255.
        image_size: where labels are maps, height and width of all images, or None where they
            differ.
        mean_std: mean and standard deviation of each channel, white being 1, two tuples of three
            numbers, where the data set itself declares them; else None.
        box_places: where there are boxes, how many `read_boxes` gives for every image; known when
            a split was opened.
        masks: where there are boxes, whether there are pixels of objects too.
        present: names of the classes that it has, where `with_labels` gave it those of a network.
        remarks: what is odd about its files, sentences without ends.
    """

    name: str
    label_kind: str = 'classes'
    class_names: tuple[str, ...]
    splits: tfds.core.SplitDict
    palette: tuple[tuple[int, int, int], ...] = ()
    image_size: tuple[int, int] | None = None
    mean_std: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    box_places: int = 0
    masks: bool = False
    present: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    _places: Any = None

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    def num_examples(self, split: str) -> int:
        """Counts the images of a split.

        Args:
            split: see Source.

        Returns:
            At least 1.

        Raises:
            InputError: there is no such split, or nothing in it.
        """
        return sum(stop - start for _, start, stop in self._parts(split))

    def shared_examples(self, split: str, other: str) -> int:
        """Counts the images that two splits have in common.

        Args:
            split, other: see Source.

        Returns:
            0 where they have none.

        Raises:
            InputError: there is no such split, or nothing in it.
        """
        return sum(
            max(0, min(stop, last) - max(start, first))
            for whole, start, stop in self._parts(split)
            for other_whole, first, last in self._parts(other)
            if whole == other_whole
        )

    def class_counts(self, split: str) -> np.ndarray | None:
        """Counts the images of every class, or for label maps its pixels, where that is at hand.

        Args:
            split: see Source; of label maps, parts of a split count as all of it.

        Returns:
            int64 [num_classes]; None where images would have to be read.
        """
        del split
        return None

    def fingerprint(self, split: str) -> str:
        """Returns what changes when the images of a split do, as far as that is at hand.

        Args:
            split: see Source.

        Returns:
            The number of images, perhaps with digits that their files give.
        """
        return f'{self.num_examples(split)} images'

    def file_of(self, name: str) -> str:
        """Returns the file of an image by its name, '' where it is no file of its own."""
        del name
        return ''

    def known_images(self) -> Iterable[tuple[str, int, str]]:
        """Yields split, class and name of all images, where that is at hand, else nothing."""
        return ()

    def first_examples(self, split: str, count: int) -> str:
        """Names the first images of a split.

        Args:
            split: see Source.
            count: how many, at least 1.

        Returns:
            A split of that many images; `split` itself where it has no more.

        Raises:
            InputError: there is no such split, or nothing in it.
        """
        if self.num_examples(split) <= count:
            return split
        found = []
        for whole, start, stop in self._parts(split):
            stop = min(stop, start + count)
            found.append(f'{whole}[{start or ""}:{stop}]' if start < stop else '')
            count -= stop - start
        return '+'.join(filter(None, found))

    def records(self, split: str, start: int, stop: int) -> tf.data.Dataset:
        """Reads positions `start` to `stop` of a split in a fixed order, without decoding.

        Args:
            split: see Source.
            start, stop: positions in the split, 0 <= start <= stop <= num_examples(split).

        Returns:
            A tf.data.Dataset of dicts: image, string, what `read` makes encoded bytes of; label,
            what `read_label` makes a label of; name, string, what messages call this image; for
            label maps also size, int64 [2], height and width of the image.

        Raises:
            InputError: there is no such split, or nothing in it.
        """
        parts, found = self._parts(split), []
        for whole, first, last in parts:
            low, high = first + max(start, 0), min(first + stop, last)
            if low < high:
                found.append(self._whole_split_records(whole, low, high))
            start, stop = start - (last - first), stop - (last - first)
        if not found:
            whole, first, _ = parts[0]
            return self._whole_split_records(whole, first, first + 1).take(0)
        return functools.reduce(tf.data.Dataset.concatenate, found)

    def read(self, record: Record) -> tf.Tensor:
        """Fetches the encoded bytes of a record; called where images are decoded in parallel.

        Args:
            record: dict of tensors, one element of `records`.

        Returns:
            The image's encoded bytes, tf.string [].
        """
        return record['image']

    def with_labels(self, class_names: Iterable[str], places: Sequence[int]) -> 'Source':
        """Returns this data set with other numbers for its classes.

        Args:
            class_names: names of the classes that labels shall be an index into.
            places: which of them each class of this data set is.
        """
        source = copy.copy(self)
        source.class_names = tuple(class_names)
        source.present = tuple(source.class_names[place] for place in places)
        if self.label_kind == 'maps':
            source._places = np.full(256, IGNORE_LABEL, np.uint8)
            source._places[: len(places)] = places
        else:
            source._places = np.array(places, np.int32)
        return source

    def label(self, record: Record) -> tf.Tensor:
        """Fetches the label of a record, in the numbers of `with_labels`; see `read_label`."""
        label = self.read_label(record)
        if self._places is None:
            return label
        return tf.gather(tf.constant(self._places), tf.cast(label, tf.int32))

    def read_label(self, record: Record) -> tf.Tensor:
        """Fetches the label of a record; called where images are decoded in parallel.

        Args:
            record: dict of tensors, one element of `records`.

        Returns:
            int32 [], or for label maps uint8 [H, W], 255 where a pixel has no class.
        """
        return record['label']

    def read_boxes(self, record: Record, height: Any, width: Any) -> tf.Tensor:
        """Fetches the boxes of a record, where there are boxes.

        Args:
            record: dict of tensors, one element of `records`.
            height, width: of the image, in pixels.

        Returns:
            float32 [box_places, 4], y0 x0 y1 x1 in pixels, zeros where the image has fewer. They
            may lie beyond the image.
        """
        raise NotImplementedError(f'{self.name} has no boxes')

    def read_object(self, record: Record) -> tf.Tensor:
        """Fetches the pixels of a record's object, where `masks` is True.

        Returns:
            uint8 [H, W], 0 beside the object.
        """
        raise NotImplementedError(f'{self.name} has no masks')

    @abc.abstractmethod
    def _whole_split_records(self, split: str, start: int, stop: int) -> tf.data.Dataset:
        """Returns what `records` does, for a whole split and start < stop."""

    def _parts(self, split):
        """Resolves a split: list of (name of a whole split, start, stop), start < stop."""
        sizes = {name: self.splits[name].num_examples for name in self.splits}
        try:
            parts = [
                (
                    part.splitname,
                    part.from_ or 0,
                    sizes[part.splitname] if part.to is None else part.to,
                )
                for part in tfds.core.ReadInstruction.from_spec(split).to_absolute(self.splits)
            ]
        # TFDS's, for whatever it cannot resolve; RecursionError where a split has the name `all`
        except (ValueError, NotImplementedError, RecursionError):
            parts = []
        parts = [part for part in parts if part[1] < part[2]]
        if not parts:
            known = ', '.join(f'{name} ({size} images)' for name, size in sizes.items())
            raise InputError(
                f'split {split!r} of {self.name!r} is unknown or empty; known are '
                f'{known} and parts of them such as {next(iter(sizes))}[:90%]'
                + '; to TFDS `all` is the sum of them, so no split can have that name'
                * ('all' in sizes)
            )
        return parts
