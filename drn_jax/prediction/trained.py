"""A checkpoint made ready for photographs of one's own."""
from typing import Any, NamedTuple

import jax
import ml_collections

from drn_jax import commands, recipes
from drn_jax.errors import InputError
from drn_jax.models.networks import Network
from drn_jax.pictures import palettes
from drn_jax.training import configurations, loading, meshes, settings


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
    path = loading.find(checkpoint, step)
    stored = complete(loading.read_config(path))
    stored.mesh.devices, stored.mesh.space = 0, 1  # all that there are here, whatever the run had
    config = commands.override(stored.copy_and_resolve_references(), list(overrides))
    changed = [difference for difference in configurations.differences(stored.model, config.model)
               if not difference.startswith('dtype ')]
    if changed or stored.task != config.task:
        raise InputError('the network of a checkpoint cannot be changed: '
                         f'{"; ".join(changed) or f"config.task is {stored.task}"}')
    settings.check_settings(config)
    classes = config.model.num_classes
    if not classes:
        raise InputError(f'{checkpoint} holds a network without a classifier, so it names no '
                         'classes; give a checkpoint of a run, or weights that have one')
    model, mesh = configurations.model_of(config), meshes.create_mesh(config.mesh.devices)
    named = palettes.of_data(config.data.name, classes)
    names = tuple(map(str, config.data.class_names)) or named.names
    palette = (config.data.palette if model.task == 'segmentation' else ()) or named.colours
    if len(names) != classes or len(palette) != classes:
        raise InputError(f'{checkpoint} has {classes} classes, but {len(names)} names and '
                         f'{len(palette)} colours; change config.data.class_names or palette')
    return Trained(model, loading.read_variables(path, model, meshes.replicated(mesh)), config,
                   names, palette, mesh, path)


def complete(config):
    """Adds the fields that a configuration lacks because older code wrote it.

    Example:
        >>> old = recipes.classification()
        >>> del old.data['resize_px']
        >>> complete(old).data.resize_px
        256
    """
    recipe = recipes.segmentation() if config.task == 'segmentation' else recipes.classification()
    return _fill(config, recipe)


def _fill(config, recipe):
    for name, value in recipe.items():
        if name not in config:
            config[name] = value
        elif isinstance(value, ml_collections.ConfigDict):
            _fill(config[name], value)
    return config
