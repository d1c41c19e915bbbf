"""TPU generations and the slices of them that can be had: pure data, and names for it."""

import math
import re
from typing import NamedTuple

from drn_jax.errors import InputError


class Chip(NamedTuple):
    """What an estimate needs to know of one TPU chip.

    Attributes:
        peak: bfloat16 operations a second, a multiplication and an addition being two.
        clock: cycles a second in which the compiler counts; the matrix units' at `peak`.
        memory: bytes of HBM that a program may take.
        link: bytes a second that one link carries in one direction.
        shapes: slices that can be had; () where every axis of 4, 8, ... chips is possible.
        ring_axis: axes of a multiple of so many chips are closed to rings.
        form: how the compiler is told to see its cores, where that is not the default.
    """

    peak: float
    clock: float
    memory: int
    link: float
    shapes: tuple[str, ...]
    ring_axis: int
    form: str = ''


_FLAT = ('1x1', '2x2', '2x4', '4x4', '4x8', '8x8', '8x16', '16x16')
_SMALL_CUBOIDS = ('2x2x1', '2x2x2', '2x2x4', '2x4x4')

# Peak, shapes, rings and bandwidth: cloud.google.com/tpu/docs/v4, v5e, v5p and v6e, read in 2026.
# They give the bandwidth of a chip in both directions (v5e 400, v6e 800, v5p 1200 GB/s); it is
# divided by two directions and by 4 or 6 links. v4: 50 GB/s a link, Jouppi and others, TPU v4, ISCA
# 2023. The clock is that at which the matrix units (v5e 4, v4 and v5p 8 of 128 x 128, v6e 4 of
# 256 x 256 cells) reach the peak. Memory: what the compiler says is there, less than what the chip
# has, when asked for more.
CHIPS = {
    'v4': Chip(275e12, 1.05e9, int(30.75 * 2**30), 50e9, _SMALL_CUBOIDS, 4, 'megacore'),
    'v5e': Chip(197e12, 1.5e9, int(15.75 * 2**30), 50e9, _FLAT, 16),
    'v5p': Chip(459e12, 1.75e9, int(95.73 * 2**30), 100e9, _SMALL_CUBOIDS, 4),
    'v6e': Chip(918e12, 1.75e9, int(31.24 * 2**30), 100e9, _FLAT, 16),
}
# Seconds from one chip to its neighbor. Source: How To Scale Your Model, chapter 'How to Think
# About TPUs' (jax-ml.github.io/scaling-book), about a microsecond for each hop.
HOP_SECONDS = 1e-6


class Slice(NamedTuple):
    """A slice of a TPU pod, such as v5e:4x4."""

    name: str
    chip: Chip
    shape: tuple[int, ...]  # chips along each axis of the network

    @property
    def chips(self) -> int:
        """How many chips it has."""
        return math.prod(self.shape)

    def is_ring(self, axis: int) -> bool:
        """Whether the last chip of an axis has a link to the first one."""
        return self.shape[axis] % self.chip.ring_axis == 0


def find(name: str) -> Slice:
    """Finds a slice by its name.

    Args:
        name: generation and shape, such as 'v5e:4x4' or 'v5p:2x2x1'.

    Returns:
        The `Slice`.

    Raises:
        InputError: there is none of that name.

    Example:
        >>> find('v5e:4x4').chips, find('v5p:4x4x8').chips
        (16, 128)
        >>> find('v5e:3x3')
        Traceback (most recent call last):
        ...
        drn_jax.errors.InputError: --topology=v5e:3x3 does not exist; v5e has 1x1, 2x2, 2x4, 4x4, \
4x8, 8x8, 8x16, 16x16
    """
    generation, _, text = name.partition(':')
    if generation not in CHIPS:
        raise InputError(
            f'--topology={name} is unknown; give cpu, or a TPU slice such as v5e:2x4; '
            f'known generations: {", ".join(CHIPS)}'
        )
    chip = CHIPS[generation]
    axes = tuple(map(int, re.findall(r'\d+', text)))
    is_cuboid = (
        re.fullmatch(r'\d+x\d+x\d+', text)
        and chip.shapes is _SMALL_CUBOIDS
        and (list(axes) == sorted(axes) and all(axis and axis % 4 == 0 for axis in axes))
    )
    if text not in chip.shapes and not is_cuboid:
        more = ', and AxBxC with A <= B <= C, all multiples of 4' * (chip.shapes is _SMALL_CUBOIDS)
        raise InputError(
            f'--topology={name} does not exist; {generation} has {", ".join(chip.shapes)}{more}'
        )
    return Slice(name, chip, axes)
