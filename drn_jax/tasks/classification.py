"""Image classification: the training loss, one-crop and ten-crop testing, top-1 and top-5 error."""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import optax

from drn_jax.models.networks import Network
from drn_jax.ops.scores import label_rank
from drn_jax.tasks import preprocessing, task
from drn_jax.tasks.task import Batch


def create(config: ml_collections.ConfigDict, model: Network) -> task.Task:
    """Creates the classification task.

    Args:
        config: uses `data.mean`, `data.std`, `augmentation`, `loss`, `evaluation` and
            `model.freeze_batch_stats`, `model.batch_norm_group_size`.
        model: a classification network of `drn_jax.create_model`.

    Returns:
        A `Task` on batches with `image` uint8 [B, H, W, 3] ([B, 5, H, W, 3] in ten-crop testing),
        `label` int32 [B], `mask` bool [B] and, in training, `index` uint32 [B].
    """
    evaluation, crops = config.evaluation, config.evaluation.crops
    return task.Task(
        batch_keys=('image', 'label', 'mask'),
        crops=crops,
        metrics=tuple(
            f'top{k}_error{suffix}'
            for suffix in ('', '_10crop')[: 1 + (crops == 10)]
            for k in (1, 5)
        ),
        model=model,
        preprocess=preprocessing.create_preprocess(config),
        forward=task.create_forward(model, config),
        loss=functools.partial(loss, smoothing=config.loss.label_smoothing),
        predict=functools.partial(predict, model, average=evaluation.average),
        counts=counts,
        report=report,
    )


def loss(logits: jax.Array, batch: Batch, *, smoothing: float = 0.0) -> jax.Array:
    """Computes the mean cross-entropy over the real examples of the batch.

    Args:
        logits: class scores, [B, classes], float32.
        batch: `label` int32 [B], `mask` bool [B].
        smoothing: fraction of the target's weight that is spread evenly over all classes.

    Returns:
        float32 scalar, in nats; 0 where nothing is real.

    Example:
        >>> batch = {'label': jnp.array([0, 1]), 'mask': jnp.array([True, False])}
        >>> round(loss(jnp.array([[0., 0.], [9., 0.]]), batch).item(), 4)
        0.6931
    """
    targets = optax.smooth_labels(jax.nn.one_hot(batch['label'], logits.shape[-1]), smoothing)
    losses = optax.losses.softmax_cross_entropy(logits, targets)
    return losses.sum(where=batch['mask']) / jnp.maximum(batch['mask'].sum(), 1)


def predict(
    model: Network,
    variables: Mapping[str, Any],
    batch: Batch,
    *,
    average: str = 'probabilities',
) -> dict[str, jax.Array]:
    """Scores the classes of every image.

    Args:
        model: the network.
        variables: its parameters and batch statistics.
        batch: normalized `image`, [B, H, W, 3], or five crops of every image [B, 5, H, W, 3],
            the central one first; the other five are their mirror images.
        average: what ten crops average, 'probabilities' or 'logits'.

    Returns:
        `1crop`: logits of the image or its central crop, [B, classes], float32; with five crops
        also `10crop`: the average, [B, classes], float32.

    Source: section 5.1 of the paper. Differs: it does not say what is averaged over ten crops.
    """
    images = batch['image']
    if images.ndim == 4:
        scores: Any = model.apply(variables, images, train=False)
        return {'1crop': scores}
    crops = jnp.concatenate([images, images[..., ::-1, :]], axis=1)
    logits = jax.lax.map(
        lambda crop: model.apply(variables, crop, train=False), crops.swapaxes(0, 1)
    )
    averaged = jax.nn.softmax(logits) if average == 'probabilities' else logits
    return {'1crop': logits[0], '10crop': averaged.mean(0)}


def counts(predictions: Mapping[str, jax.Array], batch: Batch) -> dict[str, jax.Array]:
    """Counts the real examples and those whose class is not among the first one or five.

    Args:
        predictions: `1crop` and perhaps `10crop`, [B, classes].
        batch: `label` int32 [B], `mask` bool [B].

    Returns:
        `examples`, `top1_error`, `top5_error`, and with ten crops `top1_error_10crop` and
        `top5_error_10crop`: int32 scalars.

    Example:
        >>> batch = {'label': jnp.array([0, 1]), 'mask': jnp.array([True, True])}
        >>> result = counts({'1crop': jnp.array([[2., 1.], [2., 1.]])}, batch)
        >>> {name: int(number) for name, number in result.items()}
        {'examples': 2, 'top1_error': 1, 'top5_error': 0}
    """
    result = {'examples': batch['mask'].sum(dtype=jnp.int32)}
    for suffix, scores in (('', predictions['1crop']), ('_10crop', predictions.get('10crop'))):
        if scores is None:
            continue
        rank = label_rank(scores, batch['label'])
        for k in (1, 5):
            wrong = (rank > k) & batch['mask']
            result[f'top{k}_error{suffix}'] = wrong.sum(dtype=jnp.int32)
    return result


def report(summed: Mapping[str, Any]) -> dict[str, Any]:
    """Turns summed counts into metrics: errors as fractions of the examples, in [0, 1].

    Args:
        summed: see `counts`.

    Example:
        >>> report({'examples': 8, 'top1_error': 2, 'top5_error': 0})
        {'examples': 8, 'top1_error': 0.25, 'top5_error': 0.0}
    """
    examples = summed['examples']
    return {
        'examples': examples,
        **{
            name: number / max(examples, 1) for name, number in summed.items() if name != 'examples'
        },
    }
