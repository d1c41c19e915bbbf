"""Prepares the data set of a configuration, once, so that runs find it ready.

  python -m drn_jax.prepare --config=configs/drn_c_26.py --config.data.manual_dir=$HOME/imagenet
  python -m drn_jax.prepare --config=configs/digit_scenes.py --config.data.data_dir=gs://bucket/tfds

Where the data set is prepared already, this only says what it holds. Runs prepare it themselves
too, but where several processes share a run, all of them would.
"""

from drn_jax import commands

MOST_USED = {'most used fields': ('data.data_dir', 'data.manual_dir')}


def main(argv: list[str]) -> None:
    """Runs the command with these flags; see the module's text."""
    parser = commands.Parser('prepare', __doc__, MOST_USED)
    commands.add_config_flag(parser, 'configuration whose data set to prepare')
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
