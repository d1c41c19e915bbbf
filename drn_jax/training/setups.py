"""What training and evaluation both need before they start."""

from typing import NamedTuple

import jax

from drn_jax import data, tasks
from drn_jax.distributed import meshes
from drn_jax.reporting import progress
from drn_jax.training import configurations, settings


class Setup(NamedTuple):
    """The parts of a run that follow from its configuration.

    Attributes:
        mesh: the devices.
        source: the data set.
        task: the problem, with its network.
    """

    mesh: jax.sharding.Mesh
    source: data.Source
    task: tasks.Task


def set_up(config, open_source=None, *, trained=False):
    """Makes the parts of a run; what can be checked without the data set is checked before it.

    Args:
        config: the configuration; its `model.num_classes` is set to that of the data set, and
            `evaluation.batch_size` to that of training, where they are 0.
        open_source: function of `config.data` that opens the data set; None: the one of `data`.
        trained: see `configurations.settle_classes`.

    Returns:
        A `Setup`.

    Raises:
        InputError: a setting cannot be used.
    """
    settings.check_settings(config)
    config.evaluation.batch_size = config.evaluation.batch_size or config.batch_size
    mesh = meshes.create_mesh(config.mesh.devices, config.mesh.spatial)
    meshes.check_batch_size(
        config.evaluation.batch_size, mesh.devices.size, 'config.evaluation.batch_size'
    )
    task = tasks.create_task(config, configurations.model_of(config))
    if open_source is None:
        progress.say(
            f'Opening {config.data.name}; if it is not prepared yet, that happens now, once.'
        )
    source = (
        open_source(config.data) if open_source else data.open_source(config.data, task.label_kind)
    )
    known = config.data.class_names
    configurations.settle_classes(config, source, trained=trained)
    if trained and known and known != config.data.class_names:
        progress.say(
            f'warning: the network learned the classes {", ".join(known[:5])}, ..., the '
            f'data set has {", ".join(config.data.class_names[:5])}, ...; they are taken '
            'for the same in this order'
        )
    if source.mean_std and not trained:
        progress.say(
            f'mean {config.data.mean} and deviation {config.data.std} are those of the data set'
        )
    return Setup(mesh, source, tasks.create_task(config, configurations.model_of(config)))
