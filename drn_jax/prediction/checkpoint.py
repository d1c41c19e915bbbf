"""A checkpoint made ready for photographs: variables on devices, names and colors of classes."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import ml_collections
from etils import epath

from drn_jax import checkpoints, imagenet_classes
from drn_jax.distributed import meshes
from drn_jax.errors import InputError, as_input_error
from drn_jax.models import convolutions, inference
from drn_jax.models.networks import Network
from drn_jax.pictures import palettes

FEW = 32  # photographs for which compiling fast convolutions takes longer than they save


class LoadedCheckpoint(NamedTuple):
    """A network with everything that its answers need.

    Attributes:
        model: the network.
        variables: its parameters and batch statistics, on every device.
        config: its configuration.
        class_names: of its classes.
        palette: RGB of its classes.
        mesh: the devices.
        path: the folder of its step, whose name is the step's number.
    """

    model: Network
    variables: Any
    config: ml_collections.ConfigDict
    class_names: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    mesh: jax.sharding.Mesh
    path: epath.Path


def load_checkpoint(
    reference: str | epath.Path, step: int | None = None, overrides: Sequence[str] = ()
) -> LoadedCheckpoint:
    """Opens a checkpoint and reads it onto all devices that its configuration names.

    Args:
        reference, step, overrides: see `checkpoints.open`.

    Returns:
        A `LoadedCheckpoint`.

    Raises:
        InputError: it cannot be read, has no classifier, or a flag does not fit.
    """
    opened = checkpoints.open(reference, step, overrides)
    model, config, classes = opened.model, opened.config, opened.model.num_classes
    if not classes:
        raise InputError(
            f'{reference} holds a network without a classifier, so it names no '
            'classes; give a checkpoint of a run, or weights that have one',
            path=reference,
        )
    mesh = meshes.create_mesh(config.mesh.devices)
    with as_input_error(field='config.compiler_options'):
        convolutions.compiler_options(given=config.compiler_options)
    named = palettes.of_data(config.data.name, classes)
    names = imagenet_classes.readable(config.data.class_names) or named.names
    palette = (config.data.palette if model.task == 'segmentation' else ()) or named.colors
    if len(names) != classes or len(palette) != classes:
        raise InputError(
            f'{reference} has {classes} classes, but {len(names)} names and '
            f'{len(palette)} colors; change config.data.class_names or palette',
            field='config.data.class_names',
            path=reference,
        )
    variables = opened.read_variables(meshes.replicated(mesh))
    return LoadedCheckpoint(model, variables, config, names, palette, mesh, opened.path)


def optimized(checkpoint: LoadedCheckpoint, photographs: int) -> LoadedCheckpoint:
    """Returns a checkpoint in the form for inference, whose answers are the same to 1e-4.

    Args:
        checkpoint: the checkpoint.
        photographs: how many there are; for fewer than `FEW`, 'auto' means 'native', which compiles
            in a second.
    """
    model = checkpoint.model
    if model.convolution == 'auto' and photographs < FEW:
        model = model.clone(convolution='native')
    inference.warn_of_bfloat16(model)
    model, variables = inference.fold(model, checkpoint.variables)  # as they were read for it
    return checkpoint._replace(model=model, variables=variables)
