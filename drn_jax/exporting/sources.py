"""The checkpoint that is exported."""

from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np

from drn_jax import commands
from drn_jax.checkpoints import restore
from drn_jax.errors import InputError
from drn_jax.models.networks import Network
from drn_jax.training import configurations, settings


class Source(NamedTuple):
    """A network with everything that its file needs.

    Attributes:
        model: the network.
        variables: its parameters and batch statistics, float32 NumPy arrays.
        config: its configuration.
        step: of the checkpoint.
    """

    model: Network
    variables: Any
    config: ml_collections.ConfigDict
    step: int


def read(checkpoint, step=None, overrides=()):
    """Reads a checkpoint.

    Args:
        checkpoint: a working directory of a run, its checkpoint folder or one step.
        step: the step wanted; None: the best by validation, else the latest.
        overrides: flags `--config.field=value`.

    Returns:
        A `Source`.

    Raises:
        InputError: it cannot be read, holds numbers that are not finite, or a flag does not fit.
    """
    path = restore.find(checkpoint, step)
    stored = restore.read_config(path)
    config = commands.override(stored.copy_and_resolve_references(), list(overrides))
    configurations.check_same_network(stored, config)
    settings.check_settings(config)
    model = configurations.model_of(config)
    names = config.data.class_names
    if model.num_classes and names and len(names) != model.num_classes:
        raise InputError(
            f'{checkpoint} has {model.num_classes} classes, but {len(names)} names; '
            'change config.data.class_names'
        )
    variables = jax.device_get(restore.read_variables(path, model))
    check_finite(path, variables)
    return Source(model, variables, config, int(path.name))


def check_finite(path, variables):
    """Refuses variables with NaN or infinities.

    Args:
        path: of the checkpoint, named in the error.
        variables: a tree of arrays.

    Raises:
        InputError: there are some; up to three arrays that hold them are named.

    Example:
        >>> check_finite('runs/mine/checkpoints/5', {'head': {'bias': np.array([0., np.nan])}})
        Traceback (most recent call last):
        ...
        drn_jax.errors.InputError: the checkpoint runs/mine/checkpoints/5 holds numbers that are \
not finite in head/bias; choose another step with --step
    """
    found = [
        jax.tree_util.keystr(place, simple=True, separator='/')
        for place, leaf in jax.tree_util.tree_leaves_with_path(variables)
        if not np.isfinite(leaf).all()
    ]
    if found:
        raise InputError(
            f'the checkpoint {path} holds numbers that are not finite in '
            f'{", ".join(found[:3])}{", ..." if found[3:] else ""}; choose another '
            'step with --step'
        )
