"""Runs of several networks with several seeds, and tables of their means and deviations."""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys

VARIANTS = ('resnet_18', 'drn_a_18', 'drn_b_26', 'drn_c_26')
NAMES = {
    'resnet_18': 'ResNet-18',
    'drn_a_18': 'DRN-A-18',
    'drn_b_26': 'DRN-B-26',
    'drn_c_26': 'DRN-C-26',
}


def parse_flags(description, variants=VARIANTS):
    """Reads the flags that say what is compared, and where."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--runs',
        type=pathlib.Path,
        default=pathlib.Path('runs/comparison'),
        metavar='DIR',
        help='of the runs; what is done there is not done again',
    )
    parser.add_argument(
        '--variants',
        nargs='+',
        default=variants,
        metavar='NAME',
        help='networks, as drn_c_26, or drn_a_18+smooth for another degridding',
    )
    parser.add_argument('--seeds', type=int, nargs='+', default=(0, 1, 2), metavar='N')
    parser.add_argument(
        '--only_table', action='store_true', help='makes the table of the runs that are done'
    )
    return parser.parse_args()


def command(name, *flags):
    """Runs a command of drn_jax and shows what it prints.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    print(f'\n$ python -m drn_jax.{name} {" ".join(flags)}', flush=True)
    subprocess.run([sys.executable, '-m', f'drn_jax.{name}', *flags], check=True)


def train_classifier(runs, variant, seed):
    """Trains a network by `configs/digit_scenes.py`, or goes on; gives its working directory."""
    workdir = runs / 'classification' / f'{variant}_{seed}'
    if not (workdir / 'report.json').exists():
        command(
            'main',
            f'--config={config_file("digit_scenes")}',
            f'--workdir={workdir}',
            *network_flags(variant),
            f'--config.seed={seed}',
        )
    return workdir


def network_flags(variant):
    """Returns the flags that choose a network, 'drn_a_18' or 'drn_a_18+smooth', with degridding.

    Example:
        >>> network_flags('drn_a_18+smooth')
        ['--config.model.variant=drn_a_18', '--config.model.degridding=smooth']
    """
    name, _, degridding = variant.partition('+')
    return [
        f'--config.model.variant={name}',
        *([f'--config.model.degridding={degridding}'] if degridding else []),
    ]


def config_file(name):
    """Returns the path of a configuration."""
    return pathlib.Path(__file__).parent.parent / 'configs' / f'{name}.py'


def collect(paths):
    """Reads the metrics of reports, {variant: list of dicts}, those that exist.

    Args:
        paths: {variant: paths of report.json, one for each seed}.
    """
    found = {
        variant: [json.loads(path.read_text())['metrics'] for path in reports if path.exists()]
        for variant, reports in paths.items()
    }
    return {variant: metrics for variant, metrics in found.items() if metrics}


def table(found, columns):
    """Lays out means and standard deviations over the seeds as a table in Markdown, in percent.

    Args:
        found: {variant: list of metrics}.
        columns: {heading: name of the metric}.

    Returns:
        str. A metric that a variant does not have is 'n/a'; of one seed there is no deviation.

    Example:
        >>> print(table({'drn_c_26': [{'top1_error': .1}, {'top1_error': .2}]},
        ...             {'top-1 error': 'top1_error', 'gridding': 'gridding/level5'}))
        | network | seeds | top-1 error | gridding |
        |---|---|---|---|
        | DRN-C-26 | 2 | 15.0 ± 7.1 | n/a |
    """
    lines = [f'| network | seeds | {" | ".join(columns)} |', '|---' * (len(columns) + 2) + '|']
    for variant, metrics in found.items():
        cells = [
            cell([each[name] for each in metrics if name in each]) for name in columns.values()
        ]
        name = NAMES.get(variant, variant)
        lines.append(f'| {name} | {len(metrics)} | {" | ".join(cells)} |')
    return '\n'.join(lines)


def cell(values):
    """Returns the mean and deviation of fractions, in percent.

    Example:
        >>> cell([.5]), cell([.1, .3]), cell([])
        ('50.0', '20.0 ± 14.1', 'n/a')
    """
    if not values:
        return 'n/a'
    mean = f'{100 * statistics.mean(values):.1f}'
    return mean if len(values) == 1 else f'{mean} ± {100 * statistics.stdev(values):.1f}'
