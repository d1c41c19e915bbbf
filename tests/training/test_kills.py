"""Runs that are killed or asked to end at any moment, and go on as if nothing had been."""

import multiprocessing
import os
import random
import signal
import time

import pytest
from training import killed_run
from training.killed_run import STEPS

from drn_jax.checkpoints import manifests, restore

# A server that has imported everything starts a process in a moment.
PROCESSES = multiprocessing.get_context('forkserver')
PROCESSES.set_forkserver_preload(['training.killed_run'])


def start(target, *args):
    process = PROCESSES.Process(target=target, args=args)
    process.start()
    return process


def end_of(process):
    process.join(200)
    assert process.exitcode is not None
    return process.exitcode


def latest(workdir):
    folder = workdir / 'checkpoints'
    return max(restore.steps(folder), default=0) if folder.is_dir() else 0


def until_saved(process, workdir, step):
    """Waits until a process has saved this step or a later one, or has ended."""
    while latest(workdir) < step and process.exitcode is None:
        time.sleep(0.01)


@pytest.fixture(scope='module')
def whole(tmp_path_factory, digit_scenes_dir):
    """An uninterrupted run: its directory, the seconds to its first save, and to its end."""
    workdir, again = map(tmp_path_factory.mktemp, ('whole', 'again'))
    assert end_of(start(killed_run.run, workdir, digit_scenes_dir)) == 0  # the server starts too
    began = time.monotonic()
    process = start(killed_run.run, again, digit_scenes_dir)
    until_saved(process, again, 2)
    saved = time.monotonic() - began
    assert end_of(process) == 0
    assert_same(again, workdir)
    return workdir, saved, time.monotonic() - began


def assert_same(run, whole):
    assert killed_run.state(run, STEPS) == killed_run.state(whole, STEPS)
    assert killed_run.metrics(run) == killed_run.metrics(whole)
    found, wanted = killed_run.log(run), killed_run.log(whole)
    assert {name for name, _ in wanted} == set(killed_run.NAMES)
    assert len(wanted) == 4 * STEPS + 2 * 5
    assert all(len(values) == 1 for values in wanted.values())
    assert found == wanted  # each step's numbers are there, the same however often it ran


@pytest.mark.parametrize('kills', [20, pytest.param(100, marks=pytest.mark.long)])
def test_a_run_that_is_killed_again_and_again_ends_as_one_that_never_was(
    kills, whole, digit_scenes_dir, tmp_path
):
    uninterrupted, first_save, end = whole
    moments, reached = random.Random(kills), []
    for _ in range(kills):
        process = start(killed_run.run, tmp_path, digit_scenes_dir)
        if moments.random() < 0.4:  # while it starts, or a little later
            process.join(moments.uniform(0, 1.2 * first_save))
        else:  # while it trains, saves or evaluates
            until_saved(process, tmp_path, latest(tmp_path) + 1)
            process.join(moments.uniform(0, (end - first_save) / 10))
        if process.exitcode is None:
            os.kill(process.pid, signal.SIGKILL)
        assert end_of(process) in (-signal.SIGKILL, 0)
        reached.append(latest(tmp_path))
    assert reached == sorted(reached) and len(set(reached)) > 3, reached
    assert end_of(start(killed_run.run, tmp_path, digit_scenes_dir)) == 0
    assert_same(tmp_path, uninterrupted)
    assert sorted(restore.steps(tmp_path / 'checkpoints')) == sorted(
        restore.steps(uninterrupted / 'checkpoints')
    )  # the last and the best
    for path in tmp_path.glob('damaged/*'):  # ended between the last file and the manifest
        assert not manifests.exists(path)


def test_a_run_that_is_asked_to_end_saves_and_goes_on(whole, digit_scenes_dir, tmp_path):
    changes = {'checkpoint.every_steps': 1000}  # only what the end itself saves
    process = start(killed_run.run, tmp_path, digit_scenes_dir, changes)
    until_saved(process, tmp_path, 6)
    os.kill(process.pid, signal.SIGTERM)
    assert end_of(process) == 143
    assert latest(tmp_path) >= 6
    assert end_of(start(killed_run.run, tmp_path, digit_scenes_dir, changes)) == 0
    assert_same(tmp_path, whole[0])


def test_a_run_that_is_asked_to_end_again_while_it_saves(digit_scenes_dir, tmp_path):
    stopped = start(killed_run.terminate_in_saves, tmp_path, digit_scenes_dir)
    assert end_of(stopped) == 143
    assert latest(tmp_path) == max(int(path.name) for path in (tmp_path / 'checkpoints').iterdir())


def test_a_run_that_is_asked_to_end_while_it_evaluates(whole, digit_scenes_dir, tmp_path):
    stopped = start(killed_run.terminate_at, 1, tmp_path, digit_scenes_dir)
    assert end_of(stopped) == 143
    (step,) = [step for step in restore.steps(tmp_path / 'checkpoints') if step % 6 == 0]
    assert restore.read_metrics(tmp_path / f'checkpoints/{step}') is None
    assert end_of(start(killed_run.run, tmp_path, digit_scenes_dir)) == 0
    assert_same(tmp_path, whole[0])


def test_a_run_that_is_asked_to_end_in_its_last_evaluation(whole, digit_scenes_dir, tmp_path):
    once = {'evaluation.every_epochs': 100.0}
    assert end_of(start(killed_run.terminate_at, 1, tmp_path, digit_scenes_dir, once)) == 143
    assert not (tmp_path / 'report.json').exists()
    assert end_of(start(killed_run.run, tmp_path, digit_scenes_dir, once)) == 0
    assert killed_run.metrics(tmp_path) == killed_run.metrics(whole[0])
