"""The localization task: literal answers, then properties, then a plain loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models import fills

import drn_jax
from drn_jax import recipes, tasks
from drn_jax.tasks import localization_metrics


@pytest.fixture
def config():
    return recipes.classification()


@pytest.fixture(scope='module')
def model():
    return drn_jax.create_model('drn_a_18', num_classes=6, width=0.0625)


def create(config, model):
    config.task = 'localization'
    return tasks.create_task(config, model)


def batch_of(size=4, side=64, seed=0, crops=()):
    """Boxes with one or two of three places filled, images twice as large as the input."""
    rng = np.random.default_rng(seed)
    low = rng.integers(0, side // 2, (size, 3, 2))
    boxes = np.concatenate(
        [low, low + rng.integers(side // 2, 3 * side // 2, (size, 3, 2))], -1
    ).astype(np.float32)
    boxes[:, 2], boxes[::2, 1] = 0, 0
    return {
        'image': rng.integers(0, 256, (size, *crops, side, side, 3), np.uint8),
        'label': rng.integers(0, 6, size).astype(np.int32),
        'boxes': boxes,
        'geometry': np.tile(np.array([2 * side, 2 * side, side, side, 0, 0], np.int32), (size, 1)),
        'mask': np.ones(size, bool),
        'index': np.arange(size, dtype=np.uint32),
    }


def predictions_of(maps, logits, labels):
    """What `predict` gives for these class maps."""
    score = jnp.take_along_axis(maps, labels[:, None, None, None], axis=-1)[..., 0]
    return {'1crop': logits, 'maps': maps, 'score': score, 'gridding': {}}


def test_counts_by_hand(config, model):
    """Two images of 16 x 16 pixels with maps of 2 x 2 cells: cell (0, 0) is of class 1 in both.

    The box of class 1 is the upper left quarter; the first image's object lies there, the second's
    fills the image. The first image is classified rightly, the second comes second.
    """
    task = create(config, model)
    maps = np.full((2, 2, 2, 6), -9.0, np.float32)
    maps[..., 0] = 9
    maps[:, 0, 0, 0], maps[:, 0, 0, 1] = -9, 9
    labels = np.array([1, 1], np.int32)
    logits = np.array([[0, 5, 0, 0, 0, 0], [6, 5, 0, 0, 0, 0]], np.float32)
    batch = {
        'label': labels,
        'mask': np.array([True, True]),
        'boxes': np.array([[[0, 0, 8, 8]], [[0, 0, 16, 16]]], np.float32),
        'geometry': np.array([[16, 16, 16, 16, 0, 0]] * 2, np.int32),
    }
    summed = jax.device_get(task.counts(predictions_of(jnp.asarray(maps), logits, labels), batch))
    steps = len(localization_metrics.DOMINANT_THRESHOLDS)
    response = 1 / (1 + 5 * np.exp(-18.0))  # 1 - 7.6e-8
    kept = np.append(localization_metrics.DOMINANT_THRESHOLDS < np.float32(response), True)
    assert kept.sum() == steps + 1
    assert (summed['dominant/gt_known'] == 1).all() and (summed['dominant/top1'] == 1).all()
    assert (summed['dominant/top5'] == 1).all() and (summed['dominant/empty'] == 0).all()
    assert (summed['dominant/iou'] == localization_metrics.UNIT * 5 // 4).all()
    assert (summed['scaled/gt_known'] == 1).all()
    assert summed['sizes'].tolist() == [0, 1, 1]  # a quarter of the image is medium
    assert summed['dominant/size'][:, 0].tolist() == [0, 1, 0]
    assert summed['box_size'].tolist() == [localization_metrics.UNIT * 3 // 2] * 2
    assert summed['whole_image'] == 1

    calibrated = task.calibrate(summed)
    metrics = calibrated.report(
        jax.device_get(calibrated.counts(predictions_of(jnp.asarray(maps), logits, labels), batch))
    )
    assert metrics['examples'] == 2 and metrics['top1_error'] == 0.5
    assert metrics['localization_gt_known_error'] == metrics['localization_top1_error'] == 0.5
    assert metrics['box_iou'] == 0.625 and metrics['empty_maps'] == 0
    assert metrics['localization_error/medium'] == 0 and metrics['localization_error/large'] == 1
    assert 'localization_error/small' not in metrics
    # The mean box is three quarters a side, 144 pixels: of 256 more than half, round 64 less.
    assert metrics['centred_box/localization_gt_known_error'] == 0.5
    assert metrics['whole_image/localization_gt_known_error'] == 0.5


def plain_boxes(response, threshold):
    """The tightest box of one map by a loop, in cells."""
    cells = [
        (y, x)
        for y in range(response.shape[0])
        for x in range(response.shape[1])
        if response[y, x] > threshold
    ]
    if not cells:
        return np.zeros(4)
    ys, xs = zip(*cells)
    return np.array([min(ys), min(xs), max(ys) + 1, max(xs) + 1])


def plain_iou(a, b):
    common = max(min(a[2], b[2]) - max(a[0], b[0]), 0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return common / (sum(areas) - common) if common else 0.0


@pytest.mark.parametrize('rule', localization_metrics.RULES)
def test_counts_equal_a_plain_loop(config, model, rule):
    task, batch = create(config, model), batch_of(12)
    rng = np.random.default_rng(1)
    maps = 3 * rng.standard_normal((12, 8, 8, 6)).astype(np.float32)
    logits = rng.standard_normal((12, 6)).astype(np.float32)
    batch['mask'][10:] = False
    summed = jax.device_get(
        jax.jit(task.counts)(predictions_of(jnp.asarray(maps), logits, batch['label']), batch)
    )
    thresholds = localization_metrics.THRESHOLDS[rule]
    wanted = np.zeros((4, len(thresholds)), int)
    for row in range(10):
        label, scores = batch['label'][row], maps[row].astype(np.float64)
        softmax = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
        of_label = scores[..., label]
        response = {
            'dominant': np.where(scores.argmax(-1) == label, softmax[..., label], 0),
            'scaled': (of_label - of_label.min()) / np.ptp(of_label),
        }[rule]
        place = (logits[row] >= logits[row, label]).sum()
        for column, threshold in enumerate(thresholds):
            box = 16 * plain_boxes(response.astype(np.float32), threshold)  # 8 of the input
            right = max(plain_iou(box, truth) for truth in batch['boxes'][row]) > 0.5
            wanted[:, column] += [right, right and place == 1, right and place <= 5, not box.any()]
    names = [f'{rule}/{name}' for name in ('gt_known', 'top1', 'top5', 'empty')]
    found = np.array([summed[name][:-1] for name in names])
    assert 0 < wanted[0].max() < 10
    # Thresholds within a rounding of a response may fall on either side.
    assert (found != wanted).mean() < 0.01
    coarse = thresholds < 0.99
    np.testing.assert_array_equal(found[:, coarse], wanted[:, coarse])


def test_masked_rows_count_as_if_dropped(config, model):
    task, batch = create(config, model), batch_of(6)
    batch['object'] = np.random.default_rng(2).integers(0, 2, (6, 64, 64)).astype(np.uint8)
    maps = jax.random.normal(jax.random.key(0), (6, 8, 8, 6))
    logits = jax.random.normal(jax.random.key(1), (6, 6))
    batch['mask'][4:] = False
    some = {key: value[:4] for key, value in batch.items()}
    found, wanted = (
        task.counts(predictions_of(maps[:n], logits[:n], rows['label']), rows)
        for n, rows in ((6, batch), (4, some))
    )
    jax.tree.map(np.testing.assert_array_equal, found, wanted)
    scores = {'score': np.asarray(predictions_of(maps, logits, batch['label'])['score'])}
    jax.tree.map(
        np.testing.assert_array_equal,
        task.host_counts(scores, batch),
        task.host_counts({'score': scores['score'][:4]}, some),
    )


def test_predictions_hold_maps_of_the_central_crop_or_of_the_whole_image(config, model):
    config.evaluation.crops, config.evaluation.maps = 10, 'whole'
    task, variables = create(config, model), fills.random_variables(model)
    batch = {**batch_of(2, crops=(5,)), 'whole': np.zeros((2, 64, 96, 3), np.uint8)}
    prepared = task.preprocess(batch, None, False)
    found = task.predict(variables, prepared)
    assert found['maps'].shape == (2, 8, 12, 6) and found['10crop'].shape == (2, 6)
    del prepared['whole']
    found = task.predict(variables, prepared)
    np.testing.assert_allclose(found['maps'].mean((1, 2)), found['1crop'], rtol=1e-4, atol=1e-5)
    assert found['gridding'].keys() == {'level5', 'level6', 'class_maps'}
    np.testing.assert_array_equal(found['score'][1], found['maps'][1, ..., batch['label'][1]])


def test_max_box_acc_by_hand(config, model):
    """A map with two separate squares of cells; the object is the smaller, weaker one.

    Above .5 there is only the larger square; below, both, and the larger is the largest contour. So
    the object is found by all contours only. Pixels between cells are interpolated, so the contour
    of the smaller square, two cells or 16 pixels a side, changes with the threshold.
    """
    task = create(config, model)
    score = np.zeros((1, 8, 8), np.float32)
    score[0, 1:4, 1:4], score[0, 5:7, 5:7] = 1, 0.5
    batch = {
        'image': np.zeros((1, 64, 64, 3), np.uint8),
        'mask': np.array([True]),
        'boxes': np.array([[[40, 40, 56, 56]]], np.float32),
        'geometry': np.array([[64, 64, 64, 64, 0, 0]], np.int32),
    }
    counts = task.host_counts({'score': score}, batch)
    assert counts['max_box_acc'].sum() == 0
    assert counts['max_box_acc_v2'][:, 25].tolist() == [1, 1, 1]  # the half of .5: the exact edges
    assert counts['max_box_acc_v2'][:, 51:].sum() == 0


def test_scores_that_are_the_same_everywhere_give_no_box(config, model):
    task = create(config, model)
    batch = batch_of(1)
    counts = task.host_counts({'score': np.ones((1, 8, 8), np.float32)}, batch)
    assert not counts['max_box_acc'].any() and not counts['max_box_acc_v2'].any()


def test_pxap_of_a_perfect_map_is_one():
    assert localization_metrics.pxap(np.array([0, 5]), np.array([7, 0])) == 1
    assert localization_metrics.pxap(np.array([0, 0]), np.array([7, 1])) == 0


def test_given_thresholds_are_used(config, model):
    config.evaluation.threshold = 0.25
    task, batch = create(config, model), batch_of(5)
    assert task.calibrate is None
    maps = jax.random.normal(jax.random.key(0), (5, 8, 8, 6))
    metrics = task.report(
        jax.device_get(task.counts(predictions_of(maps, maps.mean((1, 2)), batch['label']), batch))
    )
    assert metrics['threshold'] == 0.25
    assert not any(name.startswith('scaled/') for name in metrics)
