"""Writes tables into documents, and docs/results.png, from the numbers in `results/`.

  python benchmarks/tables.py
  python benchmarks/tables.py --check
  python benchmarks/tables.py --report=runs/camvid/report.json --network=drn_a_50 --data=camvid

A table lies between <!-- table: NAME --> and <!-- end of table --> in the README or in
docs/results.md, and `TABLES` says how it is made; nothing between the two is typed by hand. --check
writes nothing and ends with status 1 where a table is not what the files say. --report puts the
metrics of a command's report into the file of its data set first, with the commit of this checkout;
benchmarks do so by themselves. The picture needs matplotlib (the extra `docs`); without it, it
stays as it is.
"""

import argparse
import json
import pathlib
import re
import statistics
import sys
from typing import NamedTuple

import results
import verdicts

from drn_jax import published
from drn_jax.errors import InputError
from drn_jax.models import descriptions, variants

SEEDS = (0, 1, 2)  # of comparisons; others are for the spread of errors
NETWORKS = ('resnet_18', 'drn_a_18', 'drn_b_26', 'drn_c_26')
# DRN-A-18 itself has 'none' against gridding.
WAYS = (
    'drn_a_18',
    *(f'drn_a_18+{name}' for name in variants.DEGRIDDING if name not in ('own', 'none')),
)
# Headings, and the metrics below them.
COLUMNS = {
    'top-1 error': 'top1_error',
    'localization error, top-1': 'localization_top1_error',
    'class given': 'localization_gt_known_error',
    'class given, scaled scores': 'scaled/localization_gt_known_error',
    'MaxBoxAcc': 'max_box_acc',
    'MaxBoxAccV2': 'max_box_acc_v2',
    'PxAP': 'pxap',
    'gridding of activation maps': 'gridding/class_maps',
    'mean IoU': 'mean_iou',
}
WAYS_COLUMNS = {
    'top-1 error': 'top1_error',
    'class given, scaled scores': 'scaled/localization_gt_known_error',
    'MaxBoxAcc': 'max_box_acc',
    'PxAP': 'pxap',
    'gridding of level 5': 'gridding/level5',
    'of level 6': 'gridding/level6',
    'of level 8': 'gridding/level8',
    'of activation maps': 'gridding/class_maps',
    'mean IoU': 'mean_iou',
}
FILES = (results.ROOT / 'README.md', results.ROOT / 'docs' / 'results.md')
PICTURE = results.ROOT / 'docs' / 'results.png'
PANELS = (
    'top-1 error',
    'class given, scaled scores',
    'MaxBoxAcc',
    'gridding of activation maps',
    'mean IoU',
)
COLORS = ('tab:gray', 'tab:blue', 'tab:orange', 'tab:green')


def comparison(found, columns=None):
    """Lays out means and standard deviations over the seeds, in percent.

    Args:
        found: see `results.by_network`.
        columns: {heading: metric}; None: `COLUMNS`.

    Example:
        >>> print(comparison({'drn_c_26': {0: {'top1_error': .1}, 1: {'top1_error': .2}}},
        ...                  {'top-1 error': 'top1_error', 'gridding': 'gridding/level5'}))
        | network | seeds | top-1 error | gridding |
        |---|---|---|---|
        | DRN-C-26 | 2 | 15.0 ± 7.1 | - |
    """
    columns = columns or COLUMNS
    return results.markdown(
        ['network', 'seeds', *columns],
        [
            [
                results.name_of(network),
                str(len(runs)),
                *[
                    results.cell([run[metric] for run in runs.values() if metric in run])
                    for metric in columns.values()
                ],
            ]
            for network, runs in found.items()
        ],
    )


def spread(found, metric='top1_error'):
    """Lays out how far runs that differ in their seed alone lie apart, in percent.

    Example:
        >>> print(spread({'drn_c_26': {0: {'top1_error': .1}, 1: {'top1_error': .2}}}))
        | network | seeds | mean | standard deviation | best | worst |
        |---|---|---|---|---|---|
        | DRN-C-26 | 2 | 15.0 | 7.1 | 10.0 | 20.0 |
    """
    lines = []
    for network, runs in found.items():
        values = [run[metric] for run in runs.values() if metric in run]
        if len(values) > 1:
            numbers = statistics.mean(values), statistics.stdev(values), min(values), max(values)
            cells = [f'{100 * each:.1f}' for each in numbers]
            lines.append([results.name_of(network), str(len(values)), *cells])
    return results.markdown(
        ['network', 'seeds', 'mean', 'standard deviation', 'best', 'worst'], lines
    )


class Line(NamedTuple):
    """A line of the README's table.

    Attributes:
        networks: whose numbers stand side by side.
        data: as rows of results have it.
        metric: as they have it.
        title: what the metric is called.
        where: what the data is called.
    """

    networks: tuple[str, ...]
    data: str
    metric: str
    title: str
    where: str


