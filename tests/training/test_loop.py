"""Whole runs on the embedded data set: training, resuming, stopping, reports."""

import gzip
import json
import os
import pathlib
import re
import signal
import subprocess
import sys

import jax
import numpy as np
import pytest
from support.errors import refused

import drn_jax
from drn_jax import experiments, recipes
from drn_jax.training import loop

ROOT = pathlib.Path(__file__).parent.parent.parent


@pytest.fixture
def config(digit_scenes_dir):
    """A run of a few seconds: a narrow ResNet-18 on some of the images."""
    config = recipes.digit_scenes()
    config.update_from_flattened_dict(
        {
            'model.variant': 'resnet_18',
            'model.width': 1 / 16,
            'batch_size': 16,
            'steps': 4,
            'data.data_dir': str(digit_scenes_dir),
            'data.train_split': 'train[:80]',
            'data.validation_split': 'tune[:20]',
            'evaluation.batch_size': 16,
            'evaluation.every_epochs': 100.0,
            'log_every_steps': 2,
        }
    )
    return config


def test_a_run_from_start_to_end_and_on(config, tmp_path, capsys):
    config.profile_steps = (1, 3)
    metrics = loop.train(
        experiments.resolve(config), tmp_path / 'run', 'what was typed', lambda step: 1e-9
    )
    report = json.loads((tmp_path / 'run' / 'report.json').read_text())
    assert report['metrics'] == metrics and metrics['examples'] == 20
    assert 0 <= metrics['top5_error'] <= metrics['top1_error'] <= 1
    assert report['command'] == 'what was typed' and report['published'] == {}
    assert report['config']['model']['num_classes'] == 10
    assert report['data'] == {
        'name': 'digit_scenes',
        'train_split': 'train[:80]',
        'train_examples': 80,
        'split': 'tune[:20]',
    }
    assert report['versions']['jax'] == jax.__version__
    assert report['devices'] == {'kind': 'cpu', 'count': 8, 'processes': 1}
    training = report['training']
    assert training['step'] == 4 and training['compile_seconds'] < training['seconds']
    assert 0 <= training['data_wait_fraction'] <= 1
    assert 0 < training['peak_fraction'] == pytest.approx(1e-9 / 16 * training['images_per_second'])
    printed = capsys.readouterr().out
    assert '\ncompiled in ' in printed and '\ntrace of steps 1 to 2: ' in printed
    folder = pathlib.Path(printed.partition('\ntrace of steps 1 to 2: ')[2].splitlines()[0])
    assert folder.parent == tmp_path / 'run' / 'tensorboard' / 'plugins' / 'profile'
    (trace,), (planes,) = folder.glob('*.trace.json.gz'), folder.glob('*.xplane.pb')
    events = json.loads(gzip.decompress(trace.read_bytes()))['traceEvents']
    steps = [event['args']['step_num'] for event in events if event.get('name') == 'train']
    assert steps == ['1', '2'] and b'train_step' in planes.read_bytes()
    assert 'level6/block1/conv2/kernel' in printed and 'starting at step 0 of 4' in printed
    assert str(tmp_path / 'run' / 'report.json') in printed

    written = (tmp_path / 'run' / 'report.json').stat().st_mtime_ns
    assert loop.train(experiments.resolve(config), tmp_path / 'run') == metrics
    assert 'The run is complete: 4 of 4 steps are done.' in capsys.readouterr().out
    assert (tmp_path / 'run' / 'report.json').stat().st_mtime_ns == written

    config.steps = 6
    loop.train(experiments.resolve(config), tmp_path / 'run')
    printed = capsys.readouterr().out
    assert 'resuming at step 4 of 6' in printed
    assert 'no trace: the run goes on at step 4, after config.profile_steps (1, 3)' in printed
    model, variables = drn_jax.load(tmp_path / 'run', 6)
    logits = model.apply(variables, np.zeros((1, 96, 96, 3), np.float32))
    assert logits.shape == (1, 10)
    scale = variables['params']['level6']['block1']['bn2']['scale']
    assert 0 < np.abs(scale - config.model.residual_scale).max() < 0.2  # after six steps

    config.seed = 5
    with refused('config.seed', tmp_path / 'run'):
        loop.train(experiments.resolve(config), tmp_path / 'run')


def test_a_number_that_is_not_finite_stops_the_run_before_it_is_saved(config, tmp_path):
    config.update_from_flattened_dict(
        {
            'steps': 30,
            'checkpoint.every_steps': 1,
            'optimizer.warmup_epochs': 0.0,
            'optimizer.schedule': 'steps',
            'optimizer.decay_factor': 1e9,
            'optimizer.decay_epochs': (0.4, 0.6, 0.8, 1.0),
        }
    )  # ruined between the steps 2 and 5
    with refused('config.optimizer.learning_rate', tmp_path / 'checkpoints') as error:
        loop.train(experiments.resolve(config), tmp_path)
    found = re.fullmatch(
        r'the (\w+) of step (\d+) is (nan|inf); the last good checkpoint is step (\d+) in (\S+); '
        r'start from it, with --config.init_from=\5/\4, another --workdir and a lower '
        'config.optimizer.learning_rate or a longer config.optimizer.warmup_epochs',
        str(error.value),
    )
    assert found and int(found[4]) == int(found[2]) <= 5
    _, variables = drn_jax.load(tmp_path)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(variables['params']))


