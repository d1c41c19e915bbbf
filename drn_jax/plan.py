"""Says what a run will take on a TPU slice, before it is rented: memory, time, chip-hours.

  python -m drn_jax.plan --config=configs/drn_c_26.py --topology=v5e:4x4 \\
      --config.batch_size=2048 --config.model.dtype=bfloat16

Compiles the step that training runs, for devices that need not be there, with the TPU compiler
(pip install 'drn_jax[plan]'), and reads from what comes out: whether it fits and with how much
room, estimated time and its basis, share of peak, what the whole schedule takes, what chips
exchange, where the time goes. No data is read and no TPU is used; compiling takes minutes.

Every field of the configuration can be changed with --config.FIELD=VALUE, for example
--config.mesh.spatial=4 or --config.model.rematerialize="('level1', 'level2')".
"""

import jax

from drn_jax import commands, paths
from drn_jax.distributed import memory, meshes
from drn_jax.errors import InputError
from drn_jax.planning import chips, compiler, estimates, memory_fit, report_text, sizes
from drn_jax.reporting import progress, reports
from drn_jax.training import configurations, schedules, settings

CPU = 'cpu'


def main(argv):
    """Runs the command with these flags; see the module's text."""
    given, overrides = parse_flags(argv)
    config = commands.load_config(given.config, overrides)
    check_places(given)
    part = None if given.topology == CPU else chips.find(given.topology)
    compiler.keep_off_accelerators()
    settings.check_settings(config)
    devices = jax.devices() if part is None else compiler.devices_of(part)
    mesh = meshes.create_mesh(config.mesh.devices, config.mesh.spatial, devices)
    rows = check_shares(config, mesh)
    size = sizes.find(config, given.examples or 0)
    config.model.num_classes = size.classes
    steps = schedules.total_steps(config, size.examples)

    progress.say(
        report_text.title(config, given.topology, mesh, rows),
        'Compiling the training step; for a TPU that takes minutes ...',
    )
    program = compiler.compile_step(config, mesh, 'cpu' if part is None else 'tpu', size.examples)
    if given.program:
        with open(given.program, 'w', encoding='utf-8') as file:
            file.write(program.text)
    costs = estimates.of_cpu(program, mesh) if part is None else estimates.of_tpu(program, part)
    there = memory.host_memory_bytes() // mesh.devices.size if part is None else part.chip.memory
    room = memory_fit.memory_fit(program, rows, there)
    if given.largest_batch and part is not None:
        room = search(room, config, mesh, size.examples)
    found = report_text.summary(config, mesh, steps, room, costs, program, estimates.basis(part))
    progress.say(*report_text.lines(found, costs, config))
    if given.output:
        path = reports.write_report(
            given.output,
            command=commands.command_line('plan', argv),
            config=config,
            data={
                'name': config.data.name,
                'train_split': config.data.train_split,
                'train_examples': size.examples,
                'classes': size.classes,
            },
            metrics={},
            published={},
            topology=given.topology,
            **found,
            **report_text.details(costs),
        )
        progress.say(f'report: {path}')


def parse_flags(argv):
    """Reads the command line: the flags, and those of the form --config.field=value."""
    parser = commands.Parser('plan', __doc__)
    parser.add_argument(
        '--config',
        required=True,
        metavar='FILE',
        help='configuration of the run, such as configs/drn_c_26.py',
    )
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


def check_places(given):
    """Refuses places that cannot be written, before minutes of compiling."""
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


def check_shares(config, mesh):
    """Refuses batches and rows that the devices do not divide; gives the images of one share."""
    shares = mesh.shape[meshes.DATA]
    meshes.check_batch_size(config.batch_size, shares)
    meshes.check_rows(
        compiler.side_of(config), config.mesh.spatial, configurations.model_of(config).table.stride
    )
    return config.batch_size // shares


def search(room, config, mesh, examples, compilations=3):
    """Compiles larger or smaller batches until the largest that fits is known to a tenth."""
    shares = mesh.shape[meshes.DATA]
    for _ in range(compilations):
        rows = room.next_rows()
        if rows is None:
            break
        progress.say(f'Compiling {rows * shares:,} images a step ...')
        with config.unlocked():
            other = config.copy_and_resolve_references()
        other.batch_size = rows * shares
        room = room.tried(rows, compiler.compile_step(other, mesh, 'tpu', examples))
    return room


if __name__ == '__main__':
    commands.run(main)
