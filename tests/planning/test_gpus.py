"""GPUs and times of their exchanges: literal answers, by hand from bandwidth and latency."""

import pytest
from support.errors import refused

from drn_jax.planning import gpus
from drn_jax.planning.hlo import Collective


@pytest.mark.parametrize(
    'kind, size, group, topology, expected',
    [
        # 2 * 7/8 of the bytes over 450 GB/s; 14 steps.
        ('all-reduce', 8e9, 0, 'h100:8', 2 * 7e9 / 450e9 + 6.6e-6 + 14 * 0.6e-6),
        ('all-reduce', 8e9, 8, 'h100:8', 2 * 7e9 / 450e9 + 6.6e-6 + 14 * 0.6e-6),
        ('all-gather', 8e9, 0, 'h100:8', 7e9 / 450e9 + 6.6e-6 + 7 * 0.6e-6),
        ('all-reduce', 4e9, 4, 'a100-80:8', 2 * 3e9 / 300e9 + 6.6e-6 + 6 * 0.6e-6),
        # An eighth of the bytes for each GPU over 25 GB/s; 28 steps on 4 hosts, and 3 between them.
        ('all-reduce', 8e9, 0, 'a100-80:4x8', 0.06 + 6.6e-6 + 56 * 0.6e-6 + 6 * 2.7e-6),
        # The links of a host are the slower ones.
        ('all-reduce', 8e9, 0, 'h100:4x8', 14e9 / 450e9 + 6.6e-6 + 56 * 0.6e-6 + 6 * 2.7e-6),
        ('all-reduce', 8e9, 8, 'h100:4x8', 2 * 7e9 / 450e9 + 6.6e-6 + 14 * 0.6e-6),
        ('all-reduce', 8e9, 0, 'l4:2x1', 2 * 4e9 / 1.56e9 + 6.6e-6 + 2 * 2.7e-6),
        ('collective-permute', 32e9, 2, 'l4:2', 1 + 7.2e-6),
        ('all-reduce', 8e9, 0, 'h100:1', 0),
    ],
)
def test_an_exchange(kind, size, group, topology, expected):
    cluster = gpus.find(topology)
    for repetitions in (1, 3):
        seconds = gpus.exchange_seconds(Collective(kind, size, group, repetitions, ''), cluster)
        assert seconds == pytest.approx(repetitions * expected)


def test_hosts_and_their_gpus():
    cluster = gpus.find('h100:4x8')
    assert (cluster.hosts, cluster.per_host, cluster.chips) == (4, 8, 32)
    assert gpus.find('v100:8')[2:] == (1, 8)


@pytest.mark.parametrize(
    'name',
    ['h100', 'h100:', 'h100:3', 'h100:0', 'h100:0x8', 'h100:08', 'h100:10000x8', 'h100:2x2x2'],
)
def test_hosts_that_do_not_exist(name):
    with refused('--topology', match=f'{name} does not exist; .* such as h100:2x8$'):
        gpus.find(name)


def test_the_memory_that_jax_takes(monkeypatch):
    monkeypatch.delenv('XLA_PYTHON_CLIENT_MEM_FRACTION', raising=False)
    assert gpus.find('h100:8').memory_bytes == int(0.75 * 84942979072)
    monkeypatch.delenv('XLA_CLIENT_MEM_FRACTION', raising=False)
    for name in gpus.FRACTION_NAMES:
        monkeypatch.setenv(name, '.9')
        assert gpus.find('h100:8').memory_bytes == int(0.9 * 84942979072)
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    'texts', [('abc',), ('0',), ('0.0',), ('2',), ('nan',), ('-.5',), ('.5', '.9')]
)
def test_no_part_of_the_memory(texts, monkeypatch):
    for name, text in zip(gpus.FRACTION_NAMES, texts):
        monkeypatch.setenv(name, text)
    with refused(match=f'XLA_CLIENT_MEM_FRACTION={texts[0]}.*above 0 and at most 1'):
        gpus.find('h100:8')


def test_peaks():
    """A card without bfloat16 and TF32 computes in float32."""
    h100, v100 = gpus.CARDS['h100'], gpus.CARDS['v100']
    assert [gpus.peak_flops(h100, dtype) for dtype in ('bfloat16', 'bf16')] == [989.4e12] * 2
    assert [gpus.peak_flops(h100, dtype) for dtype in ('float32', 'tf32')] == [494.7e12] * 2
    assert gpus.peak_flops(h100, 'f32') == 66.9e12
    assert {gpus.peak_flops(v100, dtype) for dtype in ('bfloat16', 'float32', 'f32')} == {15.7e12}
