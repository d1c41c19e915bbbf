"""Measured numbers, kept in files of `results/`: one row for each number, with where it is from."""

import csv
import pathlib
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import filelock

from drn_jax.errors import InputError
from drn_jax.files import replacing

ROOT = pathlib.Path(__file__).parent.parent
FOLDER = ROOT / 'results'
_MEASURED = ('drn_jax', 'benchmarks', 'configs')  # what numbers depend on
_VERSIONS = ('python', 'drn_jax', 'jax', 'flax', 'optax')

Metrics = dict[str, dict[int, dict[str, float]]]  # by network, seed and name


class Row(NamedTuple):
    """A number.

    Attributes:
        network: as 'drn_c_26', or 'drn_a_18+smooth' with another way against gridding.
        data: what it was trained and measured on, as reports name it.
        seed: of the run.
        metric, value: a name and a number; fractions in [0, 1].
        commit: of the source that measured it, '' where that is not known.
        versions: of Python and packages, as 'python 3.11.7; jax 0.10.2'.
        device: as '1 x cpu'.
    """

    network: str
    data: str
    seed: int
    metric: str
    value: float
    commit: str
    versions: str
    device: str

    @property
    def key(self):
        """What a file has one row of, and what it is sorted by."""
        return self.network, self.data, self.seed, self.metric


def read(path: pathlib.Path) -> list[Row]:
    """Reads a file; one that is not there has no rows.

    Raises:
        InputError: it is no file of this version, or a row of it is damaged.
    """
    if not path.exists():
        return []
    with path.open(newline='', encoding='utf-8') as file:
        lines = csv.reader(file)
        head = tuple(next(lines, ()))
        if head != Row._fields:
            raise InputError(
                f'{path} has the columns {", ".join(head)}, and this version reads '
                f'{", ".join(Row._fields)}; move it away, and what it held is measured anew',
                path=path,
            )
        rows = []
        for line in lines:
            try:
                network, data, seed, metric, value, *origin = line
                rows.append(Row(network, data, int(seed), metric, float(value), *origin))
            except (ValueError, TypeError) as error:
                raise InputError(
                    f'line {lines.line_num} of {path} is no row of {len(Row._fields)} columns with '
                    'a whole seed and a number; remove it',
                    path=path,
                ) from error
    return rows


def add(path: pathlib.Path, rows: Iterable[Row]) -> None:
    """Puts rows into a file; a number that is there already keeps its row, another replaces it.

    Raises:
        InputError: see `read`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(path.with_suffix('.lock')):  # runs side by side write, too
        known = {row.key: row for row in read(path)}
        for row in rows:
            old = known.get(row.key)
            if old is None or old.value != row.value:
                known[row.key] = row
        with replacing(path) as partial, open(partial, 'w', newline='', encoding='utf-8') as file:
            lines = csv.writer(file, lineterminator='\n')
            lines.writerow(Row._fields)
            lines.writerows(known[key] for key in sorted(known))


def run(main: Callable[[], None]) -> None:
    """Runs a benchmark; what it refuses is one line, with status 1."""
    try:
        main()
    except InputError as error:
        sys.exit(f'error: {error}')


def file_of(data: str) -> pathlib.Path:
    """Returns the file of a data set.

    Example:
        >>> file_of('digit_scenes/192').name
        'digit_scenes_192.csv'
    """
    return FOLDER / f'{data.replace("/", "_")}.csv'


def of_report(report: Mapping[str, Any], network: str, commit: str = '') -> list[Row]:
    """Returns the rows of a `report.json`: its metrics, rounded to six digits, and its seconds.

    The seconds carry the task, since a network is trained for one after the other.

    Example:
        >>> report = {'metrics': {'top1_error': 1 / 3}, 'data': {'name': 'digit_scenes'},
        ...           'config': {'seed': 0}, 'versions': {'python': '3.11.7', 'jax': '0.10.2'},
        ...           'devices': {'kind': 'cpu', 'count': 1}}
        >>> of_report(report, 'drn_c_26')[0][:5]
        ('drn_c_26', 'digit_scenes', 0, 'top1_error', 0.333333)
    """
    metrics = dict(report['metrics'])
    if 'seconds' in report.get('training', {}):
        metrics[f'training_seconds/{report["config"]["task"]}'] = report['training']['seconds']
    devices = f'{report["devices"]["count"]} x {report["devices"]["kind"]}'
    origin = commit, versions_of(report['versions']), devices
    data, seed = report['data']['name'], report['config']['seed']
    return [
        Row(network, data, seed, name, float(f'{value:.6g}'), *origin)
        for name, value in metrics.items()
        if name != 'examples'
    ]


def versions_of(versions: Mapping[str, str]) -> str:
    """Writes the versions that numbers depend on most.

    Example:
        >>> versions_of({'python': '3.11.7', 'jax': '0.10.2', 'numpy': '2.4.6'})
        'python 3.11.7; jax 0.10.2'
    """
    return '; '.join(f'{name} {versions[name]}' for name in _VERSIONS if name in versions)


def commit() -> str:
    """Returns the commit of the source, with '-changed' where code differs; '' without git.

    Results and documents, which benchmarks write, may differ.
    """
    try:
        name, changed = (
            subprocess.run(
                ['git', *words], cwd=ROOT, capture_output=True, text=True, check=False
            ).stdout.strip()
            for words in (
                ['rev-parse', '--short', 'HEAD'],
                ['diff', '--name-only', 'HEAD', '--', *_MEASURED],
            )
        )
    except FileNotFoundError:
        return ''
    return name + '-changed' * bool(changed)


def by_network(rows: Iterable[Row], networks: Sequence[str], seeds: Sequence[int] = ()) -> Metrics:
    """Sorts rows into {network: {seed: {metric: value}}}; networks without a row are left out.

    Args:
        rows: of one data set.
        networks: in the order to keep.
        seeds: those that count; (): all.
    """
    found: Metrics = {network: {} for network in networks}
    for row in rows:
        if row.network in found and (not seeds or row.seed in seeds):
            found[row.network].setdefault(row.seed, {})[row.metric] = row.value
    return {network: runs for network, runs in found.items() if runs}


def name_of(network):
    """Writes a network as the paper does.

    Example:
        >>> name_of('resnet_50'), name_of('drn_a_18+smooth')
        ('ResNet-50', 'DRN-A-18, smooth')
    """
    name, _, degridding = network.partition('+')
    name = name.replace('_', '-').upper().replace('RESNET', 'ResNet')
    return f'{name}, {degridding}' if degridding else name


def cell(values: Sequence[float]) -> str:
    """Returns the mean and standard deviation of fractions, in percent.

    Example:
        >>> cell([.5]), cell([.1, .3]), cell([])
        ('50.0', '20.0 ± 14.1', '-')
    """
    if not values:
        return '-'
    mean = f'{100 * statistics.mean(values):.1f}'
    return mean if len(values) == 1 else f'{mean} ± {100 * statistics.stdev(values):.1f}'


def markdown(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Lays out a table in Markdown.

    Example:
        >>> print(markdown(['network', 'error'], [['drn_c_26', '8.4']]))
        | network | error |
        |---|---|
        | drn_c_26 | 8.4 |
    """
    rows = [head, *lines]
    texts = [f'| {" | ".join(row)} |' for row in rows]
    return '\n'.join([texts[0], '|---' * len(head) + '|', *texts[1:]])
