"""What a command found: tables for people, report.json."""

import importlib.metadata
import sys
from collections.abc import Mapping
from typing import Any

import jax
import ml_collections
from etils import epath

from drn_jax import files
from drn_jax.errors import InputError

PACKAGES = (
    'drn_jax',
    'jax',
    'jaxlib',
    'flax',
    'optax',
    'orbax-checkpoint',
    'tensorflow',
    'tensorflow-cpu',
    'tensorflow-datasets',
    'numpy',
    'pillow',
)


def versions() -> dict[str, str]:
    """Returns the versions of Python and of the packages that results depend on.

    Example:
        >>> versions()['jax'] == jax.__version__
        True
    """
    found = {'python': '.'.join(map(str, sys.version_info[:3]))}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # tensorflow has two names, one of which is installed
    return found


def write_report(
    directory: epath.PathLike,
    *,
    command: str,
    config: ml_collections.ConfigDict,
    data: Mapping[str, Any],
    metrics: Mapping[str, Any],
    published: Mapping[str, float],
    **more: Any,
) -> epath.Path:
    """Writes report.json, in place of an earlier one in the same directory.

    Args:
        directory: where, local or gs://, made if needed.
        command: the command that was run.
        config: its configuration.
        data: what it ran on: names and numbers of examples.
        metrics: what it measured; fractions in [0, 1], and counts.
        published: the published values, under the same names.
        **more: further entries.

    Returns:
        The path of the file, which the first process writes.

    Raises:
        InputError: it cannot be written.
    """
    path = epath.Path(directory) / 'report.json'
    if jax.process_index() == 0:
        content = {
            'command': command,
            'metrics': metrics,
            'published': published,
            'data': data,
            **more,
            'config': config.to_dict(),
            'versions': versions(),
            'devices': {
                'kind': jax.devices()[0].device_kind,
                'count': jax.device_count(),
                'processes': jax.process_count(),
            },
        }
        try:
            files.write_json(path, content)
        except OSError as error:
            raise InputError(
                f'{path} cannot be written ({error.strerror or error}); see that there is room, or '
                'name another directory',
                path=path,
            ) from error
    return path


def table(metrics: Mapping[str, Any], published: Mapping[str, float]) -> str:
    """Lays out metrics beside the published ones.

    Args:
        metrics, published: {name: number}; fractions in [0, 1] are shown in percent.

    Example:
        >>> print(table({'top1_error': .25, 'examples': 8}, {'top1_error': .2486}))
        metric           measured    published
        top1_error        25.00 %      24.86 %
        examples                8            -
    """
    width = max([16, *map(len, metrics)])
    return '\n'.join(
        [f'{"metric":{width}}{"measured":>9}{"published":>13}']
        + [
            f'{name:{width}}{_text(name, number):>9}{cell(published.get(name)):>13}'
            for name, number in metrics.items()
        ]
    )


def _text(name: str, number: int | float) -> str:
    """Writes a threshold as it is, since the best ones are close to 1, and other metrics as `cell`.

    Example:
        >>> _text('scaled/threshold', .9999993), _text('pxap', .9999993)
        ('0.9999993', '100.00 %')
    """
    return f'{number:.7f}' if name.endswith('threshold') else cell(number)


def cell(number: int | float | None) -> str:
    """Writes a metric: a count as it is, a fraction in percent, nothing as a dash.

    Example:
        >>> cell(1000), cell(.25), cell(None)
        ('1,000', '25.00 %', '-')
    """
    if number is None:
        return '-'
    return f'{number:,}' if isinstance(number, int) else f'{100 * number:.2f} %'
