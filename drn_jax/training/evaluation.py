"""One pass over a split, used by the training loop and by the evaluate command."""

import collections
import dataclasses
import itertools
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import numpy as np

from drn_jax import data
from drn_jax.distributed import meshes, processes
from drn_jax.errors import InputError
from drn_jax.experiments import Experiment
from drn_jax.reporting import progress
from drn_jax.training import steps

CALIBRATION = 5000  # training images that thresholds are chosen on


class Result(NamedTuple):
    """What one pass over a split finds.

    Attributes:
        metrics: {name: number}, as `Task.report` makes them.
        counts: the sums that they were made of, {name: int, or np.ndarray of int64}.
        unreadable: names of the images that could not be read, sorted; of several processes the
            first ones of each.
    """

    metrics: dict[str, Any]
    counts: dict[str, Any]
    unreadable: list[str]


def evaluator(
    experiment: Experiment,
    *,
    split: str | None = None,
    take: Callable[[Any, Any], Any] | None = None,
) -> Callable[..., Result]:
    """Makes the function that evaluates variables on the images of a split.

    Args:
        experiment: the task, its data and devices.
        split: of the data set; None: `data.validation_split`.
        take: None, or a function (batch, predictions) that is called with every batch of this
            process as `data.evaluation_batches` yields it, and with the predictions for it, a tree
            of NumPy arrays.

    Returns:
        A function (variables, progress=None) -> `Result`; compiled at its first call, once for each
        size of images. `progress` wraps an iterable of batches and shows how far it is. Images that
        could not be read are no examples; where there are any, `unreadable` is their number. It
        raises InputError where images need boxes and none has one.
    """
    task, config, source = experiment.task, experiment.config, experiment.source
    step = steps.evaluation_step(task, experiment.mesh, compiler_options=config.compiler_options)

    def evaluate(variables, progress=None):
        batches = data.evaluation_batches(
            source,
            config.data,
            batch_size=config.evaluation.batch_size,
            crops=task.crops,
            whole_maps='whole' in task.batch_keys,
            split=split,
            process=(jax.process_index(), jax.process_count()),
        )
        waiting: collections.deque[Any] = collections.deque()  # batches that are fed
        on_host: list[dict[str, Any]] = []  # counts of this process

        def counts(batch):
            result, predictions = step(variables, batch)
            fed_batch = waiting.popleft()
            if task.host_counts:
                needed = {key: meshes.local_part(predictions[key]) for key in task.host_keys}
                on_host.append(task.host_counts(needed, fed_batch))
            if take:
                take(fed_batch, jax.tree.map(meshes.local_part, predictions))
            return result

        fed = meshes.prefetch_to_device(
            _remember(batches, waiting),
            experiment.mesh,
            task.batch_keys,
            optional=task.optional_keys,
        )
        sums = sum_counts(map(counts, progress(fed) if progress else fed))
        sums |= sum_counts([processes.all_reduce_sum(sum_counts(on_host))])
        if sums.get('without_boxes') and not sums['examples']:
            name = split or config.data.validation_split
            raise InputError(
                f'none of the {sums["without_boxes"]} images of split {name!r} of '
                f'{source.name!r} has a box; give another split, or config.data.boxes that '
                'names these images, as in ILSVRC2012_val_00000001.xml',
                field='config.data.boxes',
            )
        metrics = task.report(sums)
        unreadable = processes.all_reduce_sum(len(batches.unreadable))
        names = processes.all_gather_names(batches.unreadable)
        if unreadable:
            batches.check_unreadable(unreadable, names)  # over all processes
            metrics['unreadable'] = int(unreadable)
        return Result(metrics, sums, names)

    return evaluate


def calibrate(experiment: Experiment, variables: Any) -> tuple[Experiment, dict[str, str]]:
    """Lets a task choose what it has to choose, on images that are not evaluated.

    These are the images of `evaluation.threshold_split`; without it those of the split `tune`, if
    the data set has one that is neither trained on nor evaluated, else the first `CALIBRATION`
    training images.

    Args:
        experiment: the task, its data and devices.
        variables: those of the network.

    Returns:
        The experiment to evaluate, and for the report {'thresholds_chosen_on': split} or {}.

    Raises:
        InputError: some of them would be evaluated, or none has what is needed.
    """
    task, source = experiment.task, experiment.source
    if not task.calibrate:
        return experiment, {}
    split = calibration_split(experiment)
    # What is missing there should be found now, not after all of this.
    source.records(experiment.config.data.validation_split, 0, 1)
    progress.say(f'choosing thresholds on {split} of {source.name}')
    with progress.Progress(batch_count(experiment, split), what='batch') as bar:
        # Choosing needs no counts of the host, which take longest.
        fast = dataclasses.replace(experiment, task=task._replace(host_counts=None))
        counts = evaluator(fast, split=split)(variables, bar).counts
    chosen = dataclasses.replace(experiment, task=task.calibrate(counts))
    return chosen, {'thresholds_chosen_on': split}


def calibration_split(experiment: Experiment) -> str:
    """Names the images that thresholds are chosen on; see `calibrate`.

    Raises:
        InputError: some of them would be evaluated.
    """
    config, source = experiment.config, experiment.source
    evaluated, training = config.data.validation_split, config.data.train_split
    split = config.evaluation.threshold_split
    if (
        not split
        and 'tune' in source.splits
        and not any(source.shared_examples('tune', other) for other in (evaluated, training))
    ):
        split = 'tune'
    split = split or source.first_examples(training, CALIBRATION)
    shared = source.shared_examples(split, evaluated)
    if shared:
        raise InputError(
            f'thresholds cannot be chosen on {split}: {shared} of its images are evaluated; give '
            'another config.evaluation.threshold_split, or config.evaluation.threshold itself',
            field='config.evaluation.threshold_split',
        )
    return split


def _remember(batches, waiting):
    """Yields batches, and appends each to `waiting`."""
    for batch in batches:
        waiting.append(batch)
        yield batch


def batch_count(experiment: Experiment, split: str | None = None) -> int:
    """Returns the number of batches of one pass over a split, where all images have one size.

    Args:
        experiment: its data, and images of a batch.
        split: of the data set; None: `data.validation_split`.
    """
    config = experiment.config
    examples = experiment.source.num_examples(split or config.data.validation_split)
    of_process, rows = (
        -(-number // jax.process_count()) for number in (examples, config.evaluation.batch_size)
    )
    return -(-of_process // rows)


def sum_counts(counts: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Adds up counts of batches: int32 on the device, int64 here, one batch behind.

    The device works on the next batch while the host adds the one before.

    Args:
        counts: an iterable of dicts of integer arrays, the same names and shapes in each.

    Returns:
        A dict of int, and of NumPy arrays of int64 where there was more than one number.

    Example:
        >>> sum_counts([{'examples': np.int32(2)}, {'examples': np.int32(3)}])
        {'examples': 5}
    """
    summed: dict[str, Any] = {}
    waiting: dict[str, Any] = {}
    for batch in itertools.chain(counts, [{}]):
        for name, number in jax.device_get(waiting).items():
            summed[name] = summed.get(name, 0) + np.asarray(number, np.int64)
        waiting = batch
    return {name: number if number.ndim else int(number) for name, number in summed.items()}
