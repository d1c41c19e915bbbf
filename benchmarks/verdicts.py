"""Orderings of networks that the paper finds, and what files of results say of them."""

import itertools
import statistics
from typing import NamedTuple

import numpy as np
import results
from scipy import stats

ALL = -1  # the seed of numbers that are of all seeds together
LOW, HIGH = ':images_low', ':images_high'  # ends of metrics' names: bounds of an interval


class Ordering(NamedTuple):
    """What the paper finds: the first network has the better number.

    Attributes:
        better, worse: networks.
        metric: whose lower values are better, unless `highest`.
        highest: whether higher values are better.
        title: what is compared.
    """

    better: str
    worse: str
    metric: str
    highest: bool
    title: str


def _chain(networks, metric, highest, title):
    """Returns the orderings of neighbors in a list that begins with the best network."""
    return [Ordering(*pair, metric, highest, title) for pair in itertools.pairwise(networks)]


C_TO_RESNET = ('drn_c_26', 'drn_b_26', 'drn_a_18', 'resnet_18')
C_TO_A = C_TO_RESNET[:3]
ORDERINGS = (
    *_chain(C_TO_RESNET, 'top1_error', False, 'classification, top-1 error'),
    *_chain(C_TO_RESNET, 'localization_top1_error', False, 'localization error, top-1'),
    *_chain(C_TO_A, 'gridding/class_maps', False, 'gridding of activation maps'),
    Ordering('drn_c_26', 'drn_a_18', 'mean_iou', True, 'segmentation, mean IoU'),
)
# No finding of the paper, but what it would let one expect.
EXPECTED = (
    *_chain(C_TO_RESNET, 'scaled/localization_gt_known_error', False, 'class given, scaled scores'),
    *_chain(C_TO_RESNET, 'max_box_acc', True, 'MaxBoxAcc'),
    *_chain(C_TO_RESNET, 'max_box_acc_v2', True, 'MaxBoxAccV2'),
    *_chain(C_TO_RESNET, 'pxap', True, 'PxAP'),
)


def pair_of(better, worse):
    """Names the difference of two networks, in rows of results.

    Example:
        >>> pair_of('drn_c_26', 'drn_a_18')
        'drn_c_26 - drn_a_18'
    """
    return f'{better} - {worse}'


def over_seeds(values):
    """Returns Student's 95 % interval of a mean; of one value it has no bounds.

    Example:
        >>> [round(float(bound), 3) for bound in over_seeds([.1, .2, .3])]
        [-0.048, 0.448]
    """
    if len(values) < 2:
        return -np.inf, np.inf
    half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
    return np.mean(values) - half, np.mean(values) + half


def difference_over_seeds(values, others):
    """Returns Welch's 95 % interval of a difference of means; of single values it has no bounds.

    Example:
        >>> [round(bound, 3) for bound in difference_over_seeds([.1, .2], [.3, .4])]
        [-0.504, 0.104]
    """
    if min(len(values), len(others)) < 2:
        return -np.inf, np.inf
    welch = stats.ttest_ind(values, others, equal_var=False).confidence_interval(0.95)
    return float(welch.low), float(welch.high)


class Verdict(NamedTuple):
    """What becomes of an ordering.

    Attributes:
        gain: the difference, above 0 where the ordering is as the paper finds it.
        images, seeds: its 95 % intervals.
    """

    gain: float
    images: tuple[float, float]
    seeds: tuple[float, float]

    @property
    def word(self):
        """Whether it 'holds', is 'contradicted' or 'undecided': where the intervals lie.

        Example:
            >>> [Verdict(low + .1, (low, 1), (low, 2)).word for low in (.1, -.1)]
            ['holds', 'undecided']
        """
        low, high = np.min([self.images, self.seeds]), np.max([self.images, self.seeds])
        return 'holds' if low > 0 else 'contradicted' if high < 0 else 'undecided'


def verdict(found, ordering):
    """Says what becomes of an ordering; None where it is not measured.

    Args:
        found: see `results.by_network`, with the pairs of networks.
        ordering: an `Ordering`.

    Returns:
        A `Verdict`.
    """
    metric, pair = ordering.metric, pair_of(ordering.better, ordering.worse)
    values, others = (
        [run[metric] for run in found.get(network, {}).values() if metric in run]
        for network in (ordering.better, ordering.worse)
    )
    bounds = found.get(pair, {}).get(ALL, {})
    if not values or not others or metric + LOW not in bounds:
        return None
    sign = 1 if ordering.highest else -1
    images, seeds = (
        tuple(sorted(sign * bound for bound in interval))
        for interval in (
            (bounds[metric + LOW], bounds[metric + HIGH]),
            difference_over_seeds(values, others),
        )
    )
    return Verdict(sign * (np.mean(values) - np.mean(others)), images, seeds)


def interval_cell(bounds):
    """Writes an interval in percent.

    Example:
        >>> interval_cell((.123, .2)), interval_cell((-np.inf, np.inf))
        ('12.3 to 20.0', '-')
    """
    low, high = (100 * float(bound) for bound in bounds)
    return f'{low:.1f} to {high:.1f}' if np.isfinite(low) else '-'


def intervals_table(found, columns):
    """Lays out every metric of every network with both intervals, in percent.

    Args:
        found: see `verdict`.
        columns: {heading: metric}.
    """
    lines = []
    for heading, metric in columns.items():
        for network, runs in found.items():
            values = [run[metric] for run in runs.values() if metric in run]
            bounds = runs.get(ALL, {})
            if values and metric + LOW in bounds:
                lines.append(
                    [
                        heading,
                        results.name_of(network),
                        f'{100 * statistics.mean(values):.1f}',
                        interval_cell((bounds[metric + LOW], bounds[metric + HIGH])),
                        interval_cell(over_seeds(values)),
                    ]
                )
    return results.markdown(['metric', 'network', 'mean', 'over images', 'over seeds'], lines)


def verdicts_table(found, orderings):
    """Lays out what becomes of orderings; differences in points, in favor of the first network."""
    lines = []
    for ordering in orderings:
        names = [results.name_of(name) for name in (ordering.better, ordering.worse)]
        is_so = verdict(found, ordering)
        cells = ['-', '-', '-', 'not measured']
        if is_so:
            cells = [
                f'{100 * is_so.gain:.1f}',
                interval_cell(is_so.images),
                interval_cell(is_so.seeds),
                is_so.word,
            ]
        lines.append([ordering.title, ' better than '.join(names), *cells])
    return results.markdown(
        ['metric', 'ordering', 'difference', 'over images', 'over seeds', 'verdict'], lines
    )
