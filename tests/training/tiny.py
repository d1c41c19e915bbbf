"""A problem that compiles in a moment, for tests of the machinery around it."""

import types

import flax.linen as nn
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from drn_jax import experiments, recipes, tasks
from drn_jax.distributed import meshes


class TinyNetwork(nn.Module):
    """Convolution, batch normalization, pooling and classifier."""

    table = types.SimpleNamespace(stride=1, expand=tuple)  # it has no blocks

    @nn.compact
    def __call__(self, images, train=False):
        x = nn.Conv(4, (3, 3), use_bias=False, name='conv')(images)
        x = nn.relu(nn.BatchNorm(not train, momentum=0.9, name='bn')(x))
        return nn.Dense(10, name='head')(x.mean((1, 2)))


def tiny_config():
    """Returns a configuration for `TinyNetwork` and `tiny_batch`."""
    config = recipes.classification()
    config.batch_size = 8
    config.optimizer.base_batch_size = 8
    return config


def tiny_task(config):
    """Returns the classification task of `TinyNetwork`."""
    return tasks.create_task(config, TinyNetwork())


def experiment_of(config, source, task, devices=1):
    """Returns an experiment of these parts, to evaluate."""
    return experiments.Experiment(
        ml_collections.FrozenConfigDict(config),
        tasks.kind_of(config),
        meshes.create_mesh(devices),
        source,
        task,
    )


def tiny_batch(step=0, size=8, side=8):
    """Returns a batch of noise, the same for the same step."""
    rng = np.random.default_rng(step)
    return {
        'image': rng.integers(0, 256, (size, side, side, 3), np.uint8),
        'label': rng.integers(0, 10, size).astype(np.int32),
        'mask': np.ones(size, bool),
        'index': (step * size + np.arange(size)).astype(np.uint32),
    }


def tiny_variables(task):
    """Returns initial variables."""
    return jax.jit(task.model.init)(jax.random.key(0), jnp.zeros((1, 8, 8, 3)))
