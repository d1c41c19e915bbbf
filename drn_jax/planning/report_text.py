"""What a plan says: lines for people, entries for report.json."""

from drn_jax.distributed import meshes
from drn_jax.planning import compiler
from drn_jax.reporting import progress


def title(config, topology, mesh, rows):
    """Says in a line what is planned."""
    model, side = config.model, compiler.side_of(config)
    hosts = len({device.process_index for device in mesh.devices.flat})
    share = mesh.shape[meshes.SPATIAL]
    return (
        f'{model.variant}, width {model.width:g}, {model.dtype}: steps of '
        f'{config.batch_size:,} images of {side} x {side} pixels on {topology}, '
        f'{_number(mesh.devices.size, "chip")} of {_number(hosts, "host")}, '
        f'{_number(rows, "image")} for each '
        f'{"chip" if share == 1 else f"{share} chips"}'
    )


def summary(config, mesh, steps, room, costs, program, basis):
    """Returns the entries of the report that say what a run takes.

    Args:
        config: the configuration.
        mesh: the devices.
        steps: of the whole schedule.
        room: a `rooms.MemoryFit`, whose first trial is the configuration's batch.
        costs: an `estimates.Costs`.
        program: the `compiler.Program` of the configuration's batch.
        basis: what the estimates of time rest on.

    Returns:
        A dict; what is not known is None.
    """
    first, chips, seconds = room.trials[0], mesh.devices.size, costs.seconds
    hours = None if seconds is None else steps * seconds / 3600
    return {
        'fits': first.fits,
        'temporary_bytes': program.temporary_bytes or None,
        'argument_bytes': program.argument_bytes or None,
        'memory_bytes': room.there,
        'free_bytes': None if first.taken is None else room.there - first.taken,
        'largest_batch': room.largest() and room.largest() * mesh.shape[meshes.DATA],
        'largest_batch_is_compiled': room.is_verified(),
        'chips': chips,
        'hosts': len({device.process_index for device in mesh.devices.flat}),
        'estimated_cycles': costs.cycles,
        'augmentation_cycles': costs.augmentation_cycles,
        'estimated_step_seconds': seconds,
        'collective_seconds': costs.collective_seconds,
        'images_per_second_per_chip': seconds and config.batch_size / seconds / chips,
        'peak_fraction': costs.peak_fraction,
        'operations_per_chip': program.operations or None,
        'steps': steps,
        'hours': hours,
        'chip_hours': hours and hours * chips,
        'basis': basis,
    }


def details(costs):
    """Returns the entries of the report that say where the time goes."""
    return {
        'cycles_by_level': {
            level: {'forward': both[0], 'backward': both[1]}
            for level, both in sorted(costs.by_level.items())
        },
        'collectives': costs.collectives,
        'most_expensive': [operation._asdict() for operation in costs.expensive],
    }


def lines(found, costs, config):
    """Lays out a plan for people.

    Args:
        found: what `summary` gives.
        costs: the `estimates.Costs`.
        config: the configuration.

    Returns:
        A list of lines.
    """
    rows = [('memory', _memory(found)), ('largest batch', _largest(found))]
    if found['estimated_step_seconds'] is not None:
        rows += _times(found, config)
    rows += [
        (
            'collectives',
            ', '.join(
                f'{kind}: {entry["number"]} of together {_bytes(entry["bytes"])}, '
                f'{1000 * entry["estimated_seconds"]:.2f} ms'
                for kind, entry in costs.collectives.items()
            ),
        )
    ] * bool(costs.collectives)
    rows += [('basis', found['basis'])]
    return [f'{name:15}{text}' for name, text in rows] + _tables(costs) + _hints(found, config)


def _memory(found):
    there = _bytes(found['memory_bytes'])
    if found['temporary_bytes'] is None:
        taken = found['free_bytes'] is not None and found['memory_bytes'] - found['free_bytes']
        return f'does not fit: {_bytes(taken) if taken else "more"} needed, {there} there'
    return (
        f'{"fits" if found["fits"] else "does not fit"}: {_bytes(found["temporary_bytes"])} of '
        f'temporaries and {_bytes(found["argument_bytes"])} of state and batch, in {there} of '
        f'each chip; {_bytes(found["free_bytes"])} left'
    )


def _largest(found):
    if found['largest_batch'] is None:
        return 'not known; --largest_batch looks for it'
    how = (
        'compiled'
        if found['largest_batch_is_compiled']
        else ('an estimate; --largest_batch compiles it')
    )
    return (
        f'{found["largest_batch"]:,} images, {found["largest_batch"] / found["chips"]:g} for '
        f'each chip ({how})'
    )


def _times(found, config):
    seconds, cycles = found['estimated_step_seconds'], found['estimated_cycles']
    step, speed = f'{seconds:.4f} s', found['images_per_second_per_chip']
    rows = []
    if cycles:
        augmentation = found['augmentation_cycles']
        step += (
            f': {cycles / 1e6:.1f} million cycles, and '
            f'{1000 * found["collective_seconds"]:.2f} ms of collectives'
        )
        rows = [
            (
                '',
                f'{augmentation / 1e6:.1f} million cycles of these are augmentation, '
                f'{100 * augmentation / (cycles - augmentation):.1f} % of the others',
            )
        ]
    peak = found['peak_fraction']
    return [
        ('step', step),
        *rows,
        (
            'speed',
            f'{speed:,.0f} images/s for each chip, {speed * found["chips"]:,.0f} in all'
            + (f', {100 * peak:.0f} % of peak' if peak else ''),
        ),
        (
            'schedule',
            f'{found["steps"]:,} steps: {progress.duration(3600 * found["hours"])}, '
            f'{found["chip_hours"]:,.1f} chip-hours',
        ),
        (
            'input',
            f'each host has to deliver {speed * found["chips"] / found["hosts"]:,.0f} '
            'images/s (benchmarks/input_pipeline.py measures it)',
        ),
    ]


def _tables(costs):
    if not costs.by_level:
        return []
    total = sum(map(sum, costs.by_level.values()))
    table = ['', f'{"million cycles":15}{"forward":>9}{"backward":>10}{"share":>9}']
    table += [
        f'{level:15}{forward / 1e6:9.2f}{backward / 1e6:10.2f}'
        f'{100 * (forward + backward) / total:7.1f} %'
        for level, (forward, backward) in sorted(costs.by_level.items(), key=_place)
    ]
    table += ['', 'most expensive operations, million cycles']
    return table + [
        f'{operation.cycles / 1e6:7.2f}  {operation.level:8} '
        f'{"backward" if operation.backward else "forward":9}{operation.what} ({operation.name})'
        for operation in costs.expensive
    ]


def _hints(found, config):
    if config.data.shards % found['hosts'] == 0:
        return []
    return [
        '',
        f'config.data.shards is {config.data.shards}, which {found["hosts"]} hosts do '
        'not divide; train with a multiple of them',
    ]


def _place(entry):
    order = ('augmentation', 'stem', 'level', 'head', 'other')
    return next(i for i, name in enumerate(order) if entry[0].startswith(name)), entry[0]


def _bytes(number):
    return f'{number / 1e9:.2f} GB' if abs(number) >= 1e8 else f'{number / 1e6:.2f} MB'


def _number(count, what):
    return f'{count:,} {what}{"s" * (count != 1)}'
