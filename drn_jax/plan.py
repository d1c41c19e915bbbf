"""Says what a run will take on a TPU slice or on GPUs, before they are rented: memory, time, hours.

  python -m drn_jax.plan --config=configs/drn_c_26.py --topology=v5e:4x4 \\
      --config.batch_size=2048 --config.model.dtype=bfloat16
  python -m drn_jax.plan --config=configs/drn_c_26.py --topology=h100:4x8 \\
      --config.batch_size=4096 --config.model.dtype=bfloat16

Compiles the step that training runs, for devices that need not be there, with the TPU compiler
(pip install 'drn_jax[plan]') or the CUDA compiler (the command says how to get it), and reads from
what comes out: whether it fits and with how much room, estimated time (for GPUs a bound) and its
basis, fraction of peak, what the whole schedule takes, what chips exchange, where the time goes.
No data is read and no accelerator is used. Compiling takes a minute for GPUs, and minutes of one
core for TPUs: on v5e a quarter of an hour for DRN-C-26 with the options that training takes, four
minutes without: --compiler_option=xla_tpu_scoped_vmem_limit_kib=

Every field of the configuration can be changed with --config.FIELD=VALUE, for example
--config.mesh.spatial=4 or --config.model.rematerialize="('level1', 'level2')".
"""

import argparse
from collections.abc import Callable, Sequence

import jax

from drn_jax import commands, fields, files, paths
from drn_jax.distributed import memory, meshes
from drn_jax.errors import InputError
from drn_jax.models import convolutions
from drn_jax.planning import (
    children,
    chips,
    compiler,
    cuda_compiler,
    dataset_sizes,
    estimates,
    gpus,
    report_text,
)
from drn_jax.planning.memory_fit import MemoryFit
from drn_jax.reporting import progress, reports

CPU = 'cpu'


