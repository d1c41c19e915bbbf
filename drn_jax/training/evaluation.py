"""One pass over a split, used by the training loop and by the evaluate command."""
import collections

import jax
import numpy as np

from drn_jax import data
from drn_jax.training import meshes, steps


def evaluator(config, setup):
    """Gives the function that evaluates variables on the validation images.

    Args:
        config: the configuration; uses `data` and `evaluation`.
        setup: the parts of the run.

    Returns:
        A function (variables, progress=None) -> metrics; compiled once, at its first call.
        `progress` wraps an iterable of batches and shows how far it is. Images that could not be
        read are no examples; where there are any, `unreadable` is their number.
    """
    step = steps.evaluation_step(setup.task, setup.mesh)

    def evaluate(variables, progress=None):
        batches = data.evaluation_batches(
            setup.source, config.data, batch_size=config.evaluation.batch_size,
            crops=config.evaluation.crops, process=(jax.process_index(), jax.process_count()))
        fed = meshes.feed(batches, setup.mesh, setup.task.keys)
        counts = (step(variables, batch) for batch in (progress(fed) if progress else fed))
        metrics = setup.task.report(sum_counts(counts))
        return metrics | ({'unreadable': len(batches.unreadable)} if batches.unreadable else {})

    return evaluate


def batch_count(config, source):
    """Gives the number of batches of one pass over the validation images."""
    examples = source.num_examples(config.data.validation_split)
    processes = jax.process_count()
    return -(-(-(-examples // processes)) // (config.evaluation.batch_size // processes))


def sum_counts(counts):
    """Adds up counts of batches: int32 on the device, int64 here, one batch behind.

    The device works on the next batch while the host adds the one before.

    Args:
        counts: an iterable of dicts of integer scalars, the same names in each.

    Returns:
        A dict of int.

    Example:
        >>> sum_counts([{'examples': np.int32(2)}, {'examples': np.int32(3)}])
        {'examples': 5}
    """
    summed, waiting = collections.Counter(), {}
    for batch in counts:
        summed.update(_as_ints(waiting))
        waiting = batch
    summed.update(_as_ints(waiting))
    return dict(summed)


def _as_ints(counts):
    return {name: int(np.int64(number)) for name, number in jax.device_get(counts).items()}
