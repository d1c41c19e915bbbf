"""What a plan says: lines for people, entries for report.json."""

from typing import Any

import jax

from drn_jax.data import batch_specs
from drn_jax.distributed import meshes
from drn_jax.experiments import Experiment
from drn_jax.models import convolutions
from drn_jax.planning import compiler
from drn_jax.planning.estimates import Costs
from drn_jax.planning.memory_fit import MemoryFit
from drn_jax.reporting import progress


def title(experiment: Experiment, topology: str) -> str:
    """Says in a line what is planned.

    Args:
        experiment: what is planned.
        topology: name of the slice, or 'cpu'.
    """
    config, mesh = experiment.config, experiment.mesh
    model, spatial = config.model, mesh.shape[meshes.SPATIAL]
    side = batch_specs.image_side(experiment.kind.label_kind, config.data)
    images = config.batch_size // mesh.shape[meshes.DATA]
    return (
        f'{model.variant}, width {model.width:g}, {model.dtype}: steps of '
        f'{config.batch_size:,} images of {side} x {side} pixels on {topology}, '
        f'{_number(mesh.devices.size, chip(mesh))} of {_number(_hosts(mesh), "host")}, '
        f'{_number(images, "image")} for each '
        f'{chip(mesh) if spatial == 1 else f"{spatial} {chip(mesh)}s"}'
    )


def chip(mesh: jax.sharding.Mesh) -> str:
    """Returns what the devices of a mesh are called."""
    return 'GPU' if mesh.devices.flat[0].platform == 'gpu' else 'chip'


def summary(
    experiment: Experiment, fit: MemoryFit, costs: Costs, program: compiler.Program, basis: str
) -> dict[str, Any]:
    """Returns the entries of the report that say what a run takes.

    Args:
        experiment: what is planned.
        fit: what is known of memory; its first trial is the configuration's batch.
        costs: what a step takes.
        program: the compiled step.
        basis: what the estimates of time rest on.

    Returns:
        A dict; what is not known is None.
    """
    assert experiment.schedule  # it is one to train
    mesh, steps = experiment.mesh, experiment.schedule.cadence.last
    first, largest = fit.trials[0], fit.largest()
    chips, seconds = mesh.devices.size, costs.seconds
    hours = None if seconds is None else steps * seconds / 3600
    times = {
        'estimated_cycles': costs.cycles,
        'augmentation_cycles': costs.augmentation,
        'estimated_step_seconds': seconds,
    }
    if costs.kernels:
        times = {'step_seconds_bound': seconds, 'augmentation_seconds_bound': costs.augmentation}
    return {
        'fits': first.fits,
        'temporary_bytes': program.temporary_bytes or None,
        'argument_bytes': program.argument_bytes or None,
        'memory_bytes': fit.available_bytes,
        'free_bytes': None
        if first.needed_bytes is None
        else fit.available_bytes - first.needed_bytes,
        'largest_batch': largest and largest * mesh.shape[meshes.DATA],
        'largest_batch_is_compiled': fit.is_verified(),
        'chips': chips,
        'hosts': _hosts(mesh),
        **times,
        'collective_seconds': costs.collective_seconds,
        'images_per_second_per_chip': seconds and experiment.config.batch_size / seconds / chips,
        'peak_fraction': costs.peak_fraction,
        'operations_per_chip': program.operations or None,
        'compiler_options': convolutions.compiler_options(
            meshes.local_device(mesh), 'training', experiment.config.compiler_options
        ),
        'compile_seconds': program.compile_seconds,
        'steps': steps,
        'hours': hours,
        'chip_hours': hours and hours * chips,
        'basis': basis,
    }


def details(costs: Costs) -> dict[str, Any]:
    """Returns the entries of the report that say where the time goes."""
    unit = 'seconds_bound' if costs.kernels else 'cycles'
    entries = {
        f'{unit}_by_level': {
            level: {'forward': both[0], 'backward': both[1]}
            for level, both in sorted(costs.by_level.items())
        },
        'collectives': costs.collectives,
        'most_expensive': [operation._asdict() for operation in costs.expensive],
    }
    if costs.kernels:
        entries |= {'kernels': costs.kernels, 'warnings': costs.warnings}
    return entries


