"""One pass over a split, used by the training loop and by the evaluate command."""
import collections
import itertools

import jax
import numpy as np

from drn_jax import data
from drn_jax.training import meshes, steps


def evaluator(config, setup, take=None):
    """Gives the function that evaluates variables on the validation images.

    Args:
        config: the configuration; uses `data` and `evaluation`.
        setup: the parts of the run.
        take: None, or a function (batch, predictions) that is called with every batch of this
            process as `data.evaluation_batches` gives it, and with the predictions for it, a tree
            of NumPy arrays.

    Returns:
        A function (variables, progress=None) -> metrics; compiled at its first call, once for each
        size of images. `progress` wraps an iterable of batches and shows how far it is. Images that
        could not be read are no examples; where there are any, `unreadable` is their number.
    """
    step = steps.evaluation_step(setup.task, setup.mesh)
    crops = config.evaluation.crops if setup.task.labels == 'classes' else 1

    def evaluate(variables, progress=None):
        batches = data.evaluation_batches(
            setup.source, config.data, batch_size=config.evaluation.batch_size,
            crops=crops, process=(jax.process_index(), jax.process_count()))
        waiting = collections.deque()  # batches that are fed and that `take` has not seen

        def counts(batch):
            result, predictions = step(variables, batch)
            if take:
                take(waiting.popleft(), jax.tree.map(meshes.local_part, predictions))
            return result

        fed = meshes.feed(_remember(batches, waiting) if take else batches, setup.mesh,
                          setup.task.keys)
        metrics = setup.task.report(sum_counts(map(counts, progress(fed) if progress else fed)))
        return metrics | ({'unreadable': len(batches.unreadable)} if batches.unreadable else {})

    return evaluate


def _remember(batches, waiting):
    for batch in batches:
        waiting.append(batch)
        yield batch


def batch_count(config, source):
    """Gives the number of batches of one pass over the validation images."""
    examples = source.num_examples(config.data.validation_split)
    processes = jax.process_count()
    return -(-(-(-examples // processes)) // (config.evaluation.batch_size // processes))


def sum_counts(counts):
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
    summed, waiting = {}, {}
    for batch in itertools.chain(counts, [{}]):
        for name, number in jax.device_get(waiting).items():
            summed[name] = summed.get(name, 0) + np.asarray(number, np.int64)
        waiting = batch
    return {name: number if number.ndim else int(number) for name, number in summed.items()}
