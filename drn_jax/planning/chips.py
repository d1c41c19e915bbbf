"""TPU generations, the slices of them that can be had, and how fast their chips exchange."""

import math
import re
from typing import NamedTuple

from drn_jax.errors import InputError
from drn_jax.planning.gpus import CARDS
from drn_jax.planning.hlo import Collective


class Chip(NamedTuple):
    """What an estimate needs to know of one TPU chip.

    Attributes:
        kinds: what JAX calls the device.
        peak_flops: bfloat16 operations a second, a multiplication and an addition being two.
        clock_hz: cycles a second in which the compiler counts; the matrix units' at `peak_flops`.
        memory_bytes: of HBM that a program may take.
        link_bandwidth: bytes a second that one link carries in one direction.
        shapes: slices that can be had, besides cuboids of multiples of 4 where `most` is not 0.
        ring_axis: axes of a multiple of so many chips are closed to rings.
        chip_config: how the compiler is told to see its cores, where that is not the default.
        most: chips of a slice, where `shapes` are not all.
    """

    kinds: tuple[str, ...]
    peak_flops: float
    clock_hz: float
    memory_bytes: int
    link_bandwidth: float
    shapes: tuple[str, ...]
    ring_axis: int
    chip_config: str = ''
    most: int = 0


_FLAT = ('1x1', '2x2', '2x4', '4x4', '4x8', '8x8', '8x16', '16x16')
_SMALL_CUBOIDS = ('2x2x1', '2x2x2', '2x2x4', '2x4x4')

# Peak, shapes, rings and bandwidth: cloud.google.com/tpu/docs/v4, v5e, v5p and v6e, read in 2026.
# They give the bandwidth of a chip in both directions (v5e 400, v6e 800, v5p 1200 GB/s); it is
# divided by two directions and by 4 or 6 links. v4: 50 GB/s a link, Jouppi and others, TPU v4, ISCA
# 2023. The clock is that at which the matrix units (v5e 4, v4 and v5p 8 of 128 x 128, v6e 4 of
# 256 x 256 cells) reach the peak. Memory: what the compiler says is there, less than what the chip
# has, when asked for more. Not here: tpu7x, which libtpu 0.0.52 compiles for, but jax 0.10.2 cannot
# read what comes out (as_text: 'async-update instruction should have 1 operands but sees 2').
CHIPS = {
    'v4': Chip(
        ('TPU v4',), 275e12, 1.05e9, int(30.75 * 2**30), 50e9, _SMALL_CUBOIDS, 4, 'megacore', 4096
    ),
    'v5e': Chip(('TPU v5 lite', 'TPU v5e'), 197e12, 1.5e9, int(15.75 * 2**30), 50e9, _FLAT, 16),
    'v5p': Chip(
        ('TPU v5', 'TPU v5p'),
        459e12,
        1.75e9,
        int(95.73 * 2**30),
        100e9,
        _SMALL_CUBOIDS,
        4,
        most=6144,
    ),
    'v6e': Chip(('TPU v6 lite', 'TPU v6e'), 918e12, 1.75e9, int(31.24 * 2**30), 100e9, _FLAT, 16),
}
# Seconds from one chip to its neighbor. Source: How To Scale Your Model, chapter 'How to Think
# About TPUs' (jax-ml.github.io/scaling-book), about a microsecond for each hop.
HOP_SECONDS = 1e-6


class Slice(NamedTuple):
    """A slice of a TPU pod.

    Attributes:
        name: such as 'v5e:4x4'.
        chip: what one of its chips can do.
        shape: chips along each axis of the network that joins them.
    """

    name: str
    chip: Chip
    shape: tuple[int, ...]

    @property
    def chips(self) -> int:
        """The number of its chips."""
        return math.prod(self.shape)

    @property
    def memory_bytes(self) -> int:
        """Memory of one chip that a program may take."""
        return self.chip.memory_bytes

    def is_ring(self, axis: int) -> bool:
        """Says whether the last chip of an axis has a link to the first one."""
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
            f'--topology={name} is unknown; give cpu, a TPU slice such as v5e:2x4, or GPUs such '
            f'as h100:8; known: {", ".join((*CHIPS, *CARDS))}',
            field='--topology',
        )
    chip = CHIPS[generation]
    axes = tuple(map(int, re.findall(r'\d+', text)))
    is_cuboid = (
        re.fullmatch('x'.join([r'[1-9]\d*'] * 3), text, re.ASCII)
        and math.prod(axes) <= chip.most
        and (list(axes) == sorted(axes) and all(axis % 4 == 0 for axis in axes))
    )
    if text not in chip.shapes and not is_cuboid:
        more = (
            f', and AxBxC with A <= B <= C, all multiples of 4, of at most {chip.most:,} chips'
            if chip.most
            else ''
        )
        raise InputError(
            f'--topology={name} does not exist; {generation} has {", ".join(chip.shapes)}{more}',
            field='--topology',
        )
    return Slice(name, chip, axes)


def exchange_seconds(collective: Collective, tpu_slice: Slice) -> float:
    """Estimates the time of an exchange, for which the compiler gives no estimate.

    An all-reduce over n chips sends 2 (n - 1) / n of its bytes over every link that a chip can use:
    one on each axis of the slice, two on an axis that is closed to a ring. It is a reduce-scatter
    and an all-gather, each of which sends half. A group that is not the whole slice lies on one
    axis. The first byte takes a hop for each chip on the way, along one axis after the other.

    Args:
        collective: the exchange.
        tpu_slice: whose chips exchange.

    Returns:
        Seconds of all its repetitions in a step together, at full bandwidth and without overlap.

    Example:
        >>> all_reduce = Collective('all-reduce', 10 ** 8, 0, 1, 'other')
        >>> round(exchange_seconds(all_reduce, find('v5e:2x4')), 6)
        0.001758

    Source: How To Scale Your Model, chapter 'Sharded Matrices and How to Multiply Them'
    (jax-ml.github.io/scaling-book), which neglects latency where much is sent.
    """
    group, bandwidth = collective.group or tpu_slice.chips, tpu_slice.chip.link_bandwidth
    if group == 1:
        return 0.0
    if collective.kind == 'collective-permute':
        return collective.repetitions * (collective.bytes / bandwidth + HOP_SECONDS)
    axes = [(group, False)]
    if group == tpu_slice.chips:
        axes = [(n, tpu_slice.is_ring(axis)) for axis, n in enumerate(tpu_slice.shape) if n > 1]
    bandwidth *= sum(2 if ring else 1 for _, ring in axes)
    hops = sum(n // 2 if ring else n - 1 for n, ring in axes)
    sendings = 2 if collective.kind == 'all-reduce' else 1
    once = sendings * (collective.bytes * (group - 1) / group / bandwidth + hops * HOP_SECONDS)
    return collective.repetitions * once


def exchange_basis(tpu_slice: Slice) -> str:
    """Says what `exchange_seconds` assumes for a slice."""
    return (
        f'bytes over links of {tpu_slice.chip.link_bandwidth / 1e9:.0f} GB/s in each direction '
        '(both directions where an axis is closed to a ring), all axes at once, and '
        f'{HOP_SECONDS * 1e6:g} us for each hop; nothing overlaps with computing'
    )