HEADLINES = (
    Line(
        ('resnet_50', 'drn_a_50'),
        'imagenet_50_images',
        'localization_gt_known_error',
        'localization error, class given',
        '50 images of ImageNet, weights of one ResNet-50',
    ),
    Line(
        ('drn_a_50', 'drn_c_26', 'drn_c_42'),
        'imagenet2012', 'top1_error', 'top-1 error', 'ImageNet, one crop',
    ),
    Line(
        ('drn_a_50', 'drn_c_26', 'drn_c_42'),
        'imagenet2012', 'localization_top1_error', 'top-1 localization error', 'ImageNet',
    ),
    Line(
        ('drn_a_50', 'drn_c_26', 'drn_c_42', 'drn_d_22', 'drn_d_105'),
        'cityscapes', 'mean_iou', 'mean IoU', 'Cityscapes',
    ),
    Line(
        ('drn_a_50',),
        'camvid', 'mean_iou', 'mean IoU', 'CamVid, 480 x 360, from a ResNet-50',
    ),
    *(
        Line(NETWORKS, data, metric, title, where)
        for data, where in (
            ('digit_scenes', 'digit_scenes, 96 px, width 0.25'),
            ('digit_scenes/192', 'digit_scenes, 192 px, width 0.25'),
        )
        for metric, title in (
            ('top1_error', 'top-1 error'),
            (
                'scaled/localization_gt_known_error',
                'localization error, class given, scaled scores',
            ),
            ('mean_iou', 'mean IoU, with masks'),
        )
    ),
)  # fmt: skip


def headlines(lines=HEADLINES):
    """Lays out the README's table: what the paper or the release reports, and what is measured.

    Example:
        >>> print(headlines([Line(('drn_d_22', 'drn_d_38'), 'cityscapes', 'mean_iou', 'mean IoU',
        ...                       'streets')]))
        | network | data | metric | paper or release | here |
        |---|---|---|---|---|
        | DRN-D-22, DRN-D-38 | streets | mean IoU | 68.0, 71.4 % | not measured |
    """
    rows = []
    for networks, data, metric, title, where in lines:
        found = results.by_network(results.read(results.file_of(data)), networks, SEEDS)
        measured = {
            network: [run[metric] for run in runs.values() if metric in run]
            for network, runs in found.items()
        }
        here = [results.cell(measured.get(network, [])) for network in networks]
        reported = [_published(network, data, metric) for network in networks]
        rows.append(
            [
                ', '.join(results.name_of(network) for network in networks),
                where,
                title,
                f'{", ".join(reported)} %' if set(reported) != {'-'} else '-',
                f'{", ".join(here)} %' if set(here) != {'-'} else 'not measured',
            ]
        )
    return results.markdown(['network', 'data', 'metric', 'paper or release', 'here'], rows)


def _published(network, data, metric):
    """Returns what the paper or the release reports, in percent; '-' where that is nothing."""
    for table in (published.CLASSIFICATION, published.LOCALIZATION, published.SEGMENTATION):
        names, numbers = table.get(data, ((), {}))
        if metric in names and network in numbers:
            return str(dict(zip(names, numbers[network])).get(metric, '-'))
    return '-'


def origin(rows):
    """Says which source, versions and devices rows are from, a line in Markdown.

    Example:
        >>> origin([results.Row('drn_c_26', 'digit_scenes', 0, 'top1_error', .1, 'd6601ea',
        ...                     'python 3.11.7; jax 0.10.2', '1 x cpu')])
        'Measured at d6601ea, with python 3.11.7; jax 0.10.2, on 1 x cpu.'
    """
    commits, versions, devices = (
        ' and '.join(sorted({getattr(row, name) or 'unknown' for row in rows}))
        for name in ('commit', 'versions', 'device')
    )
    return f'Measured at {commits}, with {versions}, on {devices}.'


def of_data(data, layout, networks, seeds=()):
    """Makes the table of a data set by `comparison` or `spread`, with its origin below."""
    rows = [
        row
        for row in results.read(results.file_of(data))
        if row.network in networks and (not seeds or row.seed in seeds)
    ]
    if not rows:
        return 'Not measured yet.'
    return f'{layout(results.by_network(rows, networks))}\n\n{origin(rows)}'


def intervals(data):
    """Makes the table of all metrics with intervals; see `orderings.py`."""
    return of_data(
        data,
        lambda found: verdicts.intervals_table(found, COLUMNS),
        NETWORKS,
        (*SEEDS, verdicts.ALL),
    )


def orderings(data, which=verdicts.ORDERINGS + verdicts.EXPECTED):
    """Makes the table of what becomes of the paper's orderings."""
    names = {verdicts.pair_of(each.better, each.worse) for each in which}
    return of_data(
        data,
        lambda found: verdicts.verdicts_table(found, which),
        (*NETWORKS, *sorted(names)),
        (*SEEDS, verdicts.ALL),
    )