def lines(entries: dict[str, Any], costs: Costs, shards: int) -> list[str]:
    """Lays out a plan for people.

    Args:
        entries: what `summary` returns.
        costs: what a step takes.
        shards: `config.data.shards`.

    Returns:
        The lines.
    """
    rows = [('memory', _memory(entries)), ('largest batch', _largest(entries))]
    if entries.get('step_seconds_bound') is not None:
        rows += _bounds(entries)
    elif entries.get('estimated_step_seconds') is not None:
        rows += _times(entries)
    if costs.collectives:
        kinds = [
            f'{kind}: {entry["number"]} of together {_bytes(entry["bytes"])}, '
            f'{1000 * entry["estimated_seconds"]:.2f} ms'
            for kind, entry in costs.collectives.items()
        ]
        rows.append(('collectives', ', '.join(kinds)))
    options = [f'{name}={text}' for name, text in entries['compiler_options'].items()]
    if entries['compile_seconds'] is not None:
        took = progress.duration(entries['compile_seconds'])
        rows.append(('compiled', f'in {took}, options: {", ".join(options) or "none"}'))
    rows.append(('basis', entries['basis']))
    tables = _tables(costs) + _kernels(costs)
    return [f'{name:15}{text}' for name, text in rows] + tables + _hints(entries, shards)


def _memory(entries: dict[str, Any]) -> str:
    available = _bytes(entries['memory_bytes'])
    if entries['temporary_bytes'] is None:
        needed = (
            entries['free_bytes'] is not None and entries['memory_bytes'] - entries['free_bytes']
        )
        return f'does not fit: {_bytes(needed) if needed else "more"} needed, {available} there'
    free = entries['free_bytes']
    return (
        f'{"fits" if entries["fits"] else "does not fit"}: {_bytes(entries["temporary_bytes"])} of '
        f'temporaries and {_bytes(entries["argument_bytes"])} of state and batch, in {available} '
        f'of each {_chip(entries)}; {_bytes(abs(free))} {"too many" if free < 0 else "left"}'
    )


def _chip(entries: dict[str, Any]) -> str:
    return 'GPU' if 'step_seconds_bound' in entries else 'chip'


def _largest(entries: dict[str, Any]) -> str:
    if entries['largest_batch'] is None:
        return 'not known; --largest_batch looks for it'
    is_compiled = entries['largest_batch_is_compiled']
    how = 'compiled' if is_compiled else 'an estimate; --largest_batch compiles it'
    return (
        f'{entries["largest_batch"]:,} images, {entries["largest_batch"] / entries["chips"]:g} for '
        f'each {_chip(entries)} ({how})'
    )


def _times(entries: dict[str, Any]) -> list[tuple[str, str]]:
    seconds, cycles = entries['estimated_step_seconds'], entries['estimated_cycles']
    step, speed = f'{seconds:.4f} s', entries['images_per_second_per_chip']
    rows = []
    if cycles:
        augmentation = entries['augmentation_cycles']
        step += (
            f': {cycles / 1e6:.1f} million cycles, and '
            f'{1000 * entries["collective_seconds"]:.2f} ms of collectives'
        )
        rows = [
            (
                '',
                f'{augmentation / 1e6:.1f} million cycles of these are augmentation, '
                f'{100 * augmentation / (cycles - augmentation):.1f} % of the others',
            )
        ]
    peak = entries['peak_fraction']
    return [
        ('step', step),
        *rows,
        (
            'speed',
            f'{speed:,.0f} images/s for each chip, {speed * entries["chips"]:,.0f} in all'
            + (f', {100 * peak:.0f} % of peak' if peak else ''),
        ),
        (
            'schedule',
            f'{entries["steps"]:,} steps: {progress.duration(3600 * entries["hours"])}, '
            f'{entries["chip_hours"]:,.1f} chip-hours',
        ),
        (
            'input',
            f'each host has to deliver {speed * entries["chips"] / entries["hosts"]:,.0f} '
            'images/s (benchmarks/input_pipeline.py measures it)',
        ),
    ]


