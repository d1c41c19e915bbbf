"""What localization counts, on the device and on the host, and the metrics made of it."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from drn_jax.models.networks import Network
from drn_jax.ops import boxes, resize
from drn_jax.ops.scores import label_rank, minmax_scale
from drn_jax.tasks import classification
from drn_jax.tasks.task import Batch

RULES = {'dominant': boxes.argmax_row_col_maxima, 'scaled': boxes.minmax_row_col_maxima}
# Of objects, and the largest fraction of the image that each takes.
SIZES = {'small': 0.1, 'medium': 0.4, 'large': 1.0}
OVERLAPS = (0.3, 0.5, 0.7)  # of MaxBoxAccV2
# Differs: the code of MaxBoxAcc takes steps of .001, so its best can be a little higher.
SCALED_THRESHOLDS = np.arange(100, dtype=np.float32) / 100
# Fine towards 1, where softmax over few classes saturates.
DOMINANT_THRESHOLDS = np.concatenate(
    [np.arange(50) / 50, 1 - 10 ** -np.linspace(1.75, 6.75, 51)]
).astype(np.float32)
THRESHOLDS: dict[str, np.ndarray] = {'dominant': DOMINANT_THRESHOLDS, 'scaled': SCALED_THRESHOLDS}
UNIT = 1 << 16  # fractions are counted in whole numbers of 1 / UNIT
PIXEL_BINS = 100  # of scaled scores

Thresholds = Mapping[str, np.ndarray]  # by rule, float32 [T]; the last is a given one, or 0


def counts(
    count_classes: Callable[..., dict[str, jax.Array]],
    model: Network,
    thresholds: Thresholds,
    predictions: Mapping[str, Any],
    batch: Batch,
    *,
    centred_box: tuple[float, float] | None = None,
) -> dict[str, jax.Array]:
    """Counts right classes and right boxes, for every threshold.

    Args:
        count_classes: classification's `counts`.
        model: the network.
        thresholds: {rule: [T]}.
        predictions: see `localization.predict`.
        batch: see `localization.create`.
        centred_box: height and width of the baseline's box as fractions of the image; None: none.

    Returns:
        Sums over the real examples that have a box, int32: classification's; for each rule
        `<rule>/gt_known`, `<rule>/top1`, `<rule>/top5` (right boxes), `<rule>/empty` and
        `<rule>/iou` (in 1 / UNIT), [T] each, and `<rule>/size` [3, T], the right boxes by size of
        object; `sizes` [3]; `box_size` [2], the sums of height and width (in 1 / UNIT of the
        image); right boxes of the baselines; `without_boxes`, the examples left out;
        `object_pixels` and `other_pixels` [PIXEL_BINS], by scaled score; `gridding/<level>`.
    """
    geometry, truth = batch['geometry'], batch['boxes']
    has_box = (truth[..., 2:] > truth[..., :2]).all(-1).any(-1)
    real = batch['mask'] & has_box
    image_size = geometry[:, :2].astype(jnp.float32)
    rank = label_rank(predictions.get('10crop', predictions['1crop']), batch['label'])
    fraction = ((truth[..., 2:] - truth[..., :2]).prod(-1) / image_size.prod(-1)[:, None]).max(1)
    size = (fraction[:, None] > jnp.array(list(SIZES.values()))).sum(-1).clip(max=len(SIZES) - 1)
    of_size = jax.nn.one_hot(size, len(SIZES), dtype=jnp.int32) * real[:, None]
    largest = jnp.take_along_axis(
        truth, (truth[..., 2:] - truth[..., :2]).prod(-1).argmax(1)[:, None, None], axis=1
    )[:, 0]

    def total(values):
        return (values * real.reshape(-1, *[1] * (values.ndim - 1))).sum(0, dtype=jnp.int32)

    def overlap(found):  # [B, T, 4] -> [B, T], the best over the image's boxes
        return boxes.iou(found[:, :, None], truth[:, None]).max(-1)

    result = count_classes(predictions, {**batch, 'mask': real}) | {
        'without_boxes': (batch['mask'] & ~has_box).sum(dtype=jnp.int32),
        'sizes': of_size.sum(0),
        'box_size': total(
            jnp.round((largest[:, 2:] - largest[:, :2]) / image_size * UNIT).astype(jnp.int32)
        ),
    }
    for rule, row_col_maxima in RULES.items():
        rows, columns = row_col_maxima(predictions['maps'], batch['label'][:, None])
        cells, found = boxes.cell_boxes(rows[:, 0], columns[:, 0], jnp.asarray(thresholds[rule]))
        ious = overlap(boxes.image_boxes(cells, model.table.stride, geometry))
        right = (ious > 0.5).astype(jnp.int32)
        result |= {
            f'{rule}/gt_known': total(right),
            f'{rule}/top1': total(right * (rank == 1)[:, None]),
            f'{rule}/top5': total(right * (rank <= 5)[:, None]),
            f'{rule}/empty': total(~found),
            f'{rule}/iou': total(jnp.round(ious * UNIT).astype(jnp.int32)),
            f'{rule}/size': jnp.einsum('bs,bt->st', of_size, right),
        }
    baselines = {'whole_image': (1.0, 1.0)} | ({'centred_box': centred_box} if centred_box else {})
    for name, sides in baselines.items():
        half = jnp.array(sides) / 2
        box = jnp.concatenate([(0.5 - half) * image_size, (0.5 + half) * image_size], axis=-1)
        result[name] = total(overlap(box[:, None])[:, 0] > 0.5)
    for name, score in predictions['gridding'].items():
        result[f'gridding/{name}'] = total(jnp.round(score * UNIT).astype(jnp.int32))
    return result | (
        _pixel_counts(predictions['score'], batch['object'], model.table.stride, real)
        if 'object' in batch
        else {}
    )


def _pixel_counts(
    score: jax.Array, objects: jax.Array, stride: int, real: jax.Array
) -> dict[str, jax.Array]:
    """Counts the pixels of objects, and the others, by the scaled score of the right class."""
    upsampled = resize.upsample(score[..., None], *objects.shape[1:], stride=stride)[..., 0]
    scaled = minmax_scale(upsampled, (1, 2))
    bins = jnp.clip((scaled * PIXEL_BINS).astype(jnp.int32), 0, PIXEL_BINS - 1)
    inside = (objects > 0) & real[:, None, None]
    outside = (objects == 0) & real[:, None, None]

    def histogram(image):  # one image at a time: its one-hot vectors take 100 numbers a pixel
        bins, *kinds = image
        at_bin = jax.nn.one_hot(bins, PIXEL_BINS, dtype=jnp.float32)
        return [
            jnp.einsum('hw,hwt->t', pixels.astype(jnp.float32), at_bin).astype(jnp.int32)
            for pixels in kinds
        ]

    counted = jax.lax.map(histogram, (bins, inside, outside))
    return {name: counts.sum(0) for name, counts in zip(('object_pixels', 'other_pixels'), counted)}


def host_counts(
    stride: int, predictions: Mapping[str, np.ndarray], batch: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Counts what needs connected components: MaxBoxAcc and MaxBoxAccV2, for every threshold.

    Args:
        stride: the network's, in pixels.
        predictions: uses `score`.
        batch: uses `boxes`, `geometry`, `mask` and the size of the images.

    Returns:
        `max_box_acc` [T] and `max_box_acc_v2` [3, T], int64: images whose largest contour, or any
        contour, overlaps a box by 0.5, or by each of `OVERLAPS`, in this protocol IoU >= that.
    """
    from drn_jax.ops import contours  # here, as SciPy takes an eighth of a second

    images = batch.get('whole', batch['image'])
    steps = len(SCALED_THRESHOLDS)
    result = {
        'max_box_acc': np.zeros(steps, np.int64),
        'max_box_acc_v2': np.zeros((len(OVERLAPS), steps), np.int64),
    }
    has_box = (batch['boxes'][..., 2:] > batch['boxes'][..., :2]).all(-1).any(-1)
    for row in np.flatnonzero(batch['mask'] & has_box):
        scaled = contours.scaled_map(predictions['score'][row], *images.shape[-3:-1], stride=stride)
        found = contours.contours(scaled, SCALED_THRESHOLDS)
        placed = boxes.image_boxes(found.boxes[None], 1, batch['geometry'][row][None])[0]
        truth = np.asarray(batch['boxes'][row], np.float32)
        ious = boxes.iou(placed[:, None], truth[None]).max(-1, initial=0)
        best = np.zeros((2, steps), np.float32)
        np.maximum.at(best[0], found.threshold[found.largest], ious[found.largest])
        np.maximum.at(best[1], found.threshold, ious)
        result['max_box_acc'] += best[0] >= 0.5
        result['max_box_acc_v2'] += best[1] >= np.array(OVERLAPS, np.float32)[:, None]
    return result


