"""Photographs in batches of one shape, with bounded memory."""

from typing import NamedTuple

import numpy as np

from drn_jax.errors import InputError
from drn_jax.geometry import Geometry
from drn_jax.pictures.photographs import read_photograph
from drn_jax.prediction import shapes
from drn_jax.prediction.inputs import Photograph

HELD_BYTES = 1 << 29  # of photographs that wait for others of their shape
LAG_BATCHES = 16  # no photograph waits while more than this many batches are read


class Example(NamedTuple):
    """A photograph that was read.

    Attributes:
        place: among the photographs given.
        source: its name and path.
        pixels: [H, W, 3], uint8, at full size.
        resized: [h, w, 3], uint8, what the network sees.
    """

    place: int
    source: Photograph
    pixels: np.ndarray
    resized: np.ndarray

    @property
    def geometry(self):
        """Where the network's input lies in the photograph, a packed `Geometry`."""
        return np.array(Geometry(*self.pixels.shape[:2], *self.resized.shape[:2], 0, 0), np.int32)


class Unreadable(NamedTuple):
    """A file that is no photograph.

    Attributes:
        place: among the photographs given.
        source: its name and path.
        reason: one sentence.
    """

    place: int
    source: Photograph
    reason: str


def batches(photographs, size_of, batch_size, *, held_bytes=HELD_BYTES, lag=LAG_BATCHES):
    """Reads photographs and puts those together that the network sees at one size.

    A batch is handed out when it is full, when what waits takes more than `held_bytes`, or when
    its first photograph was read `lag` batches ago; the rest at the end.

    Args:
        photographs: of `inputs.find_photographs`.
        size_of: (height, width) -> height and width that the network sees.
        batch_size: photographs in a full batch.
        held_bytes: of photographs that wait.
        lag: in batches.

    Yields:
        Lists of up to `batch_size` `Example`s with `resized` of one shape, and `Unreadable`s.
    """
    waiting = {}
    for place, source in enumerate(photographs):
        try:
            pixels = read_photograph(source.path)
        except InputError as error:
            yield Unreadable(place, source, str(error))
            continue
        size = size_of(*pixels.shape[:2])
        group = waiting.setdefault(size, [])
        group.append(Example(place, source, pixels, shapes.resize(pixels, size)))
        if len(group) == batch_size:
            yield waiting.pop(size)
        while waiting and _held(waiting) > held_bytes:
            yield waiting.pop(max(waiting, key=lambda size: len(waiting[size])))
        # Dicts keep their order, so the first group holds the oldest photograph.
        while waiting and place - next(iter(waiting.values()))[0].place >= lag * batch_size:
            yield waiting.pop(next(iter(waiting)))
    yield from waiting.values()


def _held(waiting):
    return sum(example.pixels.nbytes for group in waiting.values() for example in group)


def stack(examples, batch_size):
    """Makes an array of a batch, padded with copies of its last photograph.

    Args:
        examples: up to `batch_size` of one shape.
        batch_size: rows of the array.

    Returns:
        [batch_size, h, w, 3], uint8.
    """
    rows = [example.resized for example in examples]
    return np.stack(rows + rows[-1:] * (batch_size - len(rows)))
