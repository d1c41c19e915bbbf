"""Semantic segmentation: a class for every pixel, cross-entropy over labeled pixels, mean IoU."""

import functools
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from drn_jax.cityscapes import IGNORE_LABEL
from drn_jax.errors import InputError
from drn_jax.models import tiling
from drn_jax.models.networks import Network
from drn_jax.ops import confusion, resize
from drn_jax.ops.phases import strided_sizes
from drn_jax.tasks import preprocessing, task
from drn_jax.tasks.task import Batch

# Classes of Cityscapes' seven categories; reported where a data set has these classes.
CITYSCAPES_CATEGORIES = {
    'flat': ('road', 'sidewalk'),
    'construction': ('building', 'wall', 'fence'),
    'object': ('pole', 'traffic light', 'traffic sign'),
    'nature': ('vegetation', 'terrain'),
    'sky': ('sky',),
    'human': ('person', 'rider'),
    'vehicle': ('car', 'truck', 'bus', 'train', 'motorcycle', 'bicycle'),
}
METRICS = ('mean_iou', 'pixel_accuracy')


def create(config: ml_collections.ConfigDict, model: Network) -> task.Task:
    """Creates the segmentation task.

    Args:
        config: uses `data`, `augmentation`, `loss`, `evaluation`, `model.upsample_border` and
            `model.freeze_batch_stats`, `model.batch_norm_group_size`.
        model: a segmentation network of `drn_jax.create_model`.

    Returns:
        A `Task` on batches with `image` uint8 [B, H, W, 3], `label` uint8 [B, H, W], 255 where a
        pixel does not count, `mask` bool [B] and, in training, `index` uint32 [B].

    Raises:
        InputError: a field cannot be used.
    """
    evaluation, stride, border = config.evaluation, model.table.stride, config.model.upsample_border
    if evaluation.tile_px % stride:
        raise InputError(
            f'config.evaluation.tile_px is {evaluation.tile_px}; give 0, for whole '
            f'images, or a multiple of the stride of {model.variant}, {stride}',
            field='config.evaluation.tile_px',
        )
    if evaluation.mirror and not config.augmentation.mirror:
        raise InputError(
            'config.evaluation.mirror is True, but config.augmentation.mirror is off '
            'for this data; leave it False',
            field='config.evaluation.mirror',
        )
    weights, classes = config.loss.class_weights, model.num_classes
    if weights and classes and len(weights) != classes:
        raise InputError(
            f'config.loss.class_weights has {len(weights)} numbers, but there are '
            f'{classes} classes; give one for each, or none',
            field='config.loss.class_weights',
        )
    if weights and not any(weights):
        raise InputError(
            'config.loss.class_weights are all 0, so nothing would be learned; give '
            'one above 0, or none',
            field='config.loss.class_weights',
        )
    names = config.data.class_names
    if unknown := set(evaluation.classes) - set(names or evaluation.classes):
        raise InputError(
            f'config.evaluation.classes holds {", ".join(sorted(unknown))}, but the classes are '
            f'{", ".join(names)}; give some of these, or none for all',
            field='config.evaluation.classes',
        )
    return task.Task(
        batch_keys=('image', 'label', 'mask'),
        metrics=METRICS,
        model=model,
        preprocess=preprocessing.create_preprocess(config),
        forward=task.create_forward(model, config),
        loss=functools.partial(loss, stride=stride, border=border, class_weights=tuple(weights)),
        predict=functools.partial(
            predict,
            model,
            scales=tuple(evaluation.scales),
            mirror=evaluation.mirror,
            tile_px=evaluation.tile_px,
            border=border,
        ),
        counts=functools.partial(counts, classes=classes),
        report=functools.partial(
            report,
            class_names=tuple(config.data.class_names),
            evaluated=tuple(evaluation.classes),
        ),
        details=details,
    )


