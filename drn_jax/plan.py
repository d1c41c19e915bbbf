"""Says what a run will take on a TPU slice, before it is rented: memory, time, chip-hours.

  python -m drn_jax.plan --config=configs/drn_c_26.py --topology=v5e:4x4 \\
      --config.batch_size=2048 --config.model.dtype=bfloat16

Compiles the step that training runs, for devices that need not be there, with the TPU compiler
(pip install 'drn_jax[plan]'), and reads from what comes out: whether it fits and with how much
room, estimated time and its basis, fraction of peak, what the whole schedule takes, what chips
exchange, where the time goes. No data is read and no TPU is used; compiling takes minutes.

Every field of the configuration can be changed with --config.FIELD=VALUE, for example
--config.mesh.spatial=4 or --config.model.rematerialize="('level1', 'level2')".
"""

import argparse
from collections.abc import Callable, Sequence

import jax

from drn_jax import commands, fields, paths
from drn_jax.distributed import memory, meshes
from drn_jax.errors import InputError
from drn_jax.planning import chips, compiler, dataset_sizes, estimates, report_text
from drn_jax.planning.memory_fit import MemoryFit
from drn_jax.reporting import progress, reports

CPU = 'cpu'


def main(argv: Sequence[str]) -> None:
    """Runs the command with these flags; see the module's text."""
    given, overrides = parse_flags(argv)
    config = commands.load_config(given.config, overrides)
    check_writable(given)
    fields.check(config)  # before the compiler is looked for, and perhaps a data set opened
    tpu_slice = None if given.topology == CPU else chips.find(given.topology)
    compiler.keep_off_accelerators()
    devices = jax.devices() if tpu_slice is None else compiler.devices_of(tpu_slice)
    source = dataset_sizes.find(config, given.examples or 0)
    experiment = compiler.resolve(config, source, devices)
    mesh = experiment.mesh

    progress.say(
        report_text.title(experiment, given.topology),
        'Compiling the training step; for a TPU that takes minutes ...',
    )
    program = compiler.compile_step(experiment)
    if given.program:
        with open(given.program, 'w', encoding='utf-8') as file:
            file.write(program.text)
    if tpu_slice is None:
        costs = estimates.of_cpu(program, mesh)
        fit = MemoryFit(memory.host_memory_bytes() // mesh.devices.size)
    else:
        costs = estimates.of_tpu(program, tpu_slice)
        fit = MemoryFit(tpu_slice.chip.memory_bytes)
    shards = mesh.shape[meshes.DATA]
    fit = fit.with_trial(config.batch_size // shards, program)
    if given.largest_batch and tpu_slice is not None:

        def compile_batch(batch_size: int) -> compiler.Program:
            other = compiler.with_batch_size(config, batch_size)
            return compiler.compile_step(compiler.resolve(other, source, devices))

        fit = search_largest_batch(fit, shards, compile_batch)
    entries = report_text.summary(experiment, fit, costs, program, estimates.basis(tpu_slice))
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


def parse_flags(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Reads the command line: the flags, and those of the form --config.field=value."""
    parser = commands.Parser('plan', __doc__)
    commands.add_config_flag(parser)
    parser.add_argument(
        '--topology',
        required=True,
        metavar='NAME',
        help='TPU slice, such as v5e:4x4, v5p:2x2x1, v6e:2x4 or v4:2x2x1;\ncpu: this machine',
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
    parser.add_argument('--program', metavar='FILE', help='the compiled program goes there')
    given, overrides = parser.parse_known_args(argv)
    if given.output:
        given.output = paths.directory(given.output, '--output')
    if given.examples is not None and given.examples < 1:
        parser.error(f'--examples is {given.examples}, but it is at least 1')
    return given, overrides


def check_writable(given: argparse.Namespace) -> None:
    """Refuses --output and --program that cannot be written, before minutes of compiling."""
    try:
        if given.output:
            given.output.mkdir(parents=True, exist_ok=True)
        if given.program:
            with open(given.program, 'a', encoding='utf-8'):
                pass
    except OSError as error:
        raise InputError(
            f'{error.filename} cannot be written ({error.strerror}); give another '
            '--output or --program'
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
