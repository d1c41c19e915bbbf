"""A checkpoint opened for use: the step, its configuration with changes, its network."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import ml_collections
from etils import epath

from drn_jax import fields, tasks
from drn_jax.checkpoints import restore
from drn_jax.models.networks import Network
from drn_jax.overrides import override


class Checkpoint(NamedTuple):
    """One step of a run, or of converted weights.

    Attributes:
        path: the folder of the step.
        step: its number; 0 where it is of no run.
        config: the configuration to use it with.
        model: the network, without variables.
    """

    path: epath.Path
    step: int
    config: ml_collections.ConfigDict
    model: Network

    def read_variables(self, sharding: jax.sharding.Sharding | None = None) -> dict[str, Any]:
        """Reads the variables of the network, as `restore.read_variables`."""
        return restore.read_variables(self.path, self.model, sharding)


def open(
    reference: epath.PathLike, step: int | None = None, overrides: Sequence[str] = ()
) -> Checkpoint:
    """Opens a checkpoint; its variables are read later.

    The configuration is the stored one. It uses all devices that are here, whatever the run had,
    and the flags are laid over it. Its files are checked here, and not again where its variables
    are read.

    Args:
        reference, step: see `restore.find`.
        overrides: flags `--config.field=value`.

    Returns:
        A `Checkpoint`.

    Raises:
        InputError: there is no such checkpoint, or a flag does not fit: it names no field, has a
            value of another type or out of range, or asks for another network.

    Example:
        checkpoint = checkpoints.open('runs/mine', overrides=['--config.evaluation.mirror=True'])
        logits = checkpoint.model.apply(checkpoint.read_variables(), images)
    """
    path = restore.find(reference, step)
    stored = restore.read_config(path)
    stored.mesh.devices, stored.mesh.spatial = 0, 1
    config = override(stored.copy_and_resolve_references(), overrides)
    fields.check_same_network(stored, config)
    fields.check(config)
    return Checkpoint(path, restore.number(path), config, tasks.create_network(config))
