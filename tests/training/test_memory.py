"""A device without memory is told in one sentence; other errors stay what they are."""
import jax
import jax.numpy as jnp
import pytest

from drn_jax.errors import InputError
from drn_jax.training import memory


def test_too_large_an_array_is_one_sentence():
    with pytest.raises(InputError, match='^steps of 9 images do not fit into the memory .* '
                                         'config.model.rematerialize'):
        with memory.sufficient('steps of 9 images', memory.TRAIN):
            jax.block_until_ready(jnp.zeros((1 << 24, 1 << 22)))  # 256 TiB


def test_other_errors_pass():
    with pytest.raises(ZeroDivisionError), memory.sufficient('images', memory.PREDICT):
        1 // 0
