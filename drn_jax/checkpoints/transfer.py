"""Starting a run from the weights of another one, or of a converted file."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
from etils import epath
from flax import traverse_util

from drn_jax import tasks
from drn_jax.checkpoints import restore
from drn_jax.errors import InputError
from drn_jax.models import variants

HEAD = 'head'


class Transfer(NamedTuple):
    """What became of the arrays of two networks, named like 'params/head/kernel'.

    Attributes:
        taken: arrays that came from the checkpoint.
        new: arrays of the new network that keep their initial values.
        unused: arrays of the checkpoint that the new network does not take.
    """

    taken: list[str]
    new: list[str]
    unused: list[str]

    def __str__(self) -> str:
        def listed(names):
            return f'{len(names)} ({", ".join(names)})' if names else 'none'

        return (
            f'taken: {len(self.taken)} arrays; new: {listed(self.new)}; '
            f'unused: {listed(self.unused)}'
        )


def start_from(path: epath.Path, variables: Mapping[str, Any]) -> tuple[dict[str, Any], Transfer]:
    """Takes the variables of a network from a checkpoint, the head only where it fits.

    Smoothing kernels that the checkpoint lacks begin as the identity, so they change nothing.

    Args:
        path: the folder of one step, as `restore.find` returns it.
        variables: initial {'params', 'batch_stats'} of the new network, as `jax.Array`s.

    Returns:
        The variables, laid out over devices as the initial ones, and what became of each array.

    Raises:
        InputError: its network differs in more than the head.

    Source: section 5.3 of the paper, which trains segmentation from a classifier.
    """
    config = restore.read_config(path)
    stored = restore.read_variables(path, tasks.create_network(config))
    merged, transfer = merge(_flat(stored), _flat(variables))
    new = [name for name in transfer.new if f'/{variants.SMOOTHING}' not in name]
    other = [name for name in new + transfer.unused if HEAD not in name.split('/')]
    if other:
        raise InputError(
            f'the checkpoint {path} holds {config.model.variant}, width {config.model.width:g}, '
            f'which is another network: {len(other)} arrays differ, such as {other[0]}; give '
            'config.model.variant and width of the checkpoint, or another config.init_from',
            field='config.init_from',
            path=path,
        )
    return traverse_util.unflatten_dict(merged, sep='/'), transfer


def merge(
    stored: Mapping[str, jax.Array], initial: Mapping[str, jax.Array]
) -> tuple[dict[str, jax.Array], Transfer]:
    """Replaces initial arrays by stored ones of the same name and shape.

    Args:
        stored, initial: name -> array.

    Returns:
        name -> array, with the names and the sharding of `initial`, and the `Transfer`.

    Example:
        >>> import jax.numpy as jnp
        >>> merged, transfer = merge({'a': jnp.ones(2), 'b': jnp.ones(3)},
        ...                          {'a': jnp.zeros(2), 'b': jnp.zeros(4)})
        >>> merged['a'].tolist(), merged['b'].tolist()
        ([1.0, 1.0], [0.0, 0.0, 0.0, 0.0])
        >>> transfer
        Transfer(taken=['a'], new=['b'], unused=['b'])
    """
    taken = [
        name for name in initial if name in stored and stored[name].shape == initial[name].shape
    ]
    merged = {
        name: jax.device_put(stored[name], leaf.sharding) if name in taken else leaf
        for name, leaf in initial.items()
    }
    return merged, Transfer(
        taken,
        [name for name in initial if name not in taken],
        [name for name in stored if name not in taken],
    )


def _flat(variables: Mapping[str, Any]) -> dict[str, jax.Array]:
    return traverse_util.flatten_dict(variables, sep='/')
