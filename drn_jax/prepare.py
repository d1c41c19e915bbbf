"""Prepares the data set of a configuration, once, so that runs find it ready.

  python -m drn_jax.prepare --config=configs/drn_c_26.py --config.data.manual_dir=$HOME/imagenet
  python -m drn_jax.prepare --config=configs/digit_scenes.py --config.data.data_dir=gs://bucket/tfds

The most used fields of the configuration:

  --config.data.data_dir=DIR      where prepared data goes, local or gs://
  --config.data.manual_dir=DIR    where ImageNet's tar files or Cityscapes' zip files lie

Where the data set is prepared already, this only says what it holds. Runs prepare it themselves
too, but where several processes share a run, all of them would.
"""

from drn_jax import commands


def main(argv):
    """Runs the command with these flags; see the module's text."""
    parser = commands.Parser('prepare', __doc__)
    parser.add_argument(
        '--config', required=True, metavar='FILE', help='configuration whose data set to prepare'
    )
    given, overrides = parser.parse_known_args(argv)
    config = commands.load_config(given.config, overrides)

    from drn_jax import data, tasks  # after the flags: these import JAX and TensorFlow

    print(f'Preparing {config.data.name}, unless it is prepared already ...', flush=True)
    source = data.open_source(config.data, tasks.kind_of(config).label_kind)
    print(
        f'{source.name} is ready: {source.num_classes} classes; '
        + ', '.join(f'{split} {source.num_examples(split):,} images' for split in source.splits)
    )


if __name__ == '__main__':
    commands.run(main)
