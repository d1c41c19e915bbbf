"""The numbers of a set of images, with intervals over images, and how two sets differ."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from drn_jax import cityscapes
from drn_jax.errors import InputError
from drn_jax.judging.protocols import Protocol
from drn_jax.ops import confusion

CLASSES = len(cityscapes.CLASS_NAMES)
SAMPLES, PERCENTILES = 1000, (2.5, 97.5)  # of the bootstrap: sets drawn, ends of the interval
_CHUNK = 100  # drawn at a time


class ImageCounts(NamedTuple):
    """What was counted in one image.

    Attributes:
        name: of the image.
        digest: of what it was computed from: files, protocol and weights; '' where there is none.
        confusion: int64 [C + 1, C], pixels by right class (the last row: none) and predicted one.
    """

    name: str
    digest: str
    confusion: np.ndarray

    @property
    def metrics(self) -> dict[str, float]:
        """The numbers of `summarize` for this image alone."""
        return {name: float(each) for name, each in summarize(self.confusion).items()}


class Verdict(NamedTuple):
    """What a protocol says of a set of images.

    Attributes:
        protocol: the row of the table.
        images: counts of every image.
        metrics: fractions in [0, 1]: those of `summarize`, `iou/<class>` of every class that has
            pixels, and `examples`.
        intervals: {metric: (low, high)}, in which 95 % of the sets lie that are drawn from the
            images, with replacement.
        confusion: sum over the images, see `ImageCounts`.
    """

    protocol: Protocol
    images: list[ImageCounts]
    metrics: dict[str, Any]
    intervals: dict[str, tuple[float, float]]
    confusion: np.ndarray

    @property
    def numbers(self) -> dict[str, float]:
        """What papers that use the protocol report, under their names: percent, two decimals."""
        return {name: round(100 * self.metrics[ours], 2) for name, ours in self.protocol.numbers}


def count(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """Counts the pixels of an image by right and by predicted class.

    Args:
        labels: [H, W], uint8; what is no class counts in the last row.
        predictions: [H, W], uint8.

    Returns:
        int64 [C + 1, C].

    Example:
        >>> count(np.array([[0, 1, 255]]), np.array([[0, 0, 1]]))[[0, 1, -1], :2].tolist()
        [[1, 0], [1, 0], [0, 1]]
    """
    rows = np.minimum(labels, CLASSES).astype(np.uint16)
    pairs = rows * CLASSES + predictions
    return np.bincount(pairs.ravel(), minlength=(CLASSES + 1) * CLASSES).reshape(-1, CLASSES)


def summarize(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Computes the numbers that papers report, fractions in [0, 1].

    Args:
        counts: see `ImageCounts.confusion`, with any further axes before its two.

    Returns:
        `mean_iou`, over classes that are labeled or predicted; `frequency_weighted_iou`, weighted
        by labeled pixels; `pixel_accuracy`, of labeled pixels, and `pixel_accuracy_with_void`, of
        all, those without a class being wrong; `mean_class_accuracy`, over labeled classes. Not a
        number where there is nothing to divide by.

    Example:
        >>> counts = np.zeros((20, 19), int)
        >>> counts[0, :2], counts[1, 1], counts[-1, 0] = (3, 1), 4, 2
        >>> {name: round(float(number), 3) for name, number in summarize(counts).items()}
        {'mean_iou': 0.775, 'frequency_weighted_iou': 0.775, 'pixel_accuracy': 0.875, \
'pixel_accuracy_with_void': 0.7, 'mean_class_accuracy': 0.875}
    """
    classes = counts[..., :-1, :]
    right, labeled = np.diagonal(classes, axis1=-2, axis2=-1), classes.sum(-1)
    iou = confusion.iou(classes)
    return {
        'mean_iou': _ratio(np.nansum(iou, -1), (~np.isnan(iou)).sum(-1)),
        'frequency_weighted_iou': _ratio(np.nansum(labeled * iou, -1), labeled.sum(-1)),
        'pixel_accuracy': _ratio(right.sum(-1), labeled.sum(-1)),
        'pixel_accuracy_with_void': _ratio(right.sum(-1), counts.sum((-2, -1))),
        'mean_class_accuracy': _ratio(np.nansum(_ratio(right, labeled), -1), (labeled > 0).sum(-1)),
    }


def judge_counts(protocol: Protocol, images: Sequence[ImageCounts]) -> Verdict:
    """Makes the numbers of a set from the counts of its images.

    Raises:
        InputError: no pixel of the label maps has a class.
    """
    counts = np.stack([image.confusion for image in images])
    total = counts.sum(0)
    if not total[:-1].any():
        raise InputError(
            'no pixel of the label maps has one of the 19 classes; give those that the images were '
            'made from',
            field='--labels',
        )
    metrics = {name: float(each) for name, each in summarize(total).items()}
    classes = zip(cityscapes.CLASS_NAMES, confusion.iou(total[:-1]))
    metrics |= {f'iou/{name}': float(iou) for name, iou in classes if not np.isnan(iou)}
    intervals = _intervals(_drawn(counts))
    return Verdict(protocol, list(images), {'examples': len(images), **metrics}, intervals, total)


def compare(first: Verdict, second: Verdict) -> dict[str, dict[str, Any]]:
    """Compares two sets of images that were judged on the same label maps.

    Both are drawn together, image by image, so that what the label maps make hard or easy does
    not widen the intervals.

    Args:
        first, second: of the same label maps in the same order.

    Returns:
        {metric: {'difference': second - first, 'interval': (low, high)}}.
    """
    drawn = [
        _drawn(np.stack([image.confusion for image in each.images])) for each in (first, second)
    ]
    intervals = _intervals({name: drawn[1][name] - drawn[0][name] for name in drawn[0]})
    return {
        name: {
            'difference': second.metrics[name] - first.metrics[name],
            'interval': interval,
        }
        for name, interval in intervals.items()
    }


def _drawn(counts):
    """Summarizes `SAMPLES` sets drawn from the images; the same draws for equal numbers of them."""
    rng, number = np.random.default_rng(0), len(counts)
    flat, found = counts.reshape(number, -1).astype(np.float64), []
    for _ in range(0, SAMPLES, _CHUNK):
        times = rng.multinomial(number, np.full(number, 1 / number), size=_CHUNK)
        found.append(summarize((times @ flat).reshape(_CHUNK, *counts.shape[1:])))
    return {name: np.concatenate([each[name] for each in found]) for name in found[0]}


def _intervals(drawn):
    """Returns the ends of the intervals; sets without a number do not count."""
    return {
        name: tuple(float(end) for end in np.percentile(values[~np.isnan(values)], PERCENTILES))
        for name, values in drawn.items()
    }


def _ratio(above, below):
    return np.divide(above, below, out=np.full(np.shape(below), np.nan), where=below > 0)
