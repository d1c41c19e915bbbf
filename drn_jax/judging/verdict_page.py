"""The page of a judgement: numbers, how they were made, the worst and the best images."""

import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from drn_jax import cityscapes
from drn_jax.judging.judges import Judge
from drn_jax.judging.protocols import Protocol, Size
from drn_jax.judging.scoring import Reading, Street, read_street
from drn_jax.judging.verdicts import CLASSES, Verdict
from drn_jax.pictures import overlays, page
from drn_jax.reporting import reports

_HIGH_PX = 256  # of pictures of label maps


class Judged(NamedTuple):
    """A set of images under one protocol.

    Attributes:
        name: of the set, 'images' or 'compare'.
        streets: the set.
        judge: the network.
        verdict: what came out.
    """

    name: str
    streets: Sequence[Street]
    judge: Judge
    verdict: Verdict


Table = list[tuple[str, tuple[str, ...]]]  # names and cells of its rows; the first is the head


def tables(judged: Sequence[Judged], differences: Mapping[str, Any]) -> dict[str, Table]:
    """Lays out the numbers, a column for each protocol: {title: table}.

    Args:
        judged: what was judged.
        differences: {protocol: what `verdicts.compare` gives}.
    """
    found = {}
    for name in dict.fromkeys(each.name for each in judged):
        found[f'Numbers, --{name}'] = _numbers(
            [each.verdict for each in judged if each.name == name]
        )
    if differences:
        metrics = next(iter(differences.values()))
        found['Differences, --compare - --images, points (where 95 % lie)'] = [
            ('', tuple(differences)),
            *[
                (metric, tuple(_difference(each[metric]) for each in differences.values()))
                for metric in metrics
            ],
        ]
    return found


def _numbers(of_set: Sequence[Verdict]) -> Table:
    names = dict.fromkeys(name for verdict in of_set for name in verdict.metrics)
    rows = [
        (name, tuple(reports.cell(verdict.metrics.get(name)) for verdict in of_set))
        for name in names
    ]
    ends = tuple(
        '{:.2f} to {:.2f}'.format(*(100 * end for end in verdict.intervals['mean_iou']))
        for verdict in of_set
    )
    head = ('', tuple(verdict.protocol.name for verdict in of_set))
    return [head, *rows[:2], ('  where 95 % lie', ends), *rows[2:]]


def _difference(row: Mapping[str, Any]) -> str:
    numbers = (100 * each for each in (row['difference'], *row['interval']))
    return '{:+.2f} ({:+.2f} to {:+.2f})'.format(*numbers)


def reported(verdict: Verdict) -> str:
    """Says the numbers as papers do, as in 'mIoU 62.30, accu 81.90'."""
    return ', '.join(f'{name} {number:.2f}' for name, number in verdict.numbers.items())


def write(
    path: pathlib.Path,
    judged: Sequence[Judged],
    reading: Reading,
    notes: Sequence[str],
    shown: int,
    differences: Mapping[str, Mapping[str, Any]],
) -> None:
    """Writes the page.

    Args:
        path: the file.
        judged: what was judged.
        reading: how files were taken.
        notes: lines at its head.
        shown: how many of the worst and of the best images are shown of each.
        differences: {protocol: what `verdicts.compare` gives}.
    """
    page.write_page(path, 'Generated streets', _items(judged, reading, shown, differences), notes)


def _items(judged, reading, shown, differences) -> Iterator[page.Item]:
    several = len({each.name for each in judged}) > 1
    titles = [each.verdict.protocol.name + f', --{each.name}' * several for each in judged]
    said = [(title, reported(each.verdict)) for title, each in zip(titles, judged)]
    yield page.Item('As papers report it, in percent', [], said)
    for title, table in tables(judged, differences).items():
        yield page.Item(title, [], table)
    for protocol in {each.verdict.protocol: None for each in judged}:
        yield page.Item(f'Protocol {protocol.name}', [], describe(protocol))
    for title, each in zip(titles, judged):
        iou = np.array([image.metrics['mean_iou'] for image in each.verdict.images])
        order = np.argsort(iou, kind='stable')[: (~np.isnan(iou)).sum()]  # others are void only
        for section, places in (('Worst', order), ('Best', order[::-1])):
            for place in places[:shown]:
                yield _street(each, place, reading, f'{section} by mean IoU: {title}')


def describe(protocol: Protocol) -> list[tuple[str, str]]:
    """Says in words what a protocol does."""
    sizes = ' or '.join(map(_size, protocol.image_sizes)) or 'any'
    seen = _size(protocol.seen) if protocol.seen else 'them as they are'
    scales = ', '.join(f'{scale:g}' for scale in protocol.scales)
    return [
        ('used by', protocol.used_by),
        ('read in', protocol.source),
        ('networks of the papers', ', '.join(protocol.networks) or 'their own'),
        ('images', f'{sizes}; the network sees {seen}; where resized, {protocol.image_filter}'),
        ('scales', scales + ' (log-probabilities added)' * (len(protocol.scales) > 1)),
        ('scored at', _size(protocol.scored)),
        ('label maps', protocol.label_filter or 'of this size'),
        (
            'scores',
            protocol.score_filter
            and f'log-probabilities, {protocol.score_filter}'
            or 'of this size',
        ),
        ('pixels without a class', f'{protocol.void} in the pixel accuracy of the papers'),
        ('reports', ', '.join(f'{name} = {ours}' for name, ours in protocol.numbers)),
    ]


def _street(judged, place, reading, section) -> page.Item:
    """Shows label map, image and prediction of one image, which is judged once more."""
    counts, judge = judged.verdict.images[place], judged.judge
    images, labels = read_street(judged.streets[place], judge.protocol, reading)
    (predicted,) = judge.predict([images])
    metrics = counts.metrics
    return page.Item(
        counts.name,
        [
            page.Picture('label map', _colors(labels), photograph=False),
            page.Picture('image', images[0]),
            page.Picture('prediction', _colors(predicted), photograph=False),
        ],
        [(name, reports.cell(metrics[name])) for name in ('mean_iou', 'pixel_accuracy')],
        section,
    )


def _colors(labels: np.ndarray) -> np.ndarray:
    """Colors a label map, at a size for the page."""
    step = max(labels.shape[0] // _HIGH_PX, 1)
    labels = labels[::step, ::step]
    labels = np.where(labels < CLASSES, labels, cityscapes.IGNORE_LABEL).astype(np.uint8)
    return overlays.color_labels(labels, cityscapes.PALETTE)


def _size(size: Size) -> str:
    return f'{size[0]} x {size[1]}'