def loss(
    maps: jax.Array,
    batch: Batch,
    *,
    stride: int = 8,
    border: str = 'extend',
    class_weights: Sequence[float] = (),
) -> jax.Array:
    """Computes the mean cross-entropy over the labeled pixels of the batch, at full resolution.

    The class scores are upsampled bilinearly a tile of rows at a time, and once more for the
    gradient, so an eighth of the full-resolution scores is all that is ever held.

    Args:
        maps: class scores, [B, h, w, C], float32.
        batch: `label` uint8 [B, H, W], 255 where a pixel does not count; `mask` bool [B].
        stride: pixels from one cell of the maps to the next.
        border: see `resize.upsample`.
        class_weights: weight of each class in the mean, C numbers; none: all weigh the same.

    Returns:
        float32 scalar, in nats: sum of weight * cross-entropy / sum of weights; 0 where no pixel
        counts.

    Example:
        >>> labels = jnp.full((1, 8, 8), 1).at[0, 0, 0].set(255)
        >>> batch = {'label': labels, 'mask': jnp.array([True])}
        >>> round(loss(jnp.zeros((1, 1, 1, 2)), batch).item(), 4)
        0.6931

    Source: section 5.3 of the paper.
    """
    labels = jnp.where(batch['mask'][:, None, None], batch['label'], IGNORE_LABEL)
    weights = jnp.array(class_weights or (1.0,) * maps.shape[-1], jnp.float32)

    def of_tile(scores, labels):
        # A label of 255 is no class, so its weight is zero. Accelerators select faster than they
        # gather.
        is_label = labels[..., None] == jnp.arange(maps.shape[-1], dtype=labels.dtype)
        of_label = jnp.where(is_label, scores, 0).sum(-1)
        weight = jnp.where(is_label, weights, 0).sum(-1)
        return (weight * (jax.nn.logsumexp(scores, axis=-1) - of_label)).sum(), weight.sum()

    sums, totals = resize.map_upsampled(
        of_tile, [maps], *labels.shape[1:], strides=[stride], labels=labels, border=border
    )
    total = totals.sum()
    return sums.sum() / jnp.where(total > 0, total, 1)


def predict(
    model: Network,
    variables: Mapping[str, Any],
    batch: Batch,
    *,
    scales: Sequence[float] = (1.0,),
    mirror: bool = False,
    tile_px: int = 0,
    border: str = 'extend',
    sizes: jax.Array | None = None,
) -> jax.Array:
    """Finds the most probable class of every pixel, without scores at full resolution.

    With several scales, or with mirror images, the logarithms of the probabilities are summed.

    Args:
        model: the network.
        variables: its parameters and batch statistics.
        batch: normalized `image`, [B, H, W, 3].
        scales: multiples of the image's size at which the network looks, above 0.
        mirror: whether it looks at the mirror image too, at every scale.
        tile_px: side of tiles in which images are computed, see `tiling`; 0: images as a whole.
        border: see `resize.upsample`.
        sizes: see `Network.class_maps`; for one scale of 1, without mirror image and tiles. Pixels
            outside mean nothing.

    Returns:
        uint8 [B, H, W].

    Raises:
        ValueError: sizes are given together with other scales, the mirror image or tiles.

    Source: section 5.3 of the paper; multiple scales as in the release, with one difference.
    """
    # Differs: the release resizes probabilities of each scale that it has upsampled by 8 before.
    # Here scores are interpolated once, from the cells of the map to the pixels of the image.
    if sizes is not None and (tuple(scales) != (1.0,) or mirror or tile_px):
        raise ValueError(
            'images of several sizes are seen at scale 1, unmirrored and without tiles'
        )
    images = batch['image']
    size = images.shape[1:3]

    def class_maps(images):
        if tile_px:
            return tiling.tiled_class_maps(model, variables, images, tile_px)
        found = cast(jax.Array, model.apply(variables, images, sizes=sizes, method='class_maps'))
        cells = strided_sizes(sizes, model.table.stride)
        return found if cells is None else resize.fill_outside(found, cells, border)

    maps, strides, mirrored = [], [], []
    for scale in scales:
        scaled_size = [max(round(length * scale), 1) for length in size]
        scaled = (
            images
            if scale == 1
            else jax.image.resize(images, (len(images), *scaled_size, 3), 'linear', antialias=True)
        )
        for flipped in (False, True)[: 1 + mirror]:
            maps.append(class_maps(scaled[:, :, ::-1] if flipped else scaled))
            strides.append(
                [
                    model.table.stride * length / scaled_length
                    for length, scaled_length in zip(size, scaled_size)
                ]
            )
            mirrored.append(flipped)

    def best(*scores):
        if len(scores) == 1:
            return scores[0].argmax(-1).astype(jnp.uint8)
        total = functools.reduce(jnp.add, map(jax.nn.log_softmax, scores))
        return total.argmax(-1).astype(jnp.uint8)

    tiles = resize.map_upsampled(
        best, maps, *size, strides=strides, mirrored=mirrored, border=border
    )
    return resize.join_rows(tiles, size[0])


