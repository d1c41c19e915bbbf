"""From a file of weights to a network: its configuration and its variables."""

import pathlib
from typing import Any, NamedTuple

import ml_collections

from drn_jax import cityscapes, imagenet_classes, paths, tasks
from drn_jax.checkpoints import archives, keras_files, pretrained, weight_files
from drn_jax.errors import InputError, as_input_error, some
from drn_jax.models import torch_names, variants, weights
from drn_jax.reporting import progress


class Converted(NamedTuple):
    """What a file holds.

    Attributes:
        config: a configuration whose `model` and `task` describe the network.
        variables: {'params', 'batch_stats'}, float32 NumPy arrays.
    """

    config: ml_collections.ConfigDict
    variables: dict[str, Any]

    def state_dict(self) -> dict[str, Any]:
        """Returns the variables by the names of the authors' PyTorch code, as `weights.to_torch`.

        Raises:
            InputError: that code has no such network.
        """
        model = self.config.model
        if model.degridding != 'own':
            raise InputError(
                f'the network has degridding {model.degridding!r}, which files with the names of '
                "the authors' code cannot tell; export it, or go on with its checkpoint",
                field='config.model.degridding',
            )
        task = tasks.kind_of(self.config).network
        return weights.to_torch(model.variant, self.variables, task)


def convert(
    path: str,
    variant: str | None = None,
    first_block: str = 'paper',
    stride_in: str | None = None,
    entry: str = '',
) -> Converted:
    """Reads a file of weights; task, classes and width are those that it holds.

    Args:
        path: the file, as `weight_files.read` or `keras_files.read` takes it, perhaps in a zip.
        variant: the network that it is for; None: the only one that it fits.
        first_block, stride_in: see `create_model`; None: '1x1' for a file of Keras, else '3x3'.
        entry: see `weight_files.read`; files of Keras have none.

    Returns:
        A `Converted`.

    Raises:
        InputError: the file cannot be read, fits several variants, or holds no network of the
            variant.
    """
    file = paths.local(path, '--input')
    of_keras = file.suffix.lower() in keras_files.SUFFIXES
    if of_keras:
        stride_in = stride_in or '1x1'
    if variant:  # before the file is read, which takes longer
        with as_input_error(field='--variant'):
            variants.lookup(variant, first_block=first_block, stride_in=stride_in or '3x3')
    if of_keras:
        if entry:
            raise InputError(
                f'{path} is of Keras and holds one network; leave out --entry={entry}',
                field='--entry',
                path=path,
            )
        state_dict = keras_files.read(file)
    else:
        if not variant and (row := _published(file)):
            variant, stride_in = row.variant, stride_in or row.stride_in
        state_dict = weight_files.read(path, entry)
    if not variant:
        variant, *others = weights.fitting_variants(state_dict) or ['']
        if others or not variant:
            fits = (
                f'{" and ".join([variant, *others])}; convert it with --variant, the one you mean'
                if variant
                else f'no variant: it holds {some(state_dict)}; convert it with --variant, the one '
                'that it should be, to see what differs'
            )
            raise InputError(
                f'--variant is missing; {path} fits {fits}', field='--variant', path=path
            )
    if wrappers := {name.removesuffix(torch_names.bare(name)) for name in state_dict} - {''}:
        progress.say(f'{path}: taken off the names of its weights: {", ".join(sorted(wrappers))}')
    with as_input_error(path=path):
        found = weights.torch_settings(variant, state_dict)
        variables = weights.from_torch(variant, state_dict)
    config = tasks.TASKS[found.task].recipe()
    config.model.variant, config.model.first_block = variant, first_block
    config.model.stride_in = stride_in or '3x3'
    config.model.num_classes, config.model.width = found.num_classes, found.width
    if found.task == 'segmentation' and found.num_classes == len(cityscapes.CLASS_NAMES):
        config.data.class_names, config.data.palette = cityscapes.CLASS_NAMES, cityscapes.PALETTE
    if found.task == 'classification' and found.num_classes == len(imagenet_classes.words()):
        config.data.class_names = tuple(imagenet_classes.words())
    if of_keras:
        config.data.mean, config.data.std = keras_files.MEAN, keras_files.STD
    return Converted(config, variables)


def _published(file: pathlib.Path) -> pretrained.Pretrained | None:
    """Returns the row of a file whose content is one of `pretrained`."""
    with archives.unpacked(file) as weights_file:
        rows = pretrained.by_digest(weight_files.digests(weights_file))
    if not rows:
        return None
    others = ''.join(f'; --variant={row.variant} is possible too' for row in rows[1:])
    progress.say(f'{file.name} is {rows[0].name} of {rows[0].origin}{others}')
    return rows[0]
