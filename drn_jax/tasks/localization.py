"""Weakly supervised localization: boxes from the class maps of a trained classifier."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from drn_jax.ops import boxes, contours, gridding, resize
from drn_jax.ops.scores import label_rank, minmax_scale
from drn_jax.tasks import classification

RULES = {'dominant': boxes.argmax_row_col_maxima, 'scaled': boxes.minmax_row_col_maxima}
SIZES = {
    'small': 0.1,
    'medium': 0.4,
    'large': 1.0,
}  # largest share of the image that the object has
OVERLAPS = (0.3, 0.5, 0.7)  # of MaxBoxAccV2
# Differs: the code of MaxBoxAcc takes steps of .001, so its best can be a little higher.
SCALED_THRESHOLDS = np.arange(100, dtype=np.float32) / 100
# Fine towards 1, where softmax over few classes saturates.
DOMINANT_THRESHOLDS = np.concatenate(
    [np.arange(50) / 50, 1 - 10 ** -np.linspace(1.75, 6.75, 51)]
).astype(np.float32)
THRESHOLDS: dict[str, np.ndarray] = {
    'dominant': DOMINANT_THRESHOLDS,
    'scaled': SCALED_THRESHOLDS,
}
UNIT = 1 << 16  # shares are counted in whole numbers of 1 / UNIT
PIXEL_BINS = 100


def create(config, model):
    """Returns the localization task: the classifier's, with boxes and without a loss.

    The box of class c is the tightest one round the cells whose response exceeds a threshold. By
    the rule of the paper, 'dominant', the response is the softmax of c where c is the dominant
    class, else 0; by the other rule, 'scaled', it is the score of c scaled to [0, 1] in the image.
    An image is right where IoU > 0.5 with any of its boxes and, for top-1 and top-5 localization,
    its class is among the first one or five.

    Args:
        config: uses what classification does, and `evaluation.threshold`, `scaled_threshold` and
            `maps`.
        model: a classification network of `drn_jax.create_model`.

    Returns:
        A `Task` on batches with what classification needs and `boxes` float32 [B, N, 4] in pixels
        of the original image, zeros where there are fewer; `geometry` int32 [B, 6], see
        `boxes.image_boxes`; perhaps `whole` uint8 [B, H, W, 3], of which the maps are made instead
        of the (central) crop; perhaps `object` uint8 [B, H, W], the object's pixels in the image
        that maps are made of.

    Source: sections 3 and 5.2 of the paper.
    """
    classifier, settings = classification.create(config, model), config.evaluation
    given = {'dominant': settings.threshold, 'scaled': settings.scaled_threshold}
    chosen = {rule: threshold for rule, threshold in given.items() if threshold >= 0}
    thresholds = {
        rule: np.append(values, np.float32(chosen.get(rule, 0.0)))
        for rule, values in THRESHOLDS.items()
    }
    located = classifier._replace(
        batch_keys=(
            *classifier.batch_keys,
            'boxes',
            'geometry',
            *['whole'] * (settings.maps == 'whole' and config.data.crop),
        ),
        metrics=(*classifier.metrics, 'localization_gt_known_error'),
        loss=None,
        preprocess=functools.partial(preprocess, classifier.preprocess),
        predict=functools.partial(predict, model, classifier.predict),
        counts=functools.partial(counts, classifier.counts, model, thresholds),
        host_counts=functools.partial(host_counts, model.table.stride),
        host_keys=('score',),
        optional_keys=('object',),
        details=functools.partial(details, model, thresholds),
    )
    last = {rule: len(THRESHOLDS[rule]) for rule in chosen}
    return located._replace(
        report=functools.partial(report, thresholds, last),
        calibrate=None
        if 'dominant' in chosen
        else functools.partial(calibrate, located, thresholds, last),
    )


def preprocess(prepare_images, batch, key, train):
    """Normalizes the crops and, where the batch has them, the whole images.

    Args:
        prepare_images: classification's `preprocess`.
        batch: see `create`.
        key, train: see `preprocessing.preprocess`.

    Returns:
        The batch with `image`, and `whole` where there is one, float32.
    """
    prepared = prepare_images(batch, key, train)
    if 'whole' in batch:
        prepared['whole'] = prepare_images({'image': batch['whole']}, key, train)['image']
    return prepared


def predict(model, classify, variables, batch):
    """Scores the classes of every image, and makes the maps.

    Args:
        model: the network.
        classify: classification's `predict`.
        variables: parameters and batch statistics.
        batch: see `create`, normalized.

    Returns:
        What classification's `predict` gives, and `maps`, the class scores [B, h, w, C], `score`,
        those of the right class [B, h, w], both float32, and `gridding`, the gridding score of
        every level where one is defined, {name: [B]}.
    """
    images = batch.get('whole', batch['image'])
    images = images[:, 0] if images.ndim == 5 else images  # the central crop
    maps = model.apply(variables, images, method='class_maps')
    levels = model.apply(variables, images, method='levels') | {'class_maps': maps}
    scores = {
        name: gridding.gridding_score(levels[name], period)
        for name, period in grid_periods(model).items()
        if gridding.applicable(levels[name].shape[1], levels[name].shape[2], period)
    }
    of_label = jnp.take_along_axis(maps, batch['label'][:, None, None, None], axis=-1)[..., 0]
    return {**classify(variables, batch), 'maps': maps, 'score': of_label, 'gridding': scores}


def grid_periods(model):
    """Returns the period that a grid has at every level: the largest dilation so far.

    Example:
        >>> import drn_jax
        >>> grid_periods(drn_jax.create_model('drn_c_26'))
        {'level5': 2, 'level6': 4, 'level7': 4, 'level8': 4, 'class_maps': 4}
    """
    periods, period = {}, 1
    for level in model.table.levels:
        period = max(period, level.dilation)
        periods[level.name] = period
    return {
        name: period for name, period in (periods | {'class_maps': period}).items() if period > 1
    }


def counts(count_classes, model, thresholds, predictions, batch, *, centred_box=None):
    """Counts right classes and right boxes, for every threshold.

    Args:
        count_classes: classification's `counts`.
        model: the network.
        thresholds: {rule: [T]}.
        predictions: see `predict`.
        batch: see `create`.
        centred_box: height and width of the baseline's box as shares of the image; None: none.

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

    def overlap(found):  # [B, T, 4] -> [B, T], the best of the image's boxes
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
        cells, found = boxes.cell_boxes(rows[:, 0], columns[:, 0], thresholds[rule])
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


