"""The record of the few functions in which problems differ."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax


class Task(NamedTuple):
    """What the loop, the steps and evaluation need to know of a problem.

    Attributes:
        batch_keys: names of the entries that a batch must have.
        metrics: names of the metrics that `report` gives.
        model: the network.
        preprocess: (batch, key, train) -> batch ready for the model, on the device: `image` becomes
            normalized float32, augmented if `train`. `key` is None where `train` is False.
        forward: (variables, batch) -> (outputs, new batch_stats), in training mode.
        loss: (outputs, batch) -> float32 scalar, the mean over what is real in the global batch;
            None where a task is only evaluated.
        predict: (variables, batch) -> predictions, in evaluation mode.
        counts: (predictions, batch) -> dict of int32 sums over the real examples of the batch,
            arrays of any shape.
        report: (summed counts) -> dict of metrics, name to number.
        crops: how many of each image are evaluated, 1 or 10.
        optional_keys: names of entries that `counts` uses where batches have them.
        host_counts: (predictions, batch) -> dict of integer sums that need the host, from NumPy
            arrays; or None.
        host_keys: names of the predictions that `host_counts` reads.
        calibrate: (summed counts of images that are not evaluated) -> the `Task` to evaluate with;
            None where nothing has to be chosen.
        details: (summed counts) -> what a report holds besides metrics; or None.
    """

    batch_keys: tuple[str, ...]
    metrics: tuple[str, ...]
    model: Any
    preprocess: Callable[..., Any]
    forward: Callable[..., Any]
    loss: Callable[..., Any] | None
    predict: Callable[..., Any]
    counts: Callable[..., Any]
    report: Callable[..., Any]
    crops: int = 1
    optional_keys: tuple[str, ...] = ()
    host_counts: Callable[..., Any] | None = None
    host_keys: tuple[str, ...] = ()
    calibrate: Callable[..., Any] | None = None
    details: Callable[..., Any] | None = None


def forward(model, variables, batch, *, freeze_batch_stats=False, group=0):
    """Runs the network as training does.

    Args:
        model: the network.
        variables: its parameters and batch statistics.
        batch: normalized `image`, [B, H, W, 3].
        freeze_batch_stats: normalize by the running statistics and leave them as they are.
        group: images that follow each other and are normalized by their own statistics, as those
            of one device are in training without synchronized statistics; the running statistics
            take the mean over the groups. A divisor of B; 0: all of the batch.

    Returns:
        What the network gives, float32, and the new batch statistics.
    """
    images = batch['image']
    if freeze_batch_stats:
        return model.apply(variables, images, train=False), variables['batch_stats']

    def train(images):
        outputs, updates = model.apply(variables, images, train=True, mutable=['batch_stats'])
        return outputs, updates['batch_stats']

    if group in (0, len(images)):
        return train(images)
    outputs, stats = jax.vmap(train)(images.reshape(-1, group, *images.shape[1:]))
    return (
        outputs.reshape(len(images), *outputs.shape[2:]),
        jax.tree.map(lambda each: each.mean(0), stats),
    )