@pytest.mark.parametrize(
    'changes, field, message',
    [
        ({'batch_size': 12, 'data.shards': 4}, 'config.batch_size', '8 devices do not divide'),
        ({'evaluation.batch_size': 12}, 'config.evaluation.batch_size', ''),
        ({'data.shards': 3}, 'config.batch_size', 'config.data.shards 3'),
        ({'checkpoint.best_metric': 'mean_iou'}, 'config.checkpoint.best_metric', ''),
        ({'init_from': 'nowhere'}, '', 'nowhere is no directory'),
        (
            {'model.variant': 'drn_c_27'},
            'config.model',
            "'drn_c_27' is unknown; known: drn_a",
        ),
        ({'model.num_classes': 7}, 'config.model.num_classes', 'has 7 .* digit_scenes has 10'),
        ({'model.dtype': 'float16'}, 'config.model.dtype', ''),
        ({'data.name': 'no_such_data'}, 'config.data.name', ''),
        ({'data.train_split': 'test'}, 'config.data.train_split', "'test' of 'digit_scenes' is un"),
        (
            {'data.validation_split': 'test'},
            'config.data.validation_split',
            "'test' of 'digit_scenes' is un",
        ),
        ({'steps': 0, 'epochs': 0.01}, 'config.epochs', 'at least one is needed'),
        ({'mesh.devices': 64}, 'config.mesh.devices', 'this machine has 8'),
        ({'checkpoint.best_is': 'newest'}, 'config.checkpoint.best_is', ''),
        ({'optimizer.schedule': 'line'}, 'config.optimizer.schedule', ''),
        ({'profile_steps': (4, 9)}, 'config.profile_steps', r'\(4, 9\), but the run has 4 steps'),
    ],
)
def test_bad_settings_end_before_anything_is_written(config, tmp_path, changes, field, message):
    config.update_from_flattened_dict(changes)
    with refused(field, match=message):
        loop.train(experiments.resolve(config), tmp_path / 'run')
    assert not list(tmp_path.glob('run/checkpoints/*')) and not list(tmp_path.glob('run/*.json'))


# Trains in a process of its own and writes down every batch; kills itself at batch KILL_AT.
RECORDING_RUN = """
import json, os, signal, sys, zlib
import jax
jax.config.update('jax_num_cpu_devices', 8)
from drn_jax import data
from drn_jax import experiments, fields, recipes
from drn_jax.training import loop

settings, workdir, log, kill_at = sys.argv[1:]
real = data.training_batches

class Recorded:
    def __init__(self, batches):
        self.batches, self.unreadable = batches, batches.unreadable
    def __iter__(self):
        return self
    def __next__(self):
        batch = next(self.batches)
        with open(log, 'a') as file:
            print(batch['index'].tolist(), zlib.crc32(batch['image'].tobytes()),
                  batch['label'].tolist(), file=file)
        if len(open(log).readlines()) == int(kill_at):
            os.kill(os.getpid(), signal.SIGKILL)
        return batch

data.training_batches = lambda *args, **kwargs: Recorded(real(*args, **kwargs))
config = fields.from_stored(json.loads(settings), recipes.classification())
loop.train(experiments.resolve(config), workdir)
"""


def test_a_killed_run_goes_on_with_the_batches_it_would_have_seen(config, tmp_path):
    config.steps, config.checkpoint.every_steps = 10, 2

    def run(workdir, log, kill_at=0):
        result = subprocess.run(
            [
                sys.executable,
                '-c',
                RECORDING_RUN,
                json.dumps(config.to_dict()),
                str(tmp_path / workdir),
                str(tmp_path / log),
                str(kill_at),
            ],
            cwd=ROOT,
            env={**os.environ, 'JAX_PLATFORMS': 'cpu'},
            capture_output=True,
            text=True,
        )
        return result.returncode, (tmp_path / log).read_text().splitlines(), result.stdout

    status, whole, _ = run('whole', 'whole.txt')
    assert status == 0 and len(whole) >= 10 and len(set(whole)) == len(whole)
    status, _, _ = run('killed', 'first.txt', kill_at=9)
    assert status == -signal.SIGKILL
    status, after, printed = run('killed', 'second.txt')
    assert status == 0
    resumed_at = int(printed.split('resuming at step ')[1].split()[0])
    assert 2 <= resumed_at < 9
    assert after[: 10 - resumed_at] == whole[resumed_at:10]
    _, wanted = drn_jax.load(tmp_path / 'whole', 10)
    _, found = drn_jax.load(tmp_path / 'killed', 10)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=2e-4),
        wanted['params'],
        found['params'],
    )
