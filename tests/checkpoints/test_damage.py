"""Checkpoints after crashes, on damaged files and on a disk that is full."""

import contextlib
import os
import pathlib
import re
import resource
import shutil
import sys
import threading

import jax
import numpy as np
import pytest
from support.errors import refused
from training import tiny

from drn_jax.checkpoints import manager, manifests, restore
from drn_jax.distributed import meshes
from drn_jax.reporting import writers
from drn_jax.training import states

CONFIG = tiny.tiny_config()


def state_of(step, size=3):
    """Returns a state whose numbers tell its step."""
    variables = {
        'params': {'w': np.full(size, step, np.float32)},
        'batch_stats': {'mean': np.full(2, step, np.float32)},
    }
    optimizer = states.create_optimizer(CONFIG.optimizer, 0.1).init(variables['params'])
    return jax.device_put(
        states.TrainState(np.int32(step), variables, optimizer),
        meshes.replicated(meshes.create_mesh(1)),
    )


def save(workdir, *steps, **size):
    with manager.Checkpoints(workdir, CONFIG) as saved:
        for step in steps:
            saved.save(state_of(step, **size))


def restored(workdir, **size):
    """Opens a directory as a run that goes on does; gives the step whose numbers it finds."""
    with manager.Checkpoints(workdir, CONFIG) as saved:
        if saved.latest_step() is None:
            return None
        state = saved.restore(state_of(0, **size))
    jax.tree.map(
        lambda found, wanted: np.testing.assert_array_equal(found, wanted),
        jax.device_get(state),
        jax.device_get(state_of(int(state.step), **size)),
    )
    return int(state.step)


@pytest.fixture(scope='module')
def three_steps(tmp_path_factory):
    workdir = tmp_path_factory.mktemp('run')
    with manager.Checkpoints(workdir, CONFIG) as saved:
        for step in (1, 2, 3):
            saved.save(state_of(step))
            saved.add_metrics(step, {'top1_error': 1 / step})
    return workdir


@pytest.fixture
def run(three_steps, tmp_path):
    """A run of three steps, to be damaged."""
    return pathlib.Path(shutil.copytree(three_steps, tmp_path / 'run'))


def test_a_flipped_byte_in_any_file_is_noticed(run):
    step = run / 'checkpoints/3'
    files = [path for path in step.rglob('*') if path.is_file()]
    assert {'MANIFEST.json', 'metrics', '_METADATA', 'manifest.ocdbt'} <= {f.name for f in files}
    rng = np.random.default_rng(0)
    for file in files:
        content = file.read_bytes()
        place, bit = rng.integers(len(content)), rng.integers(8)
        file.write_bytes(
            content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :]
        )
        name = file.relative_to(step).as_posix()
        problem = manifests.problem(step)
        assert problem and (problem.startswith(name) or name == 'MANIFEST.json'), (name, problem)
        file.write_bytes(content)
    assert manifests.problem(step) is None


def test_every_bit_of_the_manifest_counts(run):
    file = run / 'checkpoints/3/MANIFEST.json'
    content = file.read_bytes()
    for place in range(0, len(content), 7):
        for bit in range(8):
            file.write_bytes(
                content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :]
            )
            assert manifests.problem(file.parent), (place, bit)


@pytest.mark.parametrize(
    'damage, problem',
    [
        (
            lambda step: (step / 'variables/_METADATA').write_text('{}'),
            'variables/_METADATA is not what was written',
        ),
        (lambda step: (step / 'config/metadata').unlink(), 'config/metadata is missing'),
        (lambda step: shutil.rmtree(step / 'optimizer'), r'optimizer/\S+ is missing'),
        (
            lambda step: (step / 'MANIFEST.json').write_text('{}\n'),
            'MANIFEST.json is not what was written',
        ),
    ],
)
def test_the_step_before_a_damaged_one_is_taken(run, capsys, damage, problem):
    damage(run / 'checkpoints/3')
    assert restored(run) == 2
    assert re.search(
        rf'step 3 is damaged \({problem}\): it was moved to {run}/damaged/3\n',
        capsys.readouterr().out,
    )
    assert sorted(restore.steps(run / 'checkpoints')) == [1, 2]
    save(run, 3)  # once more
    assert restored(run) == 3


def test_a_second_damaged_step_of_the_same_number_is_kept_too(run):
    for place in ('3', '3_'):
        (run / 'checkpoints/3/config/metadata').write_text('')
        assert restored(run) == 2 and (run / 'damaged' / place).is_dir()
        save(run, 3)


def test_where_all_steps_are_damaged_the_run_starts_anew(run, capsys):
    for step in (1, 2, 3):
        (run / f'checkpoints/{step}/config/metadata').unlink()
    assert restored(run) is None
    assert capsys.readouterr().out.count(' is damaged (config/metadata is missing)') == 3
    assert len(list((run / 'damaged').iterdir())) == 3


