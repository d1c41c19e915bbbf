"""Slices, and times of exchanges: literal answers, by hand from bandwidth and hops."""

import pytest
from support.errors import refused

from drn_jax.planning import chips
from drn_jax.planning.hlo import Collective


@pytest.mark.parametrize(
    'kind, size, group, topology, expected',
    [
        # 2 * 7/8 of the bytes over two links of 50 GB/s; 2 * (1 + 3) hops.
        ('all-reduce', 8e9, 0, 'v5e:2x4', 2 * 7e9 / 100e9 + 8e-6),
        ('all-reduce', 8e9, 8, 'v5e:2x4', 2 * 7e9 / 100e9 + 8e-6),
        ('all-gather', 8e9, 0, 'v5e:2x4', 7e9 / 100e9 + 4e-6),
        ('reduce-scatter', 8e9, 0, 'v5e:2x4', 7e9 / 100e9 + 4e-6),
        # 16 chips close an axis to a ring: four links, and half as many hops.
        ('all-reduce', 256e9, 0, 'v5e:16x16', 2 * 255e9 / 200e9 + 32e-6),
        ('all-reduce', 128e9, 0, 'v5e:8x16', 2 * 127e9 / 150e9 + 30e-6),
        ('all-reduce', 4e9, 4, 'v5e:4x4', 2 * 3e9 / 50e9 + 6e-6),  # a line of four
        ('collective-permute', 50e9, 2, 'v5e:4x4', 1 + 1e-6),
        ('all-reduce', 8e9, 0, 'v5e:1x1', 0),
        ('all-reduce', 64e9, 0, 'v5p:4x4x4', 2 * 63e9 / 600e9 + 12e-6),
    ],
)
def test_an_exchange(kind, size, group, topology, expected):
    tpu_slice = chips.find(topology)
    for repetitions in (1, 3):
        collective = Collective(kind, size, group, repetitions, 'other')
        seconds = chips.exchange_seconds(collective, tpu_slice)
        assert seconds == pytest.approx(repetitions * expected)


def test_slices_and_their_sizes():
    assert [
        chips.find(name).chips for name in ('v5e:1x1', 'v6e:16x16', 'v4:2x2x1', 'v5p:4x8x8')
    ] == [1, 256, 4, 256]
    assert [chips.find('v5e:8x16').is_ring(axis) for axis in (0, 1)] == [False, True]


@pytest.mark.parametrize(
    'name', ['v5p:4x4x04', 'v5p:0x4x4', 'v5p:16x24x24', 'v4:16x16x20', 'v5e:4x4x4']
)
def test_slices_that_do_not_exist(name):
    with refused('--topology', match=f'{name} does not exist; '):
        chips.find(name)


def test_the_largest_slices():
    assert [chips.find(name).chips for name in ('v4:16x16x16', 'v5p:16x16x24')] == [4096, 6144]