def counts(predictions: jax.Array, batch: Batch, *, classes: int) -> dict[str, jax.Array]:
    """Counts the real examples, and their labeled pixels by right and by predicted class.

    Args:
        predictions: uint8 [B, H, W].
        batch: `label` uint8 [B, H, W], 255 where a pixel does not count; `mask` bool [B].
        classes: number of classes C.

    Returns:
        `examples`, int32, and `confusion`, int32 [C, C]; see `confusion.confusion_matrix`.
    """
    labels = jnp.where(batch['mask'][:, None, None], batch['label'], IGNORE_LABEL)
    return {
        'examples': batch['mask'].sum(dtype=jnp.int32),
        'confusion': confusion.confusion_matrix(labels, predictions, classes),
    }


def report(
    summed: Mapping[str, Any], *, class_names: Sequence[str], evaluated: Collection[str] = ()
) -> dict[str, Any]:
    """Turns summed counts into metrics: fractions in [0, 1].

    Args:
        summed: see `counts`.
        class_names: names of the rows of `confusion`.
        evaluated: those of them that have an IoU; (): all.

    Returns:
        `examples`, `mean_iou` over the classes that have pixels, `pixel_accuracy`, `iou/<class>`
        for each of these and, for the classes of Cityscapes, `category_mean_iou` and
        `category_iou/<name>`. Where no pixel is labeled, only `examples`.

    Example:
        >>> metrics = report({'examples': 1, 'confusion': np.array([[3, 1], [0, 4]])},
        ...                  class_names=('sky', 'sea'))
        >>> {name: round(number, 3) for name, number in metrics.items()}
        {'examples': 1, 'mean_iou': 0.775, 'pixel_accuracy': 0.875, 'iou/sky': 0.75, 'iou/sea': 0.8}

    Source: the evaluation scripts of Cityscapes define the same numbers.
    """
    matrix = summed['confusion']
    metrics = {'examples': summed['examples']}
    if not matrix.sum():
        return metrics
    evaluated = evaluated or class_names
    scores = np.where([name in evaluated for name in class_names], confusion.iou(matrix), np.nan)
    metrics['mean_iou'] = float(np.nanmean(scores))
    metrics['pixel_accuracy'] = float(matrix.trace() / matrix.sum())
    metrics |= _named('iou', class_names, scores)
    if set(class_names) == set(sum(CITYSCAPES_CATEGORIES.values(), ())):
        scores = np.where(
            [bool(set(members) & set(evaluated)) for members in CITYSCAPES_CATEGORIES.values()],
            confusion.iou(merge(matrix, class_names, CITYSCAPES_CATEGORIES)),
            np.nan,
        )
        metrics['category_mean_iou'] = float(np.nanmean(scores))
        metrics |= _named('category_iou', CITYSCAPES_CATEGORIES, scores)
    return metrics


def details(summed: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the confusion matrix, for the report: a list of rows, one for each right class."""
    return {'confusion': summed['confusion'].tolist()}


def merge(
    matrix: np.ndarray, class_names: Iterable[str], categories: Mapping[str, Iterable[str]]
) -> np.ndarray:
    """Adds up the rows and columns of a confusion matrix by category.

    Args:
        matrix: [C, C], integers.
        class_names: names of its rows.
        categories: {name: names of its classes}.

    Returns:
        The matrix with a row and a column for each category.

    Example:
        >>> matrix = np.array([[1, 2, 0], [0, 3, 0], [4, 0, 5]])
        >>> merge(matrix, 'abc', {'x': 'ab', 'y': 'c'}).tolist()
        [[6, 0], [4, 5]]
    """
    of_category = np.array(
        [[name in members for name in class_names] for members in categories.values()], matrix.dtype
    )
    return of_category @ matrix @ of_category.T


def _named(prefix: str, names: Iterable[str], scores: Iterable[float]) -> dict[str, float]:
    return {
        f'{prefix}/{name}': float(score)
        for name, score in zip(names, scores)
        if not np.isnan(score)
    }
