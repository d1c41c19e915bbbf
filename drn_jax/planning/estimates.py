"""From a compiled step to what a run will take: memory, time, chip-hours."""

import collections
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from drn_jax.experiments import Experiment
from drn_jax.planning import chips, gpus, hlo, kernels
from drn_jax.planning.compiler import Program

EXPENSIVE = 10  # operations that a plan names


class Bound(NamedTuple):
    """How long a kernel takes at least.

    Attributes:
        name, level, backward, what: as in `kernels.Kernel`; its kind stands in `what`.
        seconds_bound: over all repetitions in a step.
    """

    name: str
    level: str
    backward: bool
    what: str
    seconds_bound: float


class Costs(NamedTuple):
    """What one step takes on one chip.

    Attributes:
        cycles: by the compiler's estimate, without collectives; None where it gives none.
        augmentation: of all that `by_level` counts, for augmentation and normalization.
        seconds: cycles and collectives, or None; of GPUs a bound.
        collective_seconds: of these, for collectives.
        peak_fraction: operations by those at the peak in that time; None where there is no peak.
        by_level: {level: [forward, backward]}, in cycles, of GPUs in seconds.
        expensive: the operations with the most cycles, or kernels with the most seconds.
        collectives: for each kind: number, bytes and estimated seconds.
        kernels: of GPUs, for each level and kind of kernel: number, operations, bytes, seconds.
        warnings: sentences about kernels that are likely to be slow.
    """

    cycles: int | None = None
    augmentation: float | None = None
    seconds: float | None = None
    collective_seconds: float | None = None
    peak_fraction: float | None = None
    by_level: dict[str, list[float]] = {}
    expensive: list[hlo.Operation] | list[Bound] = []
    collectives: dict[str, dict[str, Any]] = {}
    kernels: list[dict[str, Any]] = []
    warnings: list[str] = []


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
    by_level: dict[str, list[float]] = collections.defaultdict(lambda: [0, 0])
    for operation in operations:
        by_level[operation.level][operation.backward] += operation.cycles
    kinds = _exchanges(
        exchanges, everyone, lambda exchange: chips.exchange_seconds(exchange, tpu_slice)
    )
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
        kinds,
    )


def of_gpu(program: Program, cluster: gpus.Cluster, experiment: Experiment) -> Costs:
    """Computes how long a step takes at least on GPUs, by the roofline of every kernel.

    Kernels run one after the other; exchanges may overlap with them, so the longer of both counts.

    Args:
        program: the compiled step.
        cluster: where it runs.
        experiment: what is planned.
    """
    card, found = cluster.card, kernels.read(program.text)
    by_level: dict[str, list[float]] = collections.defaultdict(lambda: [0, 0])
    groups: dict[tuple[Any, ...], dict[str, Any]] = {}
    bounds = []
    for kernel in found:
        seconds = gpus.kernel_seconds(kernel, card)
        by_level[kernel.level][kernel.backward] += seconds
        what = f'{kernel.what}, {kernel.kind}'
        bounds.append(Bound(kernel.name, kernel.level, kernel.backward, what, seconds))
        key = (kernel.level, kernel.backward, kernel.kind, kernel.window, kernel.dtype)
        group = groups.setdefault(
            key,
            dict(zip(('level', 'backward', 'kind', 'window', 'dtype'), key))
            | {'number': 0, 'operations': 0, 'bytes': 0, 'seconds_bound': 0.0},
        )
        group['number'] += kernel.repetitions
        group['operations'] += kernel.repetitions * kernel.operations
        group['bytes'] += kernel.repetitions * kernel.bytes
        group['seconds_bound'] += seconds
    kinds = _exchanges(
        hlo.read(program.text)[1],
        cluster.chips,
        lambda exchange: gpus.exchange_seconds(exchange, cluster),
    )
    collective_seconds = sum(kind['estimated_seconds'] for kind in kinds.values())
    seconds = max(sum(bound.seconds_bound for bound in bounds), collective_seconds)
    dtype = experiment.config.model.dtype
    peak = gpus.peak_flops(card, dtype)
    return Costs(
        None,
        sum(by_level.get(hlo.AUGMENTATION, (0, 0))),
        seconds,
        collective_seconds,
        program.operations / (seconds * peak),
        dict(by_level),
        sorted(bounds, key=lambda bound: -bound.seconds_bound)[:EXPENSIVE],
        kinds,
        list(groups.values()),
        kernels.warnings(found, experiment.task.model.table, dtype),
    )


def _exchanges(
    exchanges: list[hlo.Collective], everyone: int, seconds: Callable[[hlo.Collective], float]
) -> dict[str, dict[str, Any]]:
    """Computes `Costs.collectives`; a group of `everyone` is all."""
    kinds: dict[str, dict[str, Any]] = collections.defaultdict(
        lambda: {'number': 0, 'bytes': 0, 'estimated_seconds': 0.0}
    )
    for exchange in exchanges:
        if exchange.group == everyone:
            exchange = exchange._replace(group=0)
        kind = kinds[exchange.kind]
        kind['number'] += exchange.repetitions
        kind['bytes'] += exchange.repetitions * exchange.bytes
        kind['estimated_seconds'] += seconds(exchange)
    return dict(kinds)


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


def basis(target: chips.Slice | gpus.Cluster | None) -> str:
    """Says what the estimates of time rest on, for a TPU slice, GPUs or, if None, this machine."""
    if target is None:
        return (
            "operations by the compiler's count at the speed of a float32 matrix product, "
            'measured now; a lower bound (benchmarks/train_step.py measures steps)'
        )
    if isinstance(target, gpus.Cluster):
        return (
            'a bound, not an estimate: every kernel at the full rate of the card, by its operations'
            f' or its bytes ({target.card.memory_bandwidth / 1e9:,.0f} GB/s), counted from shapes '
            'in the program, with all exchanges behind them; exchanges: '
            f'{gpus.exchange_basis(target)}; of the memory JAX takes '
            f'{100 * gpus.memory_fraction():.0f} % (XLA_CLIENT_MEM_FRACTION), and what cuDNN'
            ' works in is not counted; starting kernels, evaluation, checkpoints and waiting for '
            'the host are not in it'
        )
    return (
        f"the compiler's estimated cycles at {target.chip.clock_hz / 1e9:g} GHz; "
        f'collectives: {chips.exchange_basis(target)}; evaluation, checkpoints and waiting for '
        'the host are not in it'
    )