def report(
    thresholds: Thresholds, chosen: Mapping[str, int], summed: Mapping[str, Any]
) -> dict[str, Any]:
    """Turns summed counts into metrics, as fractions in [0, 1].

    Args:
        thresholds: {rule: [T]}.
        chosen: {rule: index of the threshold that counts}; other rules are left out.
        summed: see `counts` and `host_counts`.

    Returns:
        `examples`, classification's errors; by the paper's rule `threshold`,
        `localization_top1_error`, `localization_top5_error`, `localization_gt_known_error`,
        `empty_maps`, `box_iou` (mean) and `localization_error/<size>`; the same with the prefix
        `scaled/`; errors of the baselines for a known class; `max_box_acc`, `max_box_acc_v2`,
        `pxap` where there are masks, of the pixels that maps are made of, and `gridding/<level>`
        where it is defined.
    """
    examples = max(summed['examples'], 1)
    metrics = classification.report(
        {
            name: summed[name]
            for name in summed
            if name == 'examples' or name.startswith('top') and '_error' in name
        }
    )
    for rule in RULES:
        if rule not in chosen:
            continue
        index, prefix = chosen[rule], '' if rule == 'dominant' else f'{rule}/'

        def at(name, rule=rule, index=index):
            return summed[f'{rule}/{name}'][..., index]

        metrics |= {
            f'{prefix}threshold': float(thresholds[rule][index]),
            f'{prefix}localization_top1_error': 1 - at('top1') / examples,
            f'{prefix}localization_top5_error': 1 - at('top5') / examples,
            f'{prefix}localization_gt_known_error': 1 - at('gt_known') / examples,
            f'{prefix}empty_maps': at('empty') / examples,
            f'{prefix}box_iou': at('iou') / UNIT / examples,
        }
        metrics |= {
            f'{prefix}localization_error/{name}': 1 - right / number
            for name, right, number in zip(SIZES, at('size'), summed['sizes'])
            if number
        }
    metrics |= {
        f'{name}/localization_gt_known_error': 1 - summed[name] / examples
        for name in ('centred_box', 'whole_image')
        if name in summed
    }
    if 'max_box_acc' in summed:
        metrics |= {
            'max_box_acc': summed['max_box_acc'].max() / examples,
            'max_box_acc_v2': (summed['max_box_acc_v2'].max(-1) / examples).mean(),
        }
    if 'object_pixels' in summed:
        metrics['pxap'] = pxap(summed['object_pixels'], summed['other_pixels'])
    metrics |= {
        name: number / UNIT / examples
        for name, number in summed.items()
        if name.startswith('gridding/')
    }
    if summed['without_boxes']:
        metrics['without_boxes'] = summed['without_boxes']
    return {
        name: number if isinstance(number, int) else float(number)
        for name, number in metrics.items()
    }


