"""A device without memory is told in one sentence; other errors stay what they are."""

import jax
import jax.numpy as jnp
import pytest
from support.errors import refused

from drn_jax.distributed import memory


def test_too_large_an_array_is_one_sentence():
    with refused(match='^steps of 9 images do not fit .* config.model.rematerialize'):
        with memory.explain_out_of_memory('steps of 9 images', memory.TRAIN):
            jax.block_until_ready(jnp.zeros((1 << 24, 1 << 22)))  # 256 TiB


def test_other_errors_pass():
    with pytest.raises(ZeroDivisionError), memory.explain_out_of_memory('images', memory.PREDICT):
        raise ZeroDivisionError


def test_batches_beyond_the_memory_of_the_machine_are_refused():
    memory.check_batches(32, 896)
    with refused(
        'config.batch_size', match='^6 batches of 4 .* 89,407 GiB, but .*config.data.crop_px'
    ):
        memory.check_batches(4, 1_000_000)


def test_a_step_beyond_the_memory_of_the_machine_is_refused_before_it_runs(monkeypatch):
    step = jax.jit(lambda x: (x @ x.T).sum())
    x = jnp.ones((512, 4))
    assert memory.compile_checked(step, x)(x) == 512 * 512 * 4
    monkeypatch.setattr(memory, 'host_memory_bytes', lambda: 1000)
    with refused('config.batch_size', match='^a step takes 0 GiB'):
        memory.compile_checked(step, x)