def test_damaged_metrics_of_an_older_step_stop_no_run(run, capsys):
    (run / 'checkpoints/1/metrics/metrics').write_text('{')
    assert restored(run) == 3
    assert 'step 1 is damaged (metrics/metrics is not what was written)' in capsys.readouterr().out
    assert sorted(restore.steps(run / 'checkpoints')) == [2, 3]
    assert (run / 'damaged/1').is_dir()


def test_steps_without_a_manifest_are_not_lost(run, capsys):
    for step in (1, 2, 3):  # as they were before there were manifests
        (run / f'checkpoints/{step}/MANIFEST.json').unlink()
    assert restored(run) is None
    assert 'step 3 is damaged (MANIFEST.json is missing)' in capsys.readouterr().out
    assert sorted(path.name for path in (run / 'damaged').iterdir()) == ['1', '2', '3']
    assert (run / 'damaged/3/variables/_METADATA').exists()


def test_what_was_left_unfinished_is_removed(run, capsys):
    (run / 'checkpoints/3/MANIFEST.json').unlink()
    (run / 'checkpoints/3/commit_success.txt').unlink()
    (run / 'checkpoints/4.orbax-checkpoint-tmp-17').mkdir()
    (run / 'checkpoints/notes').mkdir()
    assert restored(run) == 2
    printed = capsys.readouterr().out
    assert f'{run}/checkpoints/3 was not finished: it is removed' in printed
    assert sorted(path.name for path in (run / 'checkpoints').iterdir()) == ['1', '2', 'notes']
    save(run, 3, 4)
    assert restored(run) == 4


def test_a_logger_that_cannot_write_says_so(tmp_path, monkeypatch):
    with refused(path=tmp_path / 'tensorboard', match='no room.*; see that there is room'):
        with writers.TrainLogger(tmp_path, 8, lambda step: 0.1, 0, 2) as logger:

            def full(*_):
                raise OSError('no room')

            monkeypatch.setattr(logger._writer, 'flush', full)
            monkeypatch.setattr(logger._writer, 'close', full)
            logger.metrics(1, {'top1_error': 0.5}, ['top1_error'])


@contextlib.contextmanager
def files_of_at_most(size):
    """Lets writing fail beyond a size, as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.filterwarnings('ignore::pytest.PytestUnhandledThreadExceptionWarning')  # Orbax's
@pytest.mark.filterwarnings(  # seldom: TensorStore answers after Orbax's event loop has ended
    'ignore:Exception ignored in. None:pytest.PytestUnraisableExceptionWarning'
)
def test_a_save_that_fails_in_the_background_stops_the_run(tmp_path):
    large = {'size': 300_000}
    rng = np.random.default_rng(0)

    def noise(step):  # it does not compress
        state = state_of(step, **large)
        state.variables['params']['w'] = jax.device_put(
            rng.standard_normal(large['size'], np.float32), state.step.sharding
        )
        return state

    save(tmp_path, 1, **large)
    message = (
        f'^step 2 could not be saved in {tmp_path}/checkpoints .*; step 1 is the last good '
        'one there; see that there is room and that the storage works, then give the same '
        'command again$'
    )
    with refused(path=tmp_path / 'checkpoints', match=message):
        with manager.Checkpoints(tmp_path, CONFIG) as saved:
            with files_of_at_most(200_000):
                saved.save(noise(2))
                saved.wait()
    assert restored(tmp_path, **large) == 1
    save(tmp_path, 2, **large)
    assert restored(tmp_path, **large) == 2


def test_a_manifest_that_cannot_be_written_is_a_failed_save(tmp_path, monkeypatch):
    save(tmp_path, 1)

    def full(path):
        raise OSError(28, 'No space left on device')

    with refused(path=tmp_path / 'checkpoints', match='^step 2 .*No space left on device'):
        with manager.Checkpoints(tmp_path, CONFIG) as saved:
            monkeypatch.setattr(manifests, 'write', full)
            saved.save(state_of(2))
    monkeypatch.undo()
    assert restored(tmp_path) == 1


def test_a_directory_that_is_gone_is_a_failed_save(tmp_path, monkeypatch):
    def gone(path):
        shutil.rmtree(path.parent)
        raise FileNotFoundError(2, 'No such file or directory')

    with refused(
        path=tmp_path / 'checkpoints', match='^step 1 .*No such file.* there is no other yet;'
    ):
        with manager.Checkpoints(tmp_path, CONFIG) as saved:
            monkeypatch.setattr(manifests, 'write', gone)
            saved.save(state_of(1))


def test_an_interruption_while_a_save_starts_is_no_other_error(tmp_path, monkeypatch):
    start = threading.Thread.start

    def interrupted(thread):
        if thread.name == 'save':
            raise KeyboardInterrupt
        start(thread)

    with pytest.raises(KeyboardInterrupt):
        with manager.Checkpoints(tmp_path, CONFIG) as saved:
            monkeypatch.setattr(threading.Thread, 'start', interrupted)
            saved.save(state_of(1))
    assert restored(tmp_path) is None


class Snapshots:
    """Copies a directory at each of Python's operations on its files: what a crash would leave."""

    def __init__(self, workdir, places):
        self.workdir, self.places = workdir, places
        self.count, self.active, self._seen = 0, False, set()
        self._inside, self._lock = threading.local(), threading.Lock()

    def __call__(self, event, args):
        if (
            self.active
            and event in EVENTS
            and not getattr(self._inside, 'now', False)
            and any(str(self.workdir) in str(arg) for arg in args)
        ):
            self._inside.now = True
            with self._lock:
                self._copy()
            self._inside.now = False

    def _copy(self):
        state = tuple(sorted(self._files()))
        if state not in self._seen:
            self._seen.add(state)
            with contextlib.suppress(shutil.Error):  # files that vanish meanwhile
                shutil.copytree(self.workdir, self.places / str(self.count))
            self.count += 1

    def _files(self):
        """Yields the name and size of every file; TensorStore's threads remove some meanwhile."""
        for folder, _, names in os.walk(self.workdir):
            for name in (*names, '.'):
                with contextlib.suppress(FileNotFoundError):
                    yield os.path.join(folder, name), os.stat(os.path.join(folder, name)).st_size