def costs(networks=WAYS, width=0.25, size=96, classes=10):
    """Lays out parameters and multiply-accumulates of one image.

    Example:
        >>> print(costs(['drn_a_18', 'drn_a_18+smooth']))
        | network | parameters | multiply-accumulates |
        |---|---|---|
        | DRN-A-18 | 703,386 | 109,819,136 |
        | DRN-A-18, smooth | 703,569 | 112,860,416 |
    """
    lines = []
    for network in networks:
        name, _, degridding = network.partition('+')
        total = descriptions.description(
            name, size, classes, width=width, degridding=degridding or 'own'
        ).total
        numbers = total.parameters, total.multiply_accumulates
        lines.append([results.name_of(network), *[f'{number:,}' for number in numbers]])
    return results.markdown(['network', 'parameters', 'multiply-accumulates'], lines)


# What stands in the documents, by name.
TABLES = {
    'results': headlines,
    'networks': lambda: of_data('digit_scenes', comparison, NETWORKS, SEEDS),
    'networks_192': lambda: of_data('digit_scenes/192', comparison, NETWORKS, SEEDS),
    'spread': lambda: of_data('digit_scenes', spread, NETWORKS),
    'intervals': lambda: intervals('digit_scenes'),
    'orderings': lambda: orderings('digit_scenes'),
    'intervals_192': lambda: intervals('digit_scenes/192'),
    'orderings_192': lambda: orderings('digit_scenes/192'),
    'costs': costs,
    'ways': lambda: of_data(
        'digit_scenes', lambda found: comparison(found, WAYS_COLUMNS), WAYS, SEEDS
    ),
}


def main():
    """Runs the program with the flags of this process."""
    flags = parse_flags()
    if flags.report:
        report = json.loads(flags.report.read_text())
        rows = results.of_report(report, flags.network, results.commit())
        data = flags.data or rows[0].data
        results.add(results.file_of(data), [row._replace(data=data) for row in rows])
    changed = [path for path in FILES if write_tables(path, flags.check)]
    for path in changed:
        print(f'{path}: {"has other tables than the files of results" if flags.check else "new"}')
    if flags.check:
        sys.exit(bool(changed))
    draw(PICTURE)


def parse_flags():
    """Reads the flags of this process."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--check', action='store_true', help='writes nothing')
    parser.add_argument('--report', type=pathlib.Path, metavar='FILE', help='of a command')
    parser.add_argument('--network', metavar='NAME', help='that the report is of')
    parser.add_argument('--data', metavar='NAME', help='its name in the results')
    flags = parser.parse_args()
    if bool(flags.report) != bool(flags.network):
        parser.error('--report and --network go together')
    return flags


def write_tables(path, check=False):
    """Makes the tables of a document anew, in place.

    Args:
        path: of a document with `<!-- table: NAME -->` and `<!-- end of table -->`.
        check: leaves the document as it is.

    Returns:
        Whether that changes it.

    Raises:
        InputError: it names a table that `TABLES` does not have.
    """

    def table(found):
        if found[1] not in TABLES:
            raise InputError(
                f'{path} wants a table {found[1]!r}; there are {", ".join(TABLES)}', path=path
            )
        return f'<!-- table: {found[1]} -->\n{TABLES[found[1]]()}\n<!-- end of table -->'

    old = path.read_text()
    new = re.sub(r'<!-- table: (\S+) -->\n.*?<!-- end of table -->', table, old, flags=re.DOTALL)
    if not check and new != old:
        path.write_text(new)
    return new != old


def draw(path):
    """Draws the runs of the four networks as dots, where matplotlib is, a panel for each metric."""
    try:
        import matplotlib.figure
    except ImportError:
        print(f'{path} stays as it is: matplotlib is not installed')
        return
    found = results.by_network(results.read(results.file_of('digit_scenes')), NETWORKS)
    if not found:
        return
    figure = matplotlib.figure.Figure(figsize=(11, 3), dpi=110, layout='constrained')
    for axes, heading in zip(figure.subplots(1, len(PANELS)), PANELS):
        for place, runs in enumerate(found.values()):
            values = [
                100 * run[COLUMNS[heading]] for run in runs.values() if COLUMNS[heading] in run
            ]
            axes.plot([place] * len(values), values, 'o', color=COLORS[place], alpha=0.6)
            if values:
                axes.plot([place], [statistics.mean(values)], '_', color='black', markersize=16)
        axes.set_xticks(
            range(len(found)), [results.name_of(network) for network in found], rotation=45
        )
        axes.set_xlim(-0.5, len(found) - 0.5)
        axes.set_ylim(bottom=0)
        axes.set_title(heading.replace(', ', ',\n', 1), fontsize=9)
        axes.tick_params(labelsize=8)
        axes.spines[['top', 'right']].set_visible(False)
    figure.axes[0].set_ylabel('percent', fontsize=8)
    # Without the version of matplotlib, the file is the same wherever it is made by one version.
    figure.savefig(path, metadata={'Software': None})


if __name__ == '__main__':
    results.run(main)