def main(argv: Sequence[str]) -> None:
    """Runs the command with these flags; see the module's text."""
    given, overrides = parse_flags(argv)
    config = commands.load_config(given.config, overrides)
    config.compiler_options += tuple(given.compiler_option)
    check_writable(given)
    fields.check(config)  # before the compiler is looked for, and perhaps a data set opened
    target = find_target(given.topology)
    if target and not children.is_child():
        is_gpu, model = isinstance(target, gpus.Cluster), config.model
        what = f'{model.variant} in {model.dtype} for {given.topology}'
        run_child = cuda_compiler.run_child if is_gpu else compiler.run_child
        return run_child(['-m', 'drn_jax.plan', *argv], what)
    if children.is_child():
        children.end_with_parent()
    compiler.keep_off_accelerators()
    devices = devices_of(target)
    check_options(given.compiler_option, devices[0].platform)
    source = dataset_sizes.find(config, given.examples or 0)
    experiment = compiler.resolve(config, source, devices)
    mesh = experiment.mesh

    progress.say(
        report_text.title(experiment, given.topology),
        'Compiling the training step; that takes a minute for a GPU, up to a quarter of an '
        'hour for a TPU ...',
    )
    program = compiler.compile_step(experiment)
    if given.program:
        with open(given.program, 'w', encoding='utf-8') as file:
            file.write(program.text)
    if isinstance(target, gpus.Cluster):
        costs = estimates.of_gpu(program, target, experiment)
    elif target:
        costs = estimates.of_tpu(program, target)
    else:
        costs = estimates.of_cpu(program, mesh)
    fit = MemoryFit(
        target.memory_bytes if target else memory.host_memory_bytes() // mesh.devices.size
    )
    shards = mesh.shape[meshes.DATA]
    fit = fit.with_trial(config.batch_size // shards, program)
    if given.largest_batch and target is not None:

        def compile_batch(batch_size: int) -> compiler.Program:
            other = compiler.with_batch_size(config, batch_size)
            return compiler.compile_step(compiler.resolve(other, source, devices))

        fit = search_largest_batch(fit, shards, compile_batch)
    entries = report_text.summary(experiment, fit, costs, program, estimates.basis(target))
    progress.say(*report_text.lines(entries, costs, experiment.config.data.shards))
    if given.output:
        path = reports.write_report(
            given.output,
            command=commands.command_line('plan', argv),
            config=experiment.config,
            data={
                'name': config.data.name,
                'train_split': config.data.train_split,
                'train_examples': source.examples,
                'classes': source.num_classes,
            },
            metrics={},
            published={},
            topology=given.topology,
            **entries,
            **report_text.details(costs),
        )
        progress.say(f'report: {path}')
    if not entries['fits']:
        largest = entries['largest_batch']
        how = '' if entries['largest_batch_is_compiled'] else ', by an estimate'
        instead = f'{largest} would{how}' if largest else 'use a smaller one'
        raise InputError(
            f'config.batch_size {experiment.config.batch_size} does not fit into '
            f'{given.topology}; {instead}',
            field='config.batch_size',
        )


def find_target(topology: str) -> chips.Slice | gpus.Cluster | None:
    """Finds what is planned for; None is this machine.

    Raises:
        InputError: there is no such TPU slice, card or number of GPUs.
    """
    if topology == CPU:
        return None
    is_gpu = topology.partition(':')[0] in gpus.CARDS
    return gpus.find(topology) if is_gpu else chips.find(topology)


def devices_of(target: chips.Slice | gpus.Cluster | None) -> Sequence[jax.Device]:
    """Returns the devices of a target, for which one can compile."""
    if target is None:
        return jax.devices()
    if isinstance(target, gpus.Cluster):
        return cuda_compiler.devices_of(target)
    return compiler.devices_of(target)


def parse_flags(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Reads the command line: the flags, and those of the form --config.field=value."""
    parser = commands.Parser('plan', __doc__)
    commands.add_config_flag(parser)
    parser.add_argument(
        '--topology',
        required=True,
        metavar='NAME',
        help='TPU slice, such as v5e:4x4, v5p:2x2x1, v6e:2x4 or v4:2x2x1;\n'
        'GPUs of one host, such as h100:8, or HOSTSxGPUS, such as h100:4x8\n'
        f'({", ".join(gpus.CARDS)});\ncpu: this machine',
    )
    parser.add_argument('--output', metavar='DIR', help='report.json goes there')
    parser.add_argument(
        '--examples',
        type=int,
        metavar='N',
        help='training images, where the data set is neither known nor prepared;\n'
        'its classes are --config.model.num_classes',
    )
    parser.add_argument(
        '--largest_batch',
        action='store_true',
        help='compile up to three more batches to find the largest that fits,\n'
        'instead of estimating it',
    )
    parser.add_argument(
        '--compiler_option',
        action='append',
        default=[],
        metavar='NAME=VALUE',
        help='of XLA, such as xla_tpu_scoped_vmem_limit_kib=32768, laid over those of\n'
        "config.compiler_options and the table's; NAME= leaves one of the table's out\n"
        '(on v5e xla_tpu_scoped_vmem_limit_kib= compiles several times as fast);\n'
        'may be given several times',
    )
    parser.add_argument('--program', metavar='FILE', help='the compiled program goes there')
    given, overrides = parser.parse_known_args(argv)
    if given.output:
        given.output = paths.directory(given.output, '--output')
    if given.program:
        given.program = paths.local(given.program, '--program')
    if given.examples is not None and given.examples < 1:
        parser.error(f'--examples is {given.examples}, but it is at least 1')
    return given, overrides


def check_options(given: Sequence[str], platform: str) -> None:
    """Refuses --compiler_option for another platform, which would be left out.

    Raises:
        InputError: there is one.
    """
    for option in given:
        other = convolutions.platform_of_option(option)
        if other not in ('', platform):
            raise InputError(
                f'--compiler_option={option} is for {other.upper()}s, but the plan is for a '
                f'{platform.upper()}; leave it out',
                field='--compiler_option',
            )


def check_writable(given: argparse.Namespace) -> None:
    """Refuses --output and --program that cannot be written, before minutes of compiling."""
    if given.output:
        files.check_directory(given.output, '--output')
    try:
        if given.program:
            with open(given.program, 'a', encoding='utf-8'):
                pass
    except OSError as error:
        raise InputError(
            f'{error.filename} cannot be written ({error.strerror}); give another --program',
            field='--program',
            path=error.filename,
        ) from error


def search_largest_batch(
    fit: MemoryFit,
    shards: int,
    compile_batch: Callable[[int], compiler.Program],
    compilations: int = 3,
) -> MemoryFit:
    """Compiles larger or smaller batches until the largest that fits is known to a tenth.

    Args:
        fit: what is known, of at least one batch.
        shards: of a batch.
        compile_batch: (batch size) -> the compiled step.
        compilations: how many there may be.
    """
    for _ in range(compilations):
        images = fit.next_images()
        if images is None:
            break
        progress.say(f'Compiling {images * shards:,} images a step ...')
        fit = fit.with_trial(images, compile_batch(images * shards))
    return fit


if __name__ == '__main__':
    commands.run(main)
