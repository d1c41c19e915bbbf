"""The record of the few functions in which problems differ."""
from typing import Any, Callable, NamedTuple

import flax.linen as nn


class Task(NamedTuple):
    """What the loop, the steps and evaluation need to know of a problem.

    Attributes:
        keys: names of the entries that a batch must have.
        metrics: names of the metrics that `report` gives.
        model: the network.
        prepare: (batch, key, train) -> batch ready for the model, on the device: `image` becomes
            normalised float32, augmented if `train`. `key` is None where `train` is False.
        forward: (variables, batch) -> (outputs, new batch_stats), in training mode.
        loss: (outputs, batch) -> float32 scalar, the mean over what is real in the global batch;
            None where a task is only evaluated.
        predict: (variables, batch) -> predictions, in evaluation mode.
        counts: (predictions, batch) -> dict of int32 sums over the real examples of the batch.
        report: (summed counts) -> dict of metrics, name to number.
    """
    keys: tuple[str, ...]
    metrics: tuple[str, ...]
    model: nn.Module
    prepare: Callable[..., Any]
    forward: Callable[..., Any]
    loss: Callable[..., Any] | None
    predict: Callable[..., Any]
    counts: Callable[..., Any]
    report: Callable[..., Any]
