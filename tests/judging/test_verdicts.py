"""Numbers of a set of images by hand, intervals over images, differences of two sets."""

import numpy as np
import pytest
from support.errors import refused

from drn_jax.judging import protocols, verdicts
from drn_jax.judging.verdicts import ImageCounts

ROW = protocols.PROTOCOLS['spade']


def counts_of(*entries):
    """Counts from (right, predicted, pixels); -1 is no class."""
    counts = np.zeros((20, 19), np.int64)
    for right, predicted, pixels in entries:
        counts[right, predicted] += pixels
    return counts


def test_numbers_by_hand():
    # Of road 6 are right, 2 are taken for car; car: 1 of 2; sky is only predicted; void: 10.
    image = ImageCounts(
        'it', '', counts_of((0, 0, 6), (0, 13, 2), (13, 13, 1), (13, 10, 1), (-1, 0, 10))
    )
    verdict = verdicts.judge_counts(ROW, [image])
    iou = {'road': 6 / 8, 'car': 1 / 4, 'sky': 0}  # 10 pixels of no class predicted as road: none
    assert verdict.metrics == pytest.approx(
        {
            'examples': 1,
            'mean_iou': sum(iou.values()) / 3,
            'frequency_weighted_iou': (8 * iou['road'] + 2 * iou['car']) / 10,
            'pixel_accuracy': 7 / 10,
            'pixel_accuracy_with_void': 7 / 20,
            'mean_class_accuracy': (6 / 8 + 1 / 2) / 2,
            **{f'iou/{name}': number for name, number in iou.items()},
        }
    )
    assert verdict.numbers == {'mIoU': 33.33, 'accu': 35.0}
    assert verdict.confusion.sum() == 20


def test_all_protocols_report_numbers_that_there_are():
    image = ImageCounts('it', '', counts_of((0, 0, 6), (-1, 0, 2)))
    for row in protocols.chosen(protocols.ALL):
        numbers = verdicts.judge_counts(row, [image]).numbers
        assert numbers == {
            name: 75.0 if ours == 'pixel_accuracy_with_void' else 100.0
            for name, ours in row.numbers
        }
        assert row.void == ('wrong' if row.name == 'spade' else 'left out')
        assert bool(row.score_filter) == (row.seen != row.scored)


def test_labels_against_themselves_and_shuffled():
    labels = np.repeat(np.arange(19), 4).reshape(4, 19).astype(np.uint8)
    image = ImageCounts('same', '', verdicts.count(labels, labels))
    metrics = verdicts.judge_counts(ROW, [image]).metrics
    assert {name: metrics[name] for name in verdicts.summarize(image.confusion)} == dict.fromkeys(
        verdicts.summarize(image.confusion), 1.0
    )
    # Half of every class's pixels are taken for the next class: 2 right, 2 missed, 2 too many.
    shuffled = labels.ravel().copy()
    shuffled[1::2] = (shuffled[1::2] + 1) % 19
    image = ImageCounts('half', '', verdicts.count(labels, shuffled.reshape(labels.shape)))
    metrics = verdicts.judge_counts(ROW, [image]).metrics
    assert metrics['mean_iou'] == pytest.approx(2 / 6)
    assert metrics['frequency_weighted_iou'] == pytest.approx(2 / 6)
    assert metrics['pixel_accuracy'] == metrics['mean_class_accuracy'] == 0.5


def test_values_of_no_class_count_in_the_last_row():
    counts = verdicts.count(np.array([[0, 19, 200, 255]], np.uint8), np.array([[0, 1, 1, 2]]))
    assert counts[0, 0] == 1 and counts[-1].tolist() == [0, 2, 1] + [0] * 16


def images_of(shares, seed=0):
    """Images of 100 pixels of road, of which these shares are right."""
    return [
        ImageCounts(
            str(place), '', counts_of((0, 0, round(100 * share)), (0, 1, 100 - round(100 * share)))
        )
        for place, share in enumerate(shares)
    ]


def test_the_interval_is_that_of_the_mean_of_images():
    shares = np.random.default_rng(1).uniform(0.2, 0.8, 200)
    verdict = verdicts.judge_counts(ROW, images_of(shares))
    low, high = verdict.intervals['pixel_accuracy']
    half = 1.96 * shares.std() / np.sqrt(len(shares))
    assert verdict.metrics['pixel_accuracy'] == pytest.approx(shares.mean(), abs=0.005)
    assert (high - low) / 2 == pytest.approx(half, rel=0.1)
    assert low < shares.mean() < high
    assert verdicts.judge_counts(ROW, images_of(shares)).intervals == verdict.intervals
    alone = verdicts.judge_counts(ROW, images_of([0.5])).intervals
    assert alone['pixel_accuracy'] == (0.5, 0.5)


def test_two_sets_are_compared_image_by_image():
    shares = np.random.default_rng(2).uniform(0.2, 0.8, 100).round(2)
    first, second = (verdicts.judge_counts(ROW, images_of(each)) for each in (shares, shares + 0.1))
    found = verdicts.compare(first, second)['pixel_accuracy']
    assert found['difference'] == pytest.approx(0.1)
    assert found['interval'] == pytest.approx((0.1, 0.1))  # all images differ alike
    low, high = first.intervals['pixel_accuracy']
    assert high - low > 0.05
    same = verdicts.compare(first, first)
    assert all(row == {'difference': 0, 'interval': (0, 0)} for row in same.values())


def test_label_maps_without_classes_are_refused():
    with refused('--labels', match='no pixel of the label maps'):
        verdicts.judge_counts(ROW, [ImageCounts('it', '', counts_of((-1, 0, 5)))])


def test_an_unknown_protocol_is_refused():
    with refused('--protocol', match='known are gan_compression, spade, oasis, upsampled, negcut'):
        protocols.chosen('pix2pix')