def pxap(object_pixels: np.ndarray, other_pixels: np.ndarray) -> float:
    """Computes the pixel-averaged precision: the area under precision over recall of all pixels.

    PxAP = sum over thresholds of precision * (recall - recall of the next higher threshold).

    Args:
        object_pixels, other_pixels: numbers of pixels on objects and beside them, [T], by score,
            ascending.

    Returns:
        A number in [0, 1]; 0 without objects.

    Example:
        >>> pxap(np.array([1, 1]), np.array([2, 0]))  # 1 * 1/2 + 1/2 * 1/2
        0.75

    Source: Choe et al., Evaluating Weakly Supervised Object Localization Methods Right, 2020.
    """
    right, wrong = (np.cumsum(each[::-1]) for each in (object_pixels, other_pixels))
    recall = right / max(right[-1], 1)
    precision = right / np.maximum(right + wrong, 1)
    return float((precision * np.diff(recall, prepend=0)).sum())


def details(model: Network, summed: Mapping[str, Any]) -> dict[str, Any]:
    """Lists the error at every threshold, and which maps have no gridding score, for the report.

    Args:
        model: the network.
        summed: see `counts`.

    Returns:
        `sweep`: {rule: {'thresholds', 'gt_known_error', 'empty_maps'}}, lists of float;
        `gridding_not_applicable`: names of levels, and 'class_maps', without dilation so far or too
        small to hold two periods.
    """
    examples = max(summed['examples'], 1)
    names = [*(level.name for level in model.table.levels), 'class_maps']
    sweep = {
        rule: {
            'thresholds': [float(threshold) for threshold in THRESHOLDS[rule]],
            'gt_known_error': (1 - summed[f'{rule}/gt_known'] / examples)[:-1].tolist(),
            'empty_maps': (summed[f'{rule}/empty'] / examples)[:-1].tolist(),
        }
        for rule in RULES
    }
    missing = [name for name in names if f'gridding/{name}' not in summed]
    return {'gridding_not_applicable': missing, 'sweep': sweep}
