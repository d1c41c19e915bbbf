"""A configuration resolved once: everything that follows from it, checked while it is made."""

import contextlib
import dataclasses
import difflib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import jax
import ml_collections
from etils import epath

from drn_jax import fields, schedules, tasks
from drn_jax.checkpoints import restore
from drn_jax.data import batch_specs, places
from drn_jax.distributed import memory, meshes, processes
from drn_jax.errors import InputError, as_input_error, some
from drn_jax.models import convolutions
from drn_jax.models.networks import Network
from drn_jax.reporting import progress

if TYPE_CHECKING:
    from drn_jax.data.source import Source  # it imports TensorFlow, which takes seconds


@dataclasses.dataclass(frozen=True)
class Experiment:
    """What a run, an evaluation or a plan is about.

    Attributes:
        config: the completed configuration; it cannot be changed.
        kind: the row of its task.
        mesh: the devices.
        source: the data set; in a plan, what stands in for one.
        task: the problem, with its network.
        schedule: how a run goes on; None where nothing is trained.
        start: the checkpoint that a run starts from, the folder of one step; None: from nothing.
        remarks: what is odd about the data, sentences without ends.
    """

    config: ml_collections.FrozenConfigDict
    kind: tasks.TaskKind
    mesh: jax.sharding.Mesh
    source: 'Source'
    task: tasks.Task
    schedule: schedules.Schedule | None = None
    start: epath.Path | None = None
    remarks: tuple[str, ...] = ()

    def published(self) -> dict[str, float]:
        """Returns the published metrics, as `tasks.published_metrics`."""
        return tasks.published_metrics(self.config)


def resolve(
    config: ml_collections.ConfigDict,
    *,
    source: Any = None,
    devices: Sequence[jax.Device] | None = None,
    create_network: Callable[[ml_collections.ConfigDict], Network] = tasks.create_network,
    trained: bool = False,
) -> Experiment:
    """Resolves a configuration; what can be checked without the data set is checked before it.

    Args:
        config: the configuration; it stays as it is.
        source: the data set, a `data.Source`; a plan, for which nothing is read, needs its name,
            classes and `num_examples` only. None opens the one that the configuration names.
        devices: those of a plan, which need not be there; None: those of this run.
        create_network: (configuration) -> the network.
        trained: whether the network is trained already. Then nothing is scheduled, and mean and
            standard deviation stay those that it was trained with.

    Returns:
        An `Experiment`.

    Raises:
        InputError: a field cannot be used; it names it.

    Example:
        experiment = resolve(recipes.digit_scenes())
        metrics = loop.train(experiment, 'runs/digit_scenes')
    """
    config = ml_collections.ConfigDict(config.to_dict())
    fields.check(config)
    if source is None:
        places.located(config.data)  # raises now, not after TensorFlow is imported
    kind = tasks.kind_of(config)
    config.evaluation.batch_size = config.evaluation.batch_size or config.batch_size
    mesh = meshes.create_mesh(config.mesh.devices, config.mesh.spatial, devices)
    with as_input_error(field='config.compiler_options'):
        convolutions.compiler_options(meshes.local_device(mesh), given=config.compiler_options)
    network = create_network(config)
    _check_sizes(config, kind, mesh, network, trained, planned=devices is not None)
    task = tasks.create_task(config, network)  # raises now, not after hours of preparing data
    if not trained:
        _check_training(config, task)
    start = None
    if config.init_from and not trained and devices is None:
        start = restore.find(config.init_from)
    if source is None:
        source = _open(config, kind)
    source, remarks = _matched(config, source) if trained else (source, [])
    _complete(config, source, trained)
    task = tasks.create_task(config, create_network(config))
    _count(config, source, 'validation_split')  # raises now, not after compiling
    schedule = None if trained else _schedule(config, source)
    if trained:
        remarks += _trained_on(config, source)
    if schedule and devices is None:
        remarks = _check_splits(config, source)
        remarks += schedules.remarks(config, schedule.examples)
        remarks += _other_head(config, start)
    return Experiment(
        ml_collections.FrozenConfigDict(config),
        kind,
        mesh,
        source,
        task,
        schedule,
        start,
        (*source.remarks, *remarks),
    )