EVENTS = (
    'open',
    'os.rename',
    'os.mkdir',
    'os.remove',
    'os.rmdir',
    'shutil.rmtree',
    'os.listdir',
    'os.scandir',
)


def test_a_crash_at_any_point_of_a_save_leaves_a_directory_to_go_on_with(tmp_path, capsys):
    workdir, places = tmp_path / 'run', tmp_path / 'crashes'
    save(workdir, 1)
    places.mkdir()
    snapshots = Snapshots(workdir, places)
    sys.addaudithook(snapshots)
    with manager.Checkpoints(workdir, CONFIG) as saved:
        snapshots.active = True
        for step in (2, 3, 4, 5):  # at 4 the first one is removed, at 5 the second
            saved.save(state_of(step))
            saved.add_metrics(step, {'top1_error': 0.5 - step / 100})
        snapshots.active = False
    assert snapshots.count > 30
    found = []
    for number in range(snapshots.count):
        crashed = places / str(number)
        found.append(restored(crashed))
        assert sorted(restore.steps(crashed / 'checkpoints'))[-1] == found[-1]
    assert found == sorted(found) and set(found) == {1, 2, 3, 4, 5}  # never nothing
    for number in range(0, snapshots.count, 5):
        save(places / str(number), found[number] + 1)
        assert restored(places / str(number)) == found[number] + 1


def lose_before_the_sums(monkeypatch):
    """Lets a file of a step vanish before its sums are taken."""

    def save_items(path, config, items, save=manager.save_items):
        save(path, config, items)
        next((path / 'optimizer' / 'd').iterdir()).unlink()

    monkeypatch.setattr(manager, 'save_items', save_items)


def lose_after_the_sums(monkeypatch):
    """Lets a file of a step change after its sums were taken."""

    def write(path, write=manifests.write):
        write(path)
        next((path / 'variables' / 'd').iterdir()).write_bytes(b'nothing')

    monkeypatch.setattr(manager.manifests, 'write', write)


def keep_something_else(monkeypatch):
    """Lets values change on their way to a step."""

    def save_items(path, config, items, save=manager.save_items):
        save(path, config, jax.tree.map(lambda leaf: leaf + 1, items))

    monkeypatch.setattr(manager, 'save_items', save_items)


@pytest.mark.parametrize(
    'lose, told',
    [
        (lose_before_the_sums, ' .NOT_FOUND'),
        (lose_after_the_sums, 'it was read back, and variables/.* is not what was written'),
        (
            keep_something_else,
            'it was read back, and (variables|optimizer) is not what was written',
        ),
    ],
)
def test_a_storage_that_loses_data_stops_a_run_at_its_first_step(tmp_path, monkeypatch, lose, told):
    lose(monkeypatch)
    with (
        refused(path=tmp_path / 'checkpoints', match=f'^step 1 could not be saved in .*{told}'),
        manager.Checkpoints(tmp_path, CONFIG) as saved,
    ):
        saved.save(state_of(1))
        saved.wait()


def test_only_the_first_step_of_a_run_is_read_back(tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr(manager, 'read_back', lambda path, items: read.append(path.name))
    for step in 1, 3:
        with manager.Checkpoints(tmp_path, CONFIG) as saved:
            saved.save(state_of(step))
            saved.save(state_of(step + 1))
    assert read == ['1']
