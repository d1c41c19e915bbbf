"""Devices by the names that JAX gives them, and the share of their peak."""

import types

import jax
import jax.numpy as jnp
import pytest

from drn_jax.planning import chips, gpus, peaks


def test_every_row_is_found_by_its_names():
    for chip in chips.CHIPS.values():
        assert all(peaks.find(kind) is chip for kind in chip.kinds)
    for card in gpus.CARDS.values():
        assert peaks.find(card.description) is card


@pytest.mark.parametrize('kind', ['NVIDIA L40S', 'NVIDIA L', 'NVIDIA A100 80GB PCIe', 'TPU v3'])
def test_others_have_no_peak(kind):
    assert peaks.find(kind) is None and peaks.flops(kind, 'bfloat16') is None


def test_seconds_at_the_peak_are_operations_by_those_of_a_second():
    matrix = jnp.ones((64, 64))
    product = jax.jit(jnp.dot).lower(matrix, matrix).compile()
    assert peaks.seconds(product, jax.devices()[0], 'float32') is None
    chip = types.SimpleNamespace(device_kind='TPU v5 lite', platform='tpu')
    assert peaks.seconds(product, chip, 'float32') == 2 * 64**3 / 197e12


def test_the_names_are_those_of_the_compiler(monkeypatch):
    pytest.importorskip('libtpu')
    from drn_jax.planning import compiler

    for name, value in compiler.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    for name in ('v4:2x2x1', 'v5e:2x4', 'v5p:2x2x1', 'v6e:2x4'):
        tpu_slice = chips.find(name)
        assert peaks.find(compiler.devices_of(tpu_slice)[0].device_kind) is tpu_slice.chip
