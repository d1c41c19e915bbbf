"""A checkpoint made ready for photographs of one's own."""

from typing import Any, NamedTuple

import jax
import ml_collections

from drn_jax import commands
from drn_jax.checkpoints import restore
from drn_jax.distributed import meshes
from drn_jax.errors import InputError
from drn_jax.models.inference import optimize_for_inference
from drn_jax.models.networks import Network
from drn_jax.pictures import palettes
from drn_jax.training import configurations, settings

FEW = 32  # photographs for which compiling fast convolutions takes longer than they save


class Trained(NamedTuple):
    """A network with everything that its answers need.

    Attributes:
        model: the network.
        variables: its parameters and batch statistics, on every device.
        config: its configuration.
        class_names: of its classes, strings.
        palette: RGB of its classes.
        mesh: the devices.
        path: the folder of its step.
    """

    model: Network
    variables: Any
    config: ml_collections.ConfigDict
    class_names: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    mesh: jax.sharding.Mesh
    path: Any


def load_trained(checkpoint, step=None, overrides=()):
    """Reads a checkpoint.

    Args:
        checkpoint: a working directory of a run, its checkpoint folder or one step.
        step: the step wanted; None: the best by validation, else the latest.
        overrides: flags `--config.field=value`.

    Returns:
        A `Trained`.

    Raises:
        InputError: it cannot be read, has no classifier, or a flag does not fit.
    """
    path = restore.find(checkpoint, step)
    stored = restore.read_config(path)
    stored.mesh.devices, stored.mesh.spatial = 0, 1  # all that there are here, whatever the run had
    config = commands.override(stored.copy_and_resolve_references(), list(overrides))
    configurations.check_same_network(stored, config)
    settings.check_settings(config)
    classes = config.model.num_classes
    if not classes:
        raise InputError(
            f'{checkpoint} holds a network without a classifier, so it names no '
            'classes; give a checkpoint of a run, or weights that have one'
        )
    model, mesh = configurations.model_of(config), meshes.create_mesh(config.mesh.devices)
    named = palettes.of_data(config.data.name, classes)
    names = tuple(map(str, config.data.class_names)) or named.names
    palette = (config.data.palette if model.task == 'segmentation' else ()) or named.colors
    if len(names) != classes or len(palette) != classes:
        raise InputError(
            f'{checkpoint} has {classes} classes, but {len(names)} names and '
            f'{len(palette)} colors; change config.data.class_names or palette'
        )
    return Trained(
        model,
        restore.read_variables(path, model, meshes.replicated(mesh)),
        config,
        names,
        palette,
        mesh,
        path,
    )


def optimized(trained, photographs):
    """Returns a checkpoint in the form for inference.

    Args:
        trained: a `Trained`.
        photographs: how many there are; for fewer than `FEW`, 'auto' means 'native', which compiles
            in a second.

    Returns:
        A `Trained` that gives the same answers to 1e-4.
    """
    model = trained.model
    if model.convolution == 'auto' and photographs < FEW:
        model = model.clone(convolution='native')
    model, variables = optimize_for_inference(model, trained.variables)
    return trained._replace(model=model, variables=variables)
