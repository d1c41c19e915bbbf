"""The record of the few functions in which problems differ."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import ml_collections

from drn_jax.models.networks import Network

Batch = Mapping[str, jax.Array]  # on the device, its entries as in `data.batch_specs.Batch`


class Task(NamedTuple):
    """What the loop, the steps and evaluation need to know of a problem.

    Attributes:
        batch_keys: names of the entries that a batch must have.
        metrics: names of the metrics that are shown while a network is trained, and that can
            choose the best checkpoint.
        model: the network.
        preprocess: (batch, key, train) -> batch ready for the model, on the device: `image` becomes
            normalized float32, augmented if `train`. `key` is None where `train` is False.
        forward: (variables, batch) -> (outputs, new batch_stats), in training mode.
        loss: (outputs, batch) -> float32 scalar, the mean over what is real in the global batch;
            None where a task is only evaluated.
        predict: (variables, batch) -> predictions, in evaluation mode.
        counts: (predictions, batch) -> dict of int32 sums over the real examples of the batch,
            arrays of any shape.
        report: (summed counts) -> metrics, {name: number}.
        crops: how many of each image are evaluated, 1 or 10.
        optional_keys: names of entries that `counts` uses where batches have them.
        host_counts: (predictions, batch) -> dict of integer sums that are made on the host, from
            NumPy arrays; None where there are none.
        host_keys: names of the predictions that `host_counts` reads.
        calibrate: (summed counts of images that are not evaluated) -> the `Task` to evaluate with;
            None where nothing has to be chosen.
        details: (summed counts) -> what a report holds besides metrics; None where it is nothing.
    """

    batch_keys: tuple[str, ...]
    metrics: tuple[str, ...]
    model: Network
    preprocess: Callable[..., Batch]
    forward: Callable[..., tuple[jax.Array, Any]]
    loss: Callable[..., jax.Array] | None
    predict: Callable[..., Any]
    counts: Callable[..., dict[str, jax.Array]]
    report: Callable[..., dict[str, Any]]
    crops: int = 1
    optional_keys: tuple[str, ...] = ()
    host_counts: Callable[..., dict[str, Any]] | None = None
    host_keys: tuple[str, ...] = ()
    calibrate: Callable[..., 'Task'] | None = None
    details: Callable[..., dict[str, Any]] | None = None


def create_forward(
    model: Network, config: ml_collections.ConfigDict
) -> Callable[..., tuple[jax.Array, Any]]:
    """Makes the function `Task.forward` of a network, as `forward`.

    Args:
        model: the network.
        config: uses `model.freeze_batch_stats` and `model.batch_norm_group_size`.
    """
    return functools.partial(
        forward,
        model,
        freeze_batch_stats=config.model.freeze_batch_stats,
        group=config.model.batch_norm_group_size,
    )


def forward(
    model: Network,
    variables: Mapping[str, Any],
    batch: Batch,
    *,
    freeze_batch_stats: bool = False,
    group: int = 0,
) -> tuple[jax.Array, Any]:
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
        The network's outputs, float32, and the new batch statistics.
    """
    images = batch['image']
    if freeze_batch_stats:
        scores: Any = model.apply(variables, images, train=False)
        return scores, variables['batch_stats']

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
