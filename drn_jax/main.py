"""Trains a network, or goes on with a run that was stopped.

  python -m drn_jax.main --config=configs/digit_scenes.py --workdir=runs/digit_scenes
  python -m drn_jax.main --config=configs/drn_c_26.py --workdir=gs://bucket/drn_c_26 \\
      --config.data.data_dir=gs://bucket/tfds --config.model.dtype=bfloat16

Every field of the configuration can be changed with --config.FIELD=VALUE; drn_jax/recipes.py lists
and explains all of them. The most used ones:

  --config.batch_size=512          images a step, over all devices; the learning rate follows
  --config.epochs=60               passes over the training images
  --config.model.variant=drn_a_50  the network
  --config.model.dtype=bfloat16    for TPUs and recent GPUs
  --config.data.data_dir=DIR       where TFDS keeps prepared data
  --config.data.manual_dir=DIR     where ImageNet's tar files or Cityscapes' zip files lie
  --config.init_from=DIR           a checkpoint to start from

The same command, given again, goes on at the last checkpoint, so a run may be killed at any time.
SIGTERM saves first and ends with status 143; what cannot be used ends with status 1. Where several
processes share a run, all of them get the same command, and a --workdir that all of them see.
"""

from drn_jax import commands, paths


def main(argv):
    """Runs the command with these flags; see the module's text."""
    parser = commands.Parser('main', __doc__)
    parser.add_argument(
        '--config',
        required=True,
        metavar='FILE',
        help='configuration of the run, such as configs/drn_c_26.py',
    )
    parser.add_argument(
        '--workdir',
        required=True,
        metavar='DIR',
        help='checkpoints, report and TensorBoard files go here, local or gs://',
    )
    commands.add_process_flags(parser)
    given, overrides = parser.parse_known_args(argv)
    workdir = paths.directory(given.workdir, '--workdir')
    config = commands.load_config(given.config, overrides)
    with commands.initialize(given):
        from drn_jax import experiments
        from drn_jax.training import loop  # it imports TensorFlow, which takes seconds

        experiment = experiments.resolve(config)
        loop.train(experiment, workdir, commands.command_line('main', argv))


if __name__ == '__main__':
    commands.run(main)
