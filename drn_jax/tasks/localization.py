"""Weakly supervised localization: boxes from the class activation maps (CAM) of a classifier."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, cast

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from drn_jax.models.networks import Network
from drn_jax.ops import gridding
from drn_jax.tasks import classification, task
from drn_jax.tasks import localization_metrics as metrics
from drn_jax.tasks.task import Batch


def create(config: ml_collections.ConfigDict, model: Network) -> task.Task:
    """Creates the localization task: the classifier's, with boxes and without a loss.

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
    classifier, evaluation = classification.create(config, model), config.evaluation
    given = {'dominant': evaluation.threshold, 'scaled': evaluation.scaled_threshold}
    chosen = {rule: threshold for rule, threshold in given.items() if threshold >= 0}
    thresholds = {
        rule: np.append(values, np.float32(chosen.get(rule, 0.0)))
        for rule, values in metrics.THRESHOLDS.items()
    }
    located = classifier._replace(
        batch_keys=(
            *classifier.batch_keys,
            'boxes',
            'geometry',
            *['whole'] * (evaluation.maps == 'whole' and config.data.crop),
        ),
        metrics=(*classifier.metrics, 'localization_gt_known_error'),
        loss=None,
        preprocess=functools.partial(preprocess, classifier.preprocess),
        predict=functools.partial(predict, model, classifier.predict),
        counts=functools.partial(metrics.counts, classifier.counts, model, thresholds),
        host_counts=functools.partial(metrics.host_counts, model.table.stride),
        host_keys=('score',),
        optional_keys=('object',),
        details=functools.partial(metrics.details, model),
    )
    last = {rule: len(metrics.THRESHOLDS[rule]) for rule in chosen}
    return located._replace(
        report=functools.partial(metrics.report, thresholds, last),
        calibrate=None
        if 'dominant' in chosen
        else functools.partial(calibrate, located, thresholds, last),
    )


def preprocess(
    preprocess_images: Callable[..., Batch], batch: Batch, key: jax.Array | None, train: bool
) -> Batch:
    """Normalizes the crops and, where the batch has them, the whole images.

    Args:
        preprocess_images: classification's `preprocess`.
        batch: see `create`.
        key, train: see `preprocessing.preprocess`.

    Returns:
        The batch with `image`, and `whole` where there is one, float32.
    """
    done = preprocess_images(batch, key, train)
    if 'whole' in batch:
        whole = preprocess_images({'image': batch['whole']}, key, train)['image']
        return {**done, 'whole': whole}
    return done


def predict(
    model: Network,
    classify: Callable[..., dict[str, jax.Array]],
    variables: Mapping[str, Any],
    batch: Batch,
) -> dict[str, Any]:
    """Scores the classes of every image, and makes the maps.

    Args:
        model: the network.
        classify: classification's `predict`.
        variables: parameters and batch statistics.
        batch: see `create`, normalized.

    Returns:
        What classification's `predict` returns, and `maps`, the class scores [B, h, w, C], `score`,
        those of the right class [B, h, w], both float32, and `gridding`, the gridding score of
        every level where one is defined, {name: [B]}.
    """
    images = batch.get('whole', batch['image'])
    images = images[:, 0] if images.ndim == 5 else images  # the central crop
    levels, maps = cast(Any, model.apply(variables, images, method='levels_and_class_maps'))
    levels = levels | {'class_maps': maps}
    scores = {
        name: gridding.gridding_score(levels[name], period)
        for name, period in grid_periods(model).items()
        if gridding.applicable(levels[name].shape[1], levels[name].shape[2], period)
    }
    of_label = jnp.take_along_axis(maps, batch['label'][:, None, None, None], axis=-1)[..., 0]
    return {**classify(variables, batch), 'maps': maps, 'score': of_label, 'gridding': scores}


def grid_periods(model: Network) -> dict[str, int]:
    """Returns the period that a grid has at every level, in cells: the largest dilation so far.

    Levels without dilation so far, whose period is 1, are left out.

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


def calibrate(
    located: task.Task,
    thresholds: metrics.Thresholds,
    given: Mapping[str, int],
    summed: Mapping[str, Any],
) -> task.Task:
    """Chooses the thresholds, and the baseline's box, by images that are not evaluated.

    The threshold of a rule is the one with most right boxes for the right class, the first of
    equals, unless the configuration gives it.

    Args:
        located: the task.
        thresholds: {rule: [T]}.
        given: {rule: index of the threshold that was given}.
        summed: counts of these images.

    Returns:
        The task for the images to evaluate.
    """
    chosen = {
        rule: int(summed[f'{rule}/gt_known'][: len(values)].argmax())
        for rule, values in metrics.THRESHOLDS.items()
    } | dict(given)
    size = summed['box_size'] / metrics.UNIT / max(summed['examples'], 1)
    return located._replace(
        counts=functools.partial(located.counts, centred_box=tuple(map(float, size))),
        report=functools.partial(metrics.report, thresholds, chosen),
        calibrate=None,
    )
