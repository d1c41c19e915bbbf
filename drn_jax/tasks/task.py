"""The record of the few functions in which problems differ."""
from typing import Any, Callable, NamedTuple

import flax.linen as nn
import jax


class Task(NamedTuple):
    """What the loop, the steps and evaluation need to know of a problem.

    Attributes:
        keys: names of the entries that a batch must have.
        labels: what the data set gives as `label`, 'classes', 'maps' or
            'boxes'; see `data.open_source`.
        metrics: names of the metrics that `report` gives.
        model: the network.
        prepare: (batch, key, train) -> batch ready for the model, on the device: `image` becomes
            normalised float32, augmented if `train`. `key` is None where `train` is False.
        forward: (variables, batch) -> (outputs, new batch_stats), in training mode.
        loss: (outputs, batch) -> float32 scalar, the mean over what is real in the global batch;
            None where a task is only evaluated.
        predict: (variables, batch) -> predictions, in evaluation mode.
        counts: (predictions, batch) -> dict of int32 sums over the real examples of the batch,
            arrays of any shape.
        report: (summed counts) -> dict of metrics, name to number.
        optional_keys: names of entries that `counts` uses where batches have them.
        host_counts: (predictions, batch) -> dict of integer sums that need the host, from NumPy
            arrays; or None.
        host_keys: names of the predictions that `host_counts` reads.
        calibrate: (summed counts of images that are not evaluated) -> the `Task` to evaluate with;
            None where nothing has to be chosen.
        details: (summed counts) -> what a report holds besides metrics; or None.
    """
    keys: tuple[str, ...]
    labels: str
    metrics: tuple[str, ...]
    model: nn.Module
    prepare: Callable[..., Any]
    forward: Callable[..., Any]
    loss: Callable[..., Any] | None
    predict: Callable[..., Any]
    counts: Callable[..., Any]
    report: Callable[..., Any]
    optional_keys: tuple[str, ...] = ()
    host_counts: Callable[..., Any] | None = None
    host_keys: tuple[str, ...] = ()
    calibrate: Callable[..., Any] | None = None
    details: Callable[..., Any] | None = None


def forward(model, variables, batch, *, freeze_statistics=False, group=0):
    """Runs the network as training does.

    Args:
        model: the network.
        variables: its parameters and batch statistics.
        batch: normalised `image`, [B, H, W, 3].
        freeze_statistics: normalise by the running statistics and leave them as they are.
        group: images that follow each other and are normalised by their own statistics, as those
            of one device are in training without synchronised statistics; the running statistics
            take the mean over the groups. A divisor of B; 0: all of the batch.

    Returns:
        What the network gives, float32, and the new batch statistics.
    """
    images = batch['image']
    if freeze_statistics:
        return model.apply(variables, images, train=False), variables['batch_stats']

    def train(images):
        outputs, updates = model.apply(variables, images, train=True, mutable=['batch_stats'])
        return outputs, updates['batch_stats']

    if group in (0, len(images)):
        return train(images)
    outputs, stats = jax.vmap(train)(images.reshape(-1, group, *images.shape[1:]))
    return (outputs.reshape(len(images), *outputs.shape[2:]),
            jax.tree.map(lambda each: each.mean(0), stats))
