"""Trains a network, or goes on with a run that was stopped.

  python -m drn_jax.main --config=configs/digit_scenes.py --workdir=runs/digit_scenes
  python -m drn_jax.main --config=configs/drn_c_26.py --workdir=gs://bucket/drn_c_26 \\
      --config.data.data_dir=gs://bucket/tfds --config.model.dtype=bfloat16

Every field of the configuration can be changed with --config.FIELD=VALUE. The most used ones are
below, with the values that hold where FILE sets no others; --help_fields explains all.

The same command, given again, goes on at the last checkpoint, so a run may be killed at any time.
SIGTERM saves first and ends with status 143; what cannot be used ends with status 1. Where several
processes share a run, all of them get the same command, and a --workdir that all of them see.
"""

from drn_jax import commands, files, paths

MOST_USED = {
    'most used fields': (
        'batch_size',
        'epochs',
        'model.variant',
        'model.dtype',
        'data.data_dir',
        'data.manual_dir',
        'init_from',
    )
}


def main(argv: list[str]) -> None:
    """Runs the command with these flags; see the module's text."""
    parser = commands.Parser('main', __doc__, MOST_USED)
    commands.add_config_flag(parser)
    commands.add_offline_flag(parser)
    parser.add_argument(
        '--workdir',
        required=True,
        metavar='DIR',
        help='checkpoints, report and TensorBoard files go here, local or gs://',
    )
    commands.add_process_flags(parser)
    given, overrides = parser.parse_known_args(argv)
    workdir = paths.run_directory(given.workdir, '--workdir')
    config = commands.load_config(given.config, overrides)
    files.check_reachable(workdir)  # before data is prepared
    with commands.initialize(given):
        from drn_jax import experiments
        from drn_jax.planning import peaks
        from drn_jax.training import loop  # it imports TensorFlow, which takes seconds

        experiment = experiments.resolve(config)
        device, dtype = experiment.mesh.devices.flat[0], experiment.config.model.dtype
        loop.train(
            experiment,
            workdir,
            commands.command_line('main', argv),
            lambda step: peaks.seconds(step, device, dtype),
        )


if __name__ == '__main__':
    commands.run(main)
