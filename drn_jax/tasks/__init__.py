"""The problems that a network is trained for or evaluated on, a row of `TASKS` each."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import ml_collections

from drn_jax import fields, published, recipes
from drn_jax.errors import InputError, as_input_error
from drn_jax.models import networks
from drn_jax.tasks import classification, localization, segmentation
from drn_jax.tasks.task import Task


class TaskKind(NamedTuple):
    """What differs between kinds of tasks, for everything around them.

    Attributes:
        recipe: makes the configuration that all others of the kind are changes of.
        create: (configuration, network) -> the `Task`.
        label_kind: what the data set has for a label, 'classes', 'boxes' or 'maps': see
            `data.open_source`; `data.batch_specs` has shapes and dtypes of its batches.
        network: what `create_model` makes, 'classification' or 'segmentation'.
        evaluates: names of the kinds that a trained network can be evaluated for, its own first.
        predictor: name of the module whose `predictor` answers photographs; '' where none does.
        published: published numbers, {data set: (names of metrics, {variant: percents})}.
    """

    recipe: Callable[[], ml_collections.ConfigDict]
    create: Callable[[ml_collections.ConfigDict, networks.Network], Task]
    label_kind: str
    network: str
    evaluates: tuple[str, ...]
    predictor: str = ''
    published: Mapping[str, tuple[tuple[str, ...], Mapping[str, tuple[float, ...]]]] = {}


TASKS = {
    'classification': TaskKind(
        recipes.classification,
        classification.create,
        label_kind='classes',
        network='classification',
        evaluates=('classification', 'localization'),
        predictor='drn_jax.prediction.classification',
        published=published.CLASSIFICATION,
    ),
    'localization': TaskKind(
        recipes.classification,
        localization.create,
        label_kind='boxes',
        network='classification',
        evaluates=('localization', 'classification'),
        predictor='drn_jax.prediction.classification',
        published=published.LOCALIZATION,
    ),
    'segmentation': TaskKind(
        recipes.segmentation,
        segmentation.create,
        label_kind='maps',
        network='segmentation',
        evaluates=('segmentation',),
        predictor='drn_jax.prediction.segmentation',
        published=published.SEGMENTATION,
    ),
}


def kind_of(config: ml_collections.ConfigDict) -> TaskKind:
    """Finds the row of the task that a configuration names.

    Args:
        config: a configuration; uses `task`, and the names of its fields.

    Raises:
        InputError: the task is unknown, or the configuration was made for one with other labels.

    Example:
        >>> kind_of(recipes.segmentation()).label_kind
        'maps'
    """
    if config.task not in TASKS:
        raise InputError(
            f'config.task {config.task!r} is unknown; known: {", ".join(TASKS)}',
            field='config.task',
        )
    kind = TASKS[config.task]
    missing = fields.flatten(kind.recipe()).keys() - fields.flatten(config).keys()
    if missing:
        raise InputError(
            f'config.task is {config.task!r}, but the configuration is one for another task: it '
            f'has no {min(missing)}; use a file of configs/ that is made for the task',
            field='config.task',
        )
    return kind


def create_task(config: ml_collections.ConfigDict, model: networks.Network) -> Task:
    """Creates the task that a configuration names.

    Args:
        config: the configuration of the run.
        model: its network, as `create_network` makes it.

    Raises:
        InputError: the task is unknown, or a field of it cannot be used.
    """
    return kind_of(config).create(config, model)


def create_network(config: ml_collections.ConfigDict) -> networks.Network:
    """Creates the network that a configuration describes.

    Args:
        config: uses `task` and `model`.

    Raises:
        InputError: a field of `config.model` cannot be used.
    """
    model = config.model
    with as_input_error(field='config.model'):
        return networks.create_model(
            model.variant,
            num_classes=model.num_classes,
            task=kind_of(config).network,
            width=model.width,
            dtype=model.dtype,
            first_block=model.first_block,
            stride_in=model.stride_in,
            degridding=model.degridding,
            rematerialize=model.rematerialize,
            convolution=model.convolution,
        )


def published_metrics(config: ml_collections.ConfigDict) -> dict[str, float]:
    """Finds the published metrics of a configuration.

    Args:
        config: uses `task`, `data.name`, `data.validation_split` and, of `model`, `variant`,
            `width` and `degridding`.

    Returns:
        Fractions in [0, 1], named as in reports; empty where nothing was published.

    Example:
        >>> published_metrics(recipes.classification())['top1_error']
        0.2486

    Source: tables 1 to 3 of the paper, and the README of the release.
    """
    tables = kind_of(config).published
    data = config.data.name.split(':')[0].split('/')[0]
    model = config.model
    other = model.width != 1 or model.degridding != 'own'
    if other or config.data.validation_split != 'validation' or data not in tables:
        return {}
    names, table = tables[data]
    percents = table.get(model.variant, ())
    return {name: round(number / 100, 6) for name, number in zip(names, percents)}


__all__ = [
    'TASKS',
    'Task',
    'TaskKind',
    'create_network',
    'create_task',
    'kind_of',
    'published_metrics',
]
