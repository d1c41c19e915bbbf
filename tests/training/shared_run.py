"""A small run and two evaluations that one process or several do; as a script, one of several.

  python tests/training/shared_run.py OUTPUT DATA_DIR ENDING --coordinator=... --processes=2 ...

ENDING is 'whole', or a signal such as 'SIGKILL' that the last process sends itself at the fifth
batch, 'SIGTERM' at the second.
"""

import json
import os
import pathlib
import signal
import types

import flax.linen as nn
import jax
import jax.numpy as jnp
from data.number_sources import NumberSource
from training import tiny

from drn_jax import commands, data, experiments, recipes, tasks
from drn_jax.training import evaluation, loop


class TinyMaps(nn.Module):
    """One convolution of stride 8, with class maps as localization needs them."""

    table = types.SimpleNamespace(stride=8, levels=())

    def setup(self):
        self.head = nn.Conv(10, (8, 8), 8)

    def __call__(self, images, train=False):
        return self.head(images).mean((1, 2))

    def class_maps(self, images, train=False):
        return self.head(images)

    def levels_and_class_maps(self, images, train=False):
        return {}, self.head(images)


def digits(data_dir, devices):
    """Returns the configuration of the run."""
    config = recipes.digit_scenes()
    config.update_from_flattened_dict(
        {
            'batch_size': 8,
            'steps': 4,
            'data.data_dir': str(data_dir),
            'mesh.devices': devices,
            'data.train_split': 'train[:80]',
            'data.validation_split': 'tune[:21]',
            'data.shuffle_buffer': 80,
            'data.shards': 2,  # each takes a while to open
            'evaluation.batch_size': 8,
            'log_every_steps': 2,
            'checkpoint.every_steps': 2,
        }
    )
    return config


def train(config, directory):
    """Trains the tiny network; gives the metrics."""
    experiment = experiments.resolve(config, create_network=lambda config: tiny.TinyNetwork())
    return loop.train(experiment, directory)


def located(config):
    """Returns an experiment of class maps on images of digits, and variables."""
    config.task = 'localization'
    model = TinyMaps()
    task = tasks.create_task(config, model)
    source = data.open_source(config.data, 'boxes')
    experiment = tiny.experiment_of(config, source, task, config.mesh.devices)
    variables = jax.jit(model.init)(jax.random.key(1), jnp.zeros((1, 8, 8, 3)))
    return experiment, jax.device_get(variables)


def localize(config):
    """Evaluates class maps on images of digits; gives the counts of device and host."""
    experiment, variables = located(config)
    return evaluation.evaluator(experiment)(variables)


def classify_damaged(devices):
    """Evaluates on images of which some cannot be read, in the shares of different processes."""
    config = tiny.tiny_config()
    config.update_from_flattened_dict(
        {
            'evaluation.batch_size': 8,
            'data.max_unreadable_fraction': 0.5,
            'data.image_size': 8,
            'data.resize_px': 9,
        }
    )
    task = tiny.tiny_task(config)
    source = NumberSource(train=9, validation=13, damaged=(2, 11))
    experiment = tiny.experiment_of(config, source, task, devices)
    return evaluation.evaluator(experiment)(jax.device_get(tiny.tiny_variables(task)))


def run(directory, data_dir, devices=0):
    """Does all of it; gives what must not depend on the number of processes."""
    metrics = train(digits(data_dir, devices), directory / 'run')
    located, damaged = localize(digits(data_dir, devices)), classify_damaged(devices)
    return {
        'metrics': metrics,
        'located': located.metrics,
        'counts': {name: jnp.asarray(count).tolist() for name, count in located.counts.items()},
        'damaged': damaged.metrics,
        'unreadable': damaged.unreadable,
    }


def ends_at(batch, ending):
    """Returns `data.training_batches`, where the last process sends itself a signal at a batch."""
    real = data.training_batches

    def training_batches(*args, **kwargs):
        batches = real(*args, **kwargs)
        unreadable = batches.unreadable

        class Ending:
            """These batches."""

            number = 0

            def __init__(self):
                self.unreadable = unreadable

            def __iter__(self):
                return self

            def __next__(self):
                self.number += 1
                if self.number == batch and jax.process_index() == jax.process_count() - 1:
                    os.kill(os.getpid(), getattr(signal, ending))
                return next(batches)

        return Ending()

    return training_batches


def main(argv):
    parser = commands.Parser('shared_run', __doc__)
    for name in ('output', 'data_dir', 'ending'):
        parser.add_argument(name)
    commands.add_process_flags(parser)
    given = parser.parse_args(argv)
    output = pathlib.Path(given.output)
    with commands.initialize(given):
        if given.ending != 'whole':
            data.training_batches = ends_at(2 if given.ending == 'SIGTERM' else 5, given.ending)
            train(digits(given.data_dir, 0), output / 'run')
        result = run(output, given.data_dir)
        (output / f'{jax.process_index()}.json').write_text(json.dumps(result))


if __name__ == '__main__':
    jax.config.update('jax_num_cpu_devices', 2)
    commands.run(main)