def _pixel_counts(score, objects, stride, real):
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


def host_counts(stride, predictions, batch):
    """Counts what needs connected components: MaxBoxAcc and MaxBoxAccV2, for every threshold.

    Args:
        stride: of the network.
        predictions: NumPy arrays; uses `score`.
        batch: NumPy arrays; uses `boxes`, `geometry`, `mask` and the size of the images.

    Returns:
        `max_box_acc` [T] and `max_box_acc_v2` [3, T], int64: images whose largest contour, or any
        contour, overlaps a box by 0.5, or by each of `OVERLAPS`, in this protocol IoU >= that.
    """
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


def calibrate(located, thresholds, given, summed):
    """Chooses the thresholds, and the baseline's box, by images that are not evaluated.

    The threshold of a rule is the one with most right boxes for the right class, the first of
    equals, unless the configuration gives it.

    Args:
        located: the task.
        thresholds: {rule: [T]}.
        given: {rule: place of the threshold that was given}.
        summed: counts of these images.

    Returns:
        The task for the images to evaluate.
    """
    chosen = {
        rule: int(summed[f'{rule}/gt_known'][: len(THRESHOLDS[rule])].argmax()) for rule in RULES
    } | given
    size = tuple(float(side) for side in summed['box_size'] / UNIT / max(summed['examples'], 1))
    return located._replace(
        counts=functools.partial(located.counts, centred_box=size),
        report=functools.partial(report, thresholds, chosen),
        calibrate=None,
    )


def report(thresholds, chosen, summed):
    """Turns summed counts into metrics, as fractions in [0, 1].

    Args:
        thresholds: {rule: [T]}.
        chosen: {rule: place of the threshold that counts}.
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
        place, prefix = chosen[rule], '' if rule == 'dominant' else f'{rule}/'

        def at(name, rule=rule, place=place):
            return summed[f'{rule}/{name}'][..., place]

        metrics |= {
            f'{prefix}threshold': float(thresholds[rule][place]),
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


def pxap(object_pixels, other_pixels):
    """Returns the pixel-averaged precision: the area under precision over recall of all pixels.

    PxAP = sum over thresholds of precision * (recall - recall of the next higher threshold).

    Args:
        object_pixels, other_pixels: numbers of pixels on objects and beside them, [T], by score,
            ascending.

    Returns:
        float in [0, 1]; 0 without objects.

    Example:
        >>> pxap(np.array([1, 1]), np.array([2, 0]))  # 1 * 1/2 + 1/2 * 1/2
        0.75

    Source: Choe et al., Evaluating Weakly Supervised Object Localization Methods Right, 2020.
    """
    right, wrong = (np.cumsum(each[::-1]) for each in (object_pixels, other_pixels))
    recall = right / max(right[-1], 1)
    precision = right / np.maximum(right + wrong, 1)
    return float((precision * np.diff(recall, prepend=0)).sum())


def details(model, thresholds, summed):
    """Returns the error at every threshold, and which maps have no gridding score, for the report.

    Args:
        model: the network.
        thresholds: {rule: [T]}.
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
