"""From a compiled step to what a run will take: memory, time, chip-hours."""

import collections
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from drn_jax.planning import hlo, interconnects

EXPENSIVE = 10  # operations that a plan names


class Costs(NamedTuple):
    """What one step takes on one chip.

    Attributes:
        cycles: by the compiler's estimate, without collectives; None where it gives none.
        augmentation_cycles: of these, for augmentation and normalization.
        seconds: cycles and collectives, or None.
        collective_seconds: of these, for collectives.
        peak_fraction: operations, as the compiler counts them, by those at the peak in that time;
            None where there is no peak.
        by_level: {level: [cycles forward, cycles backward]}.
        expensive: the operations with the most cycles.
        collectives: for each kind: number, bytes and estimated seconds.
    """

    cycles: int | None = None
    augmentation_cycles: int | None = None
    seconds: float | None = None
    collective_seconds: float | None = None
    peak_fraction: float | None = None
    by_level: dict[str, list[int]] = {}
    expensive: list[hlo.Operation] = []
    collectives: dict[str, dict[str, Any]] = {}


def of_tpu(program, part, compiled_for=None):
    """Estimates what a step takes on a TPU.

    Args:
        program: a `compiler.Program`.
        part: the `chips.Slice`.
        compiled_for: the slice that it was compiled for, if another one with as many images on
            every chip; what all of its chips exchange, all chips of `part` do.

    Returns:
        The `Costs`; empty where the program does not fit.
    """
    if program.too_large:
        return Costs()
    operations, exchanges = hlo.read(program.text)
    everyone = (compiled_for or part).chips
    exchanges = [
        exchange._replace(group=0) if exchange.group == everyone else exchange
        for exchange in exchanges
    ]
    cycles = sum(operation.cycles for operation in operations)
    by_level: dict[str, list[int]] = collections.defaultdict(lambda: [0, 0])
    for operation in operations:
        by_level[operation.level][operation.backward] += operation.cycles
    kinds: dict[str, dict[str, Any]] = collections.defaultdict(
        lambda: {'number': 0, 'bytes': 0, 'estimated_seconds': 0.0}
    )
    for exchange in exchanges:
        kinds[exchange.kind]['number'] += exchange.repetitions
        kinds[exchange.kind]['bytes'] += exchange.repetitions * exchange.bytes
        kinds[exchange.kind]['estimated_seconds'] += interconnects.seconds(exchange, part)
    exchanging = sum(kind['estimated_seconds'] for kind in kinds.values())
    seconds = cycles / part.chip.clock + exchanging
    return Costs(
        cycles,
        sum(by_level.get(hlo.AUGMENTATION, (0, 0))),
        seconds,
        exchanging,
        program.operations / (seconds * part.chip.peak),
        dict(by_level),
        sorted(operations, key=lambda operation: -operation.cycles)[:EXPENSIVE],
        dict(kinds),
    )


def of_cpu(program, mesh):
    """Estimates what a step takes on this machine's CPU: operations at the speed of a product.

    Args:
        program: a `compiler.Program`.
        mesh: its devices, which share the cores.

    Returns:
        The `Costs`, of which time is a lower bound: convolutions are slower than large products.
    """
    speed = product_speed()
    return Costs(seconds=program.operations * mesh.devices.size / speed)


def product_speed(side=1024, rounds=5):
    """Measures floating-point operations a second in products of float32 matrices, all cores."""
    product = jax.jit(jnp.dot)
    matrix = jnp.ones((side, side))
    product(matrix, matrix).block_until_ready()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        product(matrix, matrix).block_until_ready()
        times.append(time.perf_counter() - start)
    return 2 * side**3 / min(times)


def basis(part):
    """Says what the estimates of time rest on, for a `chips.Slice` or, if None, this machine."""
    if part is None:
        return (
            "operations by the compiler's count at the speed of a float32 matrix product, "
            'measured now; a lower bound (benchmarks/train_step.py measures steps)'
        )
    return (
        f"the compiler's estimated cycles at {part.chip.clock / 1e9:g} GHz; "
        f'collectives: {interconnects.basis(part)}; evaluation, checkpoints and waiting for the host '
        'are not in it'
    )