def _bounds(entries: dict[str, Any]) -> list[tuple[str, str]]:
    seconds, speed = entries['step_seconds_bound'], entries['images_per_second_per_chip']
    return [
        (
            'step',
            f'at least {1000 * seconds:.2f} ms, of which augmentation takes '
            f'{1000 * entries["augmentation_seconds_bound"]:.2f}',
        ),
        (
            'speed',
            f'at most {speed:,.0f} images/s for each GPU, {speed * entries["chips"]:,.0f} in all, '
            f'{100 * entries["peak_fraction"]:.0f} % of peak',
        ),
        (
            'schedule',
            f'{entries["steps"]:,} steps: at least '
            f'{progress.duration(3600 * entries["hours"])}, {entries["chip_hours"]:,.1f} GPU-hours',
        ),
        (
            'input',
            f'each host has to deliver up to {speed * entries["chips"] / entries["hosts"]:,.0f} '
            'images/s (benchmarks/input_pipeline.py measures it)',
        ),
    ]


def _tables(costs: Costs) -> list[str]:
    if not costs.by_level:
        return []
    unit, scale = ('ms at least', 1e-3) if costs.kernels else ('million cycles', 1e6)
    total = sum(map(sum, costs.by_level.values()))
    table = ['', f'{unit:15}{"forward":>9}{"backward":>10}{"share":>9}']
    table += [
        f'{level:15}{forward / scale:9.2f}{backward / scale:10.2f}'
        f'{100 * (forward + backward) / total:7.1f} %'
        for level, (forward, backward) in sorted(costs.by_level.items(), key=_level_rank)
    ]
    table += ['', f'most expensive operations, {unit}']
    return table + [
        f'{operation[-1] / scale:7.2f}  {operation.level:8} '
        f'{"backward" if operation.backward else "forward":9}{operation.what} ({operation.name})'
        for operation in costs.expensive
    ]


def _kernels(costs: Costs) -> list[str]:
    """Lays out the kinds of kernel by level, those that multiply first, and the warnings."""
    if not costs.kernels:
        return []
    by_level: dict[str, dict[str, int]] = {}
    for group in costs.kernels:
        kind = group['kind']
        if group['dtype']:
            kind = f'{"x".join(map(str, group["window"]))} {kind} {group["dtype"]}'.strip()
        numbers = by_level.setdefault(group['level'], {})
        numbers[kind] = numbers.get(kind, 0) + group['number']
    lines = ['', 'kernels']
    for level, kinds in sorted(by_level.items(), key=_level_rank):
        parts = sorted(kinds.items(), key=lambda kind: (' ' not in kind[0], kind[0]))
        lines.append(f'{level:15}' + ', '.join(f'{number} {kind}' for kind, number in parts))
    return lines + [''] * bool(costs.warnings) + [f'warning: {each}' for each in costs.warnings]


def _hints(entries: dict[str, Any], shards: int) -> list[str]:
    if shards % entries['hosts'] == 0:
        return []
    return [
        '',
        f'config.data.shards is {shards}, which {entries["hosts"]} hosts do '
        'not divide; train with a multiple of them',
    ]


def _level_rank(entry: tuple[str, Any]) -> tuple[int, str]:
    order = ('augmentation', 'stem', 'level', 'head', 'other')
    return next(i for i, name in enumerate(order) if entry[0].startswith(name)), entry[0]


def _hosts(mesh: jax.sharding.Mesh) -> int:
    return len({device.process_index for device in mesh.devices.flat})


def _bytes(number: int) -> str:
    return f'{number / 1e9:.2f} GB' if abs(number) >= 1e8 else f'{number / 1e6:.2f} MB'


def _number(count: int, what: str) -> str:
    return f'{count:,} {what}{"s" * (count != 1)}'
