"""Several processes: one run, exact evaluation, and the end of all when one ends."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
from support.errors import refused
from training import shared_run, tiny

from drn_jax.checkpoints import restore
from drn_jax.distributed import accelerators, processes

ROOT = pathlib.Path(__file__).parent.parent.parent


def free_port():
    with socket.socket() as server:
        server.bind(('localhost', 0))
        return server.getsockname()[1]


def start(*command, environment=None):
    return subprocess.Popen(
        [sys.executable, *map(str, command)],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={
            **os.environ,
            'JAX_PLATFORMS': 'cpu',
            'PYTHONPATH': f'{ROOT}:{ROOT}/tests',
            **(environment or {}),
        },
    )


def start_two(*command, silent_seconds=100):
    """Starts processes 0 and 1."""
    flags = [
        f'--coordinator=localhost:{free_port()}',
        '--processes=2',
        '--join_seconds=100',
        f'--silent_seconds={silent_seconds}',
    ]
    return [start(*command, *flags, f'--process={number}') for number in (0, 1)]


def ends(started, timeout=200):
    """Waits for processes; gives their statuses and what they printed."""
    printed = [process.communicate(timeout=timeout) for process in started]
    return [process.returncode for process in started], printed


@pytest.fixture(scope='module')
def one(tmp_path_factory, digit_scenes_dir):
    """What one process with as many devices gives, and its directory."""
    directory = tmp_path_factory.mktemp('one')
    return json.loads(json.dumps(shared_run.run(directory, digit_scenes_dir, devices=4))), directory


def variables(run, step):
    return restore.read_variables(run / 'checkpoints' / str(step), tiny.TinyNetwork())


def assert_close(run, other, step):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5),
        variables(run, step),
        variables(other, step),
    )


def test_two_processes_do_what_one_does(one, digit_scenes_dir, tmp_path):
    one, directory = one
    both = start_two('tests/training/shared_run.py', tmp_path, digit_scenes_dir, 'whole')
    statuses, printed = ends(both)
    assert statuses == [0, 0], printed
    found = [json.loads((tmp_path / f'{number}.json').read_text()) for number in (0, 1)]
    assert found == [one, one]
    assert one['metrics']['examples'] == 21 and sum(one['counts']['max_box_acc']) > 0
    assert one['damaged']['unreadable'] == 2
    assert one['unreadable'] == ['validation/11.jpg', 'validation/2.jpg']
    for step in (2, 4):
        assert_close(tmp_path / 'run', directory / 'run', step)
    report = json.loads((tmp_path / 'run/report.json').read_text())
    assert report['devices'] == {'kind': 'cpu', 'count': 4, 'processes': 2}
    assert len(list((tmp_path / 'run/tensorboard').iterdir())) == 1
    assert 'step 4: validation examples 21' in printed[0][0] and 'examples' not in printed[1][0]


def test_processes_save_together_when_one_is_asked_to_end(one, digit_scenes_dir, tmp_path):
    one, directory = one
    statuses, printed = ends(
        start_two('tests/training/shared_run.py', tmp_path, digit_scenes_dir, 'SIGTERM')
    )
    assert statuses == [143, 143], printed
    assert [errors.splitlines()[-1] for _, errors in printed] == [
        'asked to end: the run is saved, and the same command goes on with it'
    ] * 2
    assert max(restore.steps(tmp_path / 'run/checkpoints')) < 4
    statuses, printed = ends(
        start_two('tests/training/shared_run.py', tmp_path, digit_scenes_dir, 'whole')
    )
    assert statuses == [0, 0], printed
    assert json.loads((tmp_path / '0.json').read_text()) == one
    assert_close(tmp_path / 'run', directory / 'run', 4)


def test_when_one_process_is_killed_the_other_ends_with_an_error(digit_scenes_dir, tmp_path):
    first, second = both = start_two(
        'tests/training/shared_run.py', tmp_path, digit_scenes_dir, 'SIGKILL', silent_seconds=5
    )
    second.wait(timeout=200)
    killed = time.monotonic()
    first.wait(timeout=60)
    assert time.monotonic() - killed < 10 + 15  # it was silent, and JAX asks now and then
    (status, other), ((_, errors), _) = ends(both)
    assert other == -signal.SIGKILL and status != 0
    assert 'the 2 processes cannot go on together' in errors or 'another task died' in errors, (
        errors
    )  # JAX's own words


def test_numbers_and_names_of_all_processes():
    statuses, printed = ends(start_two('tests/training/adding.py', 9, 'nothing'))
    assert statuses == [0, 0], printed
    assert all('all sums are right' in output for output, _ in printed)


@pytest.mark.parametrize('who, how', [(0, 'SIGKILL'), (1, 'SIGSTOP'), (1, 'error')])
def test_when_one_process_ends_or_hangs_the_other_ends(who, how):
    both = start_two('tests/training/adding.py', who, how, silent_seconds=5)
    ending, other = both[who], both[1 - who]
    started = time.monotonic()
    try:
        _, errors = other.communicate(timeout=100)
    finally:
        ending.kill()
    assert time.monotonic() - started < 60 and other.returncode not in (0, None), errors
    _, last = ending.communicate()
    if how == 'error':
        assert ending.returncode == 1
        assert last == 'error in process 1: this process has no more disk\n'
        assert other.returncode == 1 and errors.splitlines()[-1].startswith(
            'error in process 0: the 2 processes cannot go on together ('
        )


def test_processes_that_expect_different_numbers():
    address = f'--coordinator=localhost:{free_port()}'
    both = [
        start(
            'tests/training/adding.py',
            9,
            'nothing',
            address,
            '--silent_seconds=5',
            f'--processes={2 + number}',
            f'--process={number}',
        )
        for number in (0, 1)
    ]
    statuses, ((_, first), (_, second)) = ends(both)
    assert statuses[1] == 1 and second.splitlines()[-1] == (
        'error in process 1: 3 processes were expected, but 2 found each other; start all of them '
        'with the same number'
    )
    assert statuses[0] != 0, first


@pytest.mark.parametrize(
    'flags, message',
    [
        (
            ['--coordinator=localhost:1', '--processes=2', '--process=1', '--join_seconds=2'],
            'process 0 at localhost:1 did not answer within 2 s; start all processes with the same '
            '--coordinator and --processes, or give a longer --join_seconds',
        ),
        (
            ['--coordinator=localhost:{port}', '--processes=2', '--process=0', '--join_seconds=2'],
            'the other processes did not answer within 2 s; start all processes with the same '
            '--coordinator and --processes, or give a longer --join_seconds',
        ),
    ],
)
def test_others_that_do_not_answer(tmp_path, flags, message):
    process = start(
        '-m',
        'drn_jax.main',
        '--config=configs/digit_scenes.py',
        f'--workdir={tmp_path}/run',
        *[flag.format(port=free_port()) for flag in flags],
    )
    (status,), ((_, errors),) = ends([process], timeout=60)
    assert (status, errors) == (1, f'error: {message}\n')
    assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize(
    'given, field, message',
    [
        ({'coordinator': 'a:1', 'processes': 2}, '--processes', 'go together'),
        ({'process': 1, 'processes': 2}, '--processes', 'go together'),
        ({'coordinator': 'a:1', 'process': 0}, '--processes', 'go together'),
        ({'coordinator': 'a', 'process': 0, 'processes': 2}, '--coordinator', 'a has no port'),
        ({'coordinator': 'a:1', 'process': 2, 'processes': 2}, '--process', 'from 0 to 1'),
        ({'processes': 0}, '--processes', 'must be at least 1'),
        ({'join_seconds': 0}, '--join_seconds', 'at least 1 and at most 1000000'),
        ({'join_seconds': 10**10}, '--join_seconds', ''),
        ({'silent_seconds': -5}, '--silent_seconds', ''),
    ],
)
def test_flags_that_do_not_go_together(given, field, message):
    with refused(field, match=message):
        with processes.initialize(**given):
            pass


@pytest.mark.parametrize(
    'environment, message',
    [
        (
            {},
            '2 processes were expected, but nothing here names the others; give --coordinator=HOST',
        ),
        ({'JAX_COORDINATOR_ADDRESS': 'a:1'}, '2 processes were expected, but nothing here names'),
        (
            {'KUBERNETES_SERVICE_HOST': '10.0.0.1'},
            '2 processes were expected, but nothing here nam',
        ),
    ],
)
def test_nothing_to_join(environment, message):
    process = start(
        'tests/training/adding.py', 9, 'nothing', '--processes=2', environment=environment
    )
    (status,), ((_, errors),) = ends([process], timeout=60)
    assert status == 1 and errors.startswith(f'error: {message}'), errors


def test_a_session_that_has_used_jax_is_alone():
    assert jax.device_count() == 8
    with processes.initialize():
        assert not jax.distributed.is_initialized()
    with refused('--coordinator', match='before any JAX'):
        with processes.initialize(coordinator='localhost:1', processes=2, process=0):
            pass


@pytest.mark.parametrize('given, port', [({}, '8476'), ({'JAX_COORDINATOR_PORT': '1'}, '1')])
def test_on_a_tpu_process_0_listens_where_the_firewall_lets_the_others_in(monkeypatch, given, port):
    def initialize(**_):
        assert os.environ['JAX_COORDINATOR_PORT'] == port
        raise ValueError('nothing to join')

    monkeypatch.setattr(os, 'environ', given)
    monkeypatch.setattr(accelerators, 'has_tpu', lambda: True)
    monkeypatch.setattr(jax.distributed, 'initialize', initialize)
    with processes.initialize():
        assert os.environ['JAX_COORDINATOR_PORT'] == port


def test_slurm_is_asked_for_the_others():
    """JAX finds them by Slurm's variables; on localhost here, by the port of the job's number."""
    job = free_port() % 4096
    both = [
        start(
            'tests/training/adding.py',
            9,
            'nothing',
            environment={
                'SLURM_JOB_ID': str(job),
                'SLURM_STEP_NODELIST': 'localhost',
                'SLURM_NTASKS': '2',
                'SLURM_STEP_NUM_NODES': '2',
                'SLURM_PROCID': str(number),
                'SLURM_LOCALID': '0',
            },
        )
        for number in (0, 1)
    ]
    statuses, printed = ends(both, timeout=100)
    assert statuses == [0, 0], printed


def test_streams_that_the_processes_do_not_divide(monkeypatch):
    monkeypatch.setattr(jax, 'process_count', lambda: 3)
    processes.check_shards(9)
    with refused('config.data.shards'):
        processes.check_shards(8)
