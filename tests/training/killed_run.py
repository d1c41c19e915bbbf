"""A small run on one core, in a process that may be killed, and what it leaves on disk."""

import json
import os
import pathlib
import signal
import time

import jax
import numpy as np
import orbax.checkpoint as ocp
from tensorboard.backend.event_processing import event_file_loader
from tensorboard.util import tensor_util
from training import shared_run

from drn_jax import commands
from drn_jax.checkpoints import manifests, restore
from drn_jax.reporting import writers
from drn_jax.training import loop

NAMES = (
    'loss',
    'gradient_norm',
    'parameter_norm',
    'learning_rate',
    'validation/top1_error',
    'validation/top5_error',
)
STEPS = 30


def config_of(data_dir, **changes):
    """Returns a run of `STEPS` steps with a checkpoint after every second and five evaluations."""
    config = shared_run.digits(data_dir, devices=0)
    config.update_from_flattened_dict(
        {'steps': STEPS, 'log_every_steps': 1, 'evaluation.every_epochs': 0.6, **changes}
    )
    return config


def run(workdir, data_dir, changes=()):
    """Trains, or goes on; as a process of its own, pinned to one core."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    commands.run(
        lambda argv: shared_run.train(config_of(data_dir, **dict(changes)), pathlib.Path(workdir))
    )


def terminate_at(batch, workdir, data_dir, changes=()):
    """As `run`, but asks itself to end at a batch of an evaluation, as a cloud would."""
    real = loop.evaluation.evaluator

    def evaluator(*args, **kwargs):
        evaluate = real(*args, **kwargs)

        def ending(variables, progress):
            def watched(batches):
                for number, each in enumerate(progress(batches)):
                    if number == batch:
                        os.kill(os.getpid(), signal.SIGTERM)
                    yield each

            return evaluate(variables, watched)

        return ending

    loop.evaluation.evaluator = evaluator
    run(workdir, data_dir, changes)


def terminate_in_saves(workdir, data_dir, changes=()):
    """As `run`, but is asked to end before the end of every save."""
    real = manifests.write

    def write(path):
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.5)
        real(path)

    manifests.write = write
    run(workdir, data_dir, changes)


def state(workdir, step):
    """Returns all numbers of a step as bytes, by name."""
    path = restore.find(workdir, step)
    found = {}
    for item in ('variables', 'optimizer'):
        with ocp.StandardCheckpointer() as checkpointer:
            tree = checkpointer.restore(path / item)
        found |= {
            item + jax.tree_util.keystr(name): np.asarray(leaf).tobytes()
            for name, leaf in jax.tree_util.tree_leaves_with_path(tree)
        }
    return found


def log(workdir):
    """Returns what TensorBoard shows, {(name, step): set of values that were written for it}."""
    found = {}
    for file in sorted((workdir / writers.FOLDER).iterdir()):
        for event in event_file_loader.EventFileLoader(str(file)).Load():
            for value in event.summary.value:
                if value.tag in NAMES:
                    found.setdefault((value.tag, event.step), set()).add(
                        float(tensor_util.make_ndarray(value.tensor))
                    )
    return found


def metrics(workdir):
    """Returns the metrics of the report."""
    return json.loads((workdir / 'report.json').read_text())['metrics']
