"""From a compiled step to what a run will take: memory, time, chip-hours."""

import collections
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from drn_jax.planning import chips, hlo
from drn_jax.planning.compiler import Program

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


def of_tpu(
    program: Program, tpu_slice: chips.Slice, compiled_for: chips.Slice | None = None
) -> Costs:
    """Estimates what a step takes on a TPU.

    Args:
        program: the compiled step.
        tpu_slice: where it runs.
        compiled_for: the slice that it was compiled for, if another one with as many images on
            every chip; what all of its chips exchange, all chips of `tpu_slice` do.

    Returns:
        What it takes; nothing is known where it does not fit.
    """
    if program.too_large:
        return Costs()
    operations, exchanges = hlo.read(program.text)
    everyone = (compiled_for or tpu_slice).chips
    cycles = sum(operation.cycles for operation in operations)
    by_level: dict[str, list[int]] = collections.defaultdict(lambda: [0, 0])
    for operation in operations:
        by_level[operation.level][operation.backward] += operation.cycles
    kinds: dict[str, dict[str, Any]] = collections.defaultdict(
        lambda: {'number': 0, 'bytes': 0, 'estimated_seconds': 0.0}
    )
    for exchange in exchanges:
        if exchange.group == everyone:
            exchange = exchange._replace(group=0)
        kind = kinds[exchange.kind]
        kind['number'] += exchange.repetitions
        kind['bytes'] += exchange.repetitions * exchange.bytes
        kind['estimated_seconds'] += chips.exchange_seconds(exchange, tpu_slice)
    collective_seconds = sum(kind['estimated_seconds'] for kind in kinds.values())
    seconds = cycles / tpu_slice.chip.clock_hz + collective_seconds
    return Costs(
        cycles,
        sum(by_level.get(hlo.AUGMENTATION, (0, 0))),
        seconds,
        collective_seconds,
        program.operations / (seconds * tpu_slice.chip.peak_flops),
        dict(by_level),
        sorted(operations, key=lambda operation: -operation.cycles)[:EXPENSIVE],
        dict(kinds),
    )


def of_cpu(program: Program, mesh: jax.sharding.Mesh) -> Costs:
    """Estimates what a step takes on this machine's CPU: operations at the speed of a product.

    Args:
        program: the compiled step.
        mesh: its devices, which share the cores.

    Returns:
        What it takes; time is a lower bound, since convolutions are slower than large products.
    """
    return Costs(seconds=program.operations * mesh.devices.size / product_flops())


def product_flops(side: int = 1024, rounds: int = 5) -> float:
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


def basis(tpu_slice: chips.Slice | None) -> str:
    """Says what the estimates of time rest on, for a TPU slice or, if None, this machine."""
    if tpu_slice is None:
        return (
            "operations by the compiler's count at the speed of a float32 matrix product, "
            'measured now; a lower bound (benchmarks/train_step.py measures steps)'
        )
    return (
        f"the compiler's estimated cycles at {tpu_slice.chip.clock_hz / 1e9:g} GHz; "
        f'collectives: {chips.exchange_basis(tpu_slice)}; evaluation, checkpoints and waiting for '
        'the host are not in it'
    )
