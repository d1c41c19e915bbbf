"""Compiling the training step for devices that need not be there."""

import logging
import os
import time
from collections.abc import Sequence
from importlib import metadata
from typing import Any, NamedTuple

import jax
import ml_collections
from jax.experimental import topologies

from drn_jax import experiments, tasks
from drn_jax.data import batch_specs
from drn_jax.distributed import accelerators, meshes
from drn_jax.errors import InputError, one_line
from drn_jax.planning import children, cuda_compiler, peaks
from drn_jax.planning.chips import Slice
from drn_jax.planning.dataset_sizes import PlannedSource
from drn_jax.training import states, steps

_logger = logging.getLogger(__name__)
# The compiler shares no chip with others, so it needs none of the locks of those who use one.
ENVIRONMENT = {
    **accelerators.NO_TPU,
    'JAX_PLATFORMS': 'cpu',
    'TPU_WORKER_ID': '0',
    'ALLOW_MULTIPLE_LIBTPU_LOAD': '1',
}


class Program(NamedTuple):
    """A compiled training step.

    Attributes:
        text: what the compiler made, as text; '' where it does not fit.
        operations: floating-point operations of one step on one chip, by the compiler's count; for
            GPUs, those of convolutions and products, by ours.
        temporary_bytes: memory of one chip for what lives inside a step.
        argument_bytes: memory of one chip for state and batch.
        too_large: what the compiler says where the step does not fit; '' where it does.
        compile_seconds: how long the compiler took.
    """

    text: str
    operations: float = 0.0
    temporary_bytes: int = 0
    argument_bytes: int = 0
    too_large: str = ''
    compile_seconds: float | None = None


def keep_off_accelerators() -> None:
    """Lets JAX compute on the CPU only; to be called before JAX is used."""
    os.environ.update(ENVIRONMENT)
    jax.config.update('jax_platforms', 'cpu')


def run_child(arguments: Sequence[str], what: str) -> None:
    """Runs Python in a process that compiles for TPUs, as `children.run`.

    Args:
        arguments: of Python.
        what: is compiled, for the error.

    Raises:
        InputError: libtpu is not installed, or as that says.
        SystemExit: as that says.
    """
    children.run(arguments, ENVIRONMENT, f'the TPU compiler, libtpu {libtpu_version()},', what)


def libtpu_version() -> str:
    """Returns the version of the TPU compiler.

    Raises:
        InputError: it is not installed.
    """
    try:
        return metadata.version('libtpu')
    except metadata.PackageNotFoundError as error:
        raise InputError(
            "the TPU compiler, libtpu, is not installed; pip install 'drn_jax[plan]', "
            'or give --topology=cpu'
        ) from error


def devices_of(tpu_slice: Slice) -> Sequence[jax.Device]:
    """Returns the devices of a TPU slice as the compiler knows them.

    Args:
        tpu_slice: the slice.

    Returns:
        Devices for which one can compile; nothing runs on them.

    Raises:
        InputError: libtpu is not installed, or knows no such slice.
    """
    libtpu_version()
    try:
        config = tpu_slice.chip.chip_config
        more = {'chip_config_name': config} if config else {}
        return topologies.get_topology_desc(tpu_slice.name, 'tpu', **more).devices
    except Exception as error:  # of several kinds
        raise InputError(
            f'--topology={tpu_slice.name} is none that libtpu can compile for '
            f'({one_line(error, short=True)})',
            field='--topology',
        ) from error


def lower_step(experiment: experiments.Experiment) -> jax.stages.Lowered:
    """Lowers the training step of an experiment, for devices that need not be there.

    Args:
        experiment: what is planned or measured.
    """
    config, task, mesh = experiment.config, experiment.task, experiment.mesh
    assert experiment.schedule  # it is one to train
    optimizer = states.create_optimizer(config.optimizer, experiment.schedule.learning_rate)
    state, key = states.abstract(task.model, optimizer, mesh)
    batch = {
        key: jax.ShapeDtypeStruct(shape, dtype, sharding=meshes.spatial_sharding(mesh, len(shape)))
        for key, (shape, dtype) in batch_specs.training_batch(
            experiment.kind.label_kind, config.data, config.batch_size
        ).items()
    }
    return steps.train_step(task, optimizer, mesh, compiler_options=config.compiler_options).lower(
        state, batch, key
    )


def compile_step(experiment: experiments.Experiment) -> Program:
    """Compiles the training step of an experiment.

    Args:
        experiment: what is planned.

    Returns:
        What the compiler made of it.
    """
    lowered, platform = lower_step(experiment), experiment.mesh.devices.flat[0].platform
    start = time.monotonic()
    try:
        compiled = _compile(lowered, platform)
    except jax.errors.JaxRuntimeError as error:
        if 'RESOURCE_EXHAUSTED' not in str(error):
            raise
        return Program('', too_large=str(error))
    return read(compiled, platform, time.monotonic() - start)


def _compile(lowered: jax.stages.Lowered, platform: str) -> jax.stages.Compiled:
    """Compiles a step; for GPUs once more, with products by cuBLAS, where Triton finds no tiles."""
    options = cuda_compiler.OPTIONS if platform == 'gpu' else None
    try:
        return lowered.compile(compiler_options=options)
    except jax.errors.JaxRuntimeError as error:
        if not options or 'output tile sizes' not in str(error):
            raise
    _logger.warning(
        'without a card to measure on, the compiler finds no tiles for a matrix product; so this '
        'is a program with xla_gpu_enable_triton_gemm=False, whose products cuBLAS computes'
    )
    return lowered.compile(compiler_options={**options, 'xla_gpu_enable_triton_gemm': False})


def read(
    compiled: jax.stages.Compiled, platform: str, compile_seconds: float | None = None
) -> Program:
    """Reads from a compiled step what a plan rests on.

    Args:
        compiled: the step.
        platform: it was compiled for.
        compile_seconds: how long that took, if it is known.
    """
    memory: Any = compiled.memory_analysis()
    return Program(
        compiled.as_text() or '',
        peaks.operations(compiled, platform),
        memory.temp_size_in_bytes,
        memory.argument_size_in_bytes,
        compile_seconds=compile_seconds,
    )


def with_batch_size(
    config: ml_collections.ConfigDict, batch_size: int
) -> ml_collections.ConfigDict:
    """Returns the configuration of a batch that is compiled and never fed, so in one shard.

    Args:
        config: the configuration; it stays as it is.
        batch_size: images a step.
    """
    other = config.copy_and_resolve_references()
    other.batch_size, other.data.shards = batch_size, 1
    return other


def resolve(
    config: ml_collections.ConfigDict, source: PlannedSource, devices: Sequence[jax.Device]
) -> experiments.Experiment:
    """Resolves a configuration for devices that need not be there.

    Args:
        config: the configuration.
        source: its data set.
        devices: of one platform.

    Raises:
        InputError: a field cannot be used, or the task has no training.
    """
    platform = devices[0].platform
    return experiments.resolve(
        config,
        source=source,
        devices=devices,
        create_network=lambda config: tasks.create_network(config).clone(platform=platform),
    )