def _check_sizes(
    config: ml_collections.ConfigDict,
    kind: tasks.TaskKind,
    mesh: jax.sharding.Mesh,
    network: Network,
    trained: bool,
    planned: bool,
) -> None:
    """Refuses batches, and rows of images, that devices do not divide or memory cannot hold."""
    side = batch_specs.image_side(kind.label_kind, config.data)
    if not trained:
        meshes.check_batch_size(config.batch_size, mesh.shape[meshes.DATA])
        meshes.check_rows(side, config.mesh.spatial, network.table.stride)
    if not planned:
        meshes.check_batch_size(
            config.evaluation.batch_size, mesh.devices.size, 'config.evaluation.batch_size'
        )
    if not trained and not planned:
        processes.check_shards(config.data.shards)
        memory.check_batches(config.batch_size // jax.process_count(), side)


def _open(config: ml_collections.ConfigDict, kind: tasks.TaskKind) -> 'Source':
    """Opens the data set that a configuration names, and says so."""
    from drn_jax import data  # it imports TensorFlow, which takes seconds

    progress.say(f'Opening {config.data.name}; if it is not prepared yet, that happens now, once.')
    return data.open_source(config.data, kind.label_kind)


def _matched(config: ml_collections.ConfigDict, source: 'Source') -> tuple['Source', list[str]]:
    """Matches the classes of a data set with those that a network has learned: `match_classes`."""
    from drn_jax.data import class_matches, dataset_info  # which takes seconds

    classes = config.model.num_classes or source.num_classes
    source, remarks = class_matches.match_classes(source, config.data.class_names, classes)
    if source.label_kind == 'maps' and source.present:
        config.evaluation.classes = source.present
        source.palette = dataset_info.default_palette(classes)  # where the network has no colors
    return source, remarks


def _complete(config: ml_collections.ConfigDict, source: 'Source', trained: bool) -> None:
    """Completes a configuration with what the data set knows: classes, colors, mean, deviation.

    Raises:
        InputError: the network has other classes than the data set.
    """
    classes = config.model.num_classes or source.num_classes
    if classes != source.num_classes:
        raise InputError(
            f'the network has {classes} classes, but {config.data.name} has '
            f'{source.num_classes}; use data with {classes} classes',
            field='config.model.num_classes',
        )
    config.model.num_classes = classes
    if source.class_names:
        given, names = config.data.class_names, tuple(source.class_names)
        if not trained and given not in ((), names):
            raise InputError(
                f'config.data.class_names is {", ".join(given[:5])}, but the classes of '
                f'{config.data.name} are {", ".join(names[:5])}; leave it out, or rename them in '
                'the data set',
                field='config.data.class_names',
            )
        config.data.class_names = names
    if source.label_kind == 'maps':
        config.data.palette = config.data.palette or tuple(map(tuple, source.palette))
        if config.data.palette and len(config.data.palette) != classes:
            raise InputError(
                f'config.data.palette has {len(config.data.palette)} colors, but there are '
                f'{classes} classes; give one each, or () for those of the data set',
                field='config.data.palette',
            )
    if source.mean_std and not trained:
        config.data.mean, config.data.std = source.mean_std
        progress.say(
            f'mean {config.data.mean} and deviation {config.data.std} are those of the data set'
        )


def _check_splits(config: ml_collections.ConfigDict, source: 'Source') -> list[str]:
    """Compares the splits of a run, as `split_checks`, and notes which images it trains on."""
    from drn_jax.data import split_checks  # it imports TensorFlow, which takes seconds

    config.data.fingerprint = source.fingerprint(config.data.train_split)
    return split_checks.training_remarks(source, config.data)


def _trained_on(config: ml_collections.ConfigDict, source: 'Source') -> list[str]:
    """Says which of the images to evaluate a network was trained on, where that is known."""
    from drn_jax.data import split_checks  # it imports TensorFlow, which takes seconds

    data = config.data
    with contextlib.suppress(InputError):  # other data, which may not have such a split
        if data.fingerprint and data.fingerprint == source.fingerprint(data.train_split):
            return split_checks.shared_remarks(source, data)
    return []


def _other_head(config: ml_collections.ConfigDict, start: epath.Path | None) -> list[str]:
    """Says where a run starts from a head that has learned other classes, as many."""
    if start is None:
        return []
    stored, names = restore.read_config(start), config.data.class_names
    learned = stored.data.class_names
    if stored.task != config.task or len(learned) != len(names) or learned == names:
        return []
    return [
        f'the head that config.init_from gives has learned {some(learned)}, not {some(names)}: it '
        'is taken for these in their order'
    ]


def _check_training(config: ml_collections.ConfigDict, task: tasks.Task) -> None:
    """Refuses tasks and metrics that training does not have."""
    if task.loss is None:
        raise InputError(
            f'config.task {config.task!r} has no training; train or plan the classification that '
            'it rests on, and give --task to drn_jax.evaluate',
            field='config.task',
        )
    if config.checkpoint.best_metric not in task.metrics:
        raise InputError(
            f'config.checkpoint.best_metric {config.checkpoint.best_metric!r} is not '
            f'measured; measured are {", ".join(task.metrics)}',
            field='config.checkpoint.best_metric',
        )


def _schedule(config: ml_collections.ConfigDict, source: 'Source') -> schedules.Schedule:
    """Schedules a run."""
    return schedules.schedule(config, _count(config, source, 'train_split'))


def _count(config: ml_collections.ConfigDict, source: 'Source', field: str) -> int:
    """Counts the images of the split in a field of `config.data`."""
    try:
        return source.num_examples(config.data[field])
    except InputError as error:
        (near,) = difflib.get_close_matches(config.data[field], list(source.splits), 1, 0.0)
        raise InputError(
            f'{error}; set config.data.{field}, perhaps to {near}', field=f'config.data.{field}'
        ) from error
