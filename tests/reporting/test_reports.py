"""Progress, tables and reports."""

import contextlib
import json
import pathlib
import threading

import jax
import numpy as np
import pytest
from support.errors import refused

from drn_jax import recipes
from drn_jax.reporting import profiles, progress, reports, writers


class Clock:
    """A clock that the test moves."""

    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress, 'time', clock)
    monkeypatch.setattr(writers, 'time', clock)
    return clock


def test_lines_show_the_time_left_without_the_first_steps_compilation(clock, capsys):
    with progress.Progress(total=9, done=4, seconds=10.0) as bar:
        clock.now += 60  # compiling
        bar.update()
        bar.note('loss 1.000')
        clock.now += 8
        bar.update()
        clock.now += 8
        bar.update()
        clock.now += 1
        bar.update()
        bar.update()
    assert capsys.readouterr().out.splitlines() == [
        'step 5/9',
        'step 7/9, 16 s left, loss 1.000',
        'step 9/9, 0 s left, loss 1.000',
    ]


def test_progress_counts_what_it_wraps(capsys):
    with progress.Progress(total=2, what='batch') as bar:
        assert list(bar([1, 2])) == [1, 2]
    assert capsys.readouterr().out.endswith('batch 2/2, 0 s left\n')


def test_a_report_replaces_an_earlier_one(tmp_path):
    for error in (0.5, 0.25):
        path = reports.write_report(
            tmp_path / 'deep' / 'er',
            command='typed',
            config=recipes.digit_scenes(),
            data={},
            metrics={'top1_error': error},
            published={},
            step=3,
        )
    report = json.loads(pathlib.Path(path).read_text())
    assert report['metrics'] == {'top1_error': 0.25} and report['step'] == 3
    assert report['config'] == json.loads(json.dumps(recipes.digit_scenes().to_dict()))
    assert [file.name for file in path.parent.iterdir()] == ['report.json']


def test_a_table_without_metrics_has_its_heading():
    assert reports.table({}, {}) == 'metric           measured    published'


def test_a_logger_measures_the_speed_between_flushes(clock, tmp_path, capsys):
    with writers.TrainLogger(
        tmp_path, batch_size=4, rate=lambda step: 0.1, first=0, last=3
    ) as logger:
        clock.now += 7  # compiling
        logger.compiled(7.04, seconds_at_peak=0.25)
        for step in range(2):
            logger.add(step, {'loss': np.float32(2.0)})
        clock.now += 2
        logger.flush()
        clock.now += 50  # an evaluation
        logger.metrics(2, {'top1_error': 0.5}, ('top1_error',))
        logger.add(2, {'loss': np.float32(1.0)})
        clock.now += 1
        logger.flush()
        assert 'step 2: validation top1_error 50.00 %' in capsys.readouterr().out
        assert logger.speed == 4.0
        assert logger.speeds() == {
            'compile_seconds': 7.0,
            'images_per_second': 4.0,
            'data_wait_fraction': 0.0,
            'peak_fraction': 0.25,
        }
        assert capsys.readouterr().out.endswith(
            '3 steps: 4.0 images/s, 0 % of the time waiting for data, 25 % of peak; compiled in '
            '7.0 s\n'
        )
    assert list((tmp_path / 'tensorboard').iterdir())


class OwnClocks:
    """A clock for each thread."""

    def __init__(self):
        self.now = {}

    def monotonic(self):
        return self.now.get(threading.current_thread().name, 0)


class Step:
    """What a step gives, that is there at some time."""

    def __init__(self, clocks, end):
        self.clocks, self.end = clocks, end

    def block_until_ready(self):
        self.clocks.now['data wait'] = self.end
        return self


@pytest.mark.parametrize('step_seconds, waited', [(2, 3 + 1 + 1), (3, 3), (50, 3)])
def test_devices_wait_for_data_from_the_end_of_a_step(monkeypatch, step_seconds, waited):
    clocks = OwnClocks()
    monkeypatch.setattr(writers, 'time', clocks)
    here = threading.current_thread().name

    def batches():
        for number in range(3):
            clocks.now[here] = clocks.monotonic() + 3
            yield number

    data_wait, end = writers.DataWait(), 0
    for _ in data_wait.feed(batches()):
        end = max(end, clocks.monotonic()) + step_seconds
        data_wait.started({'loss': Step(clocks, end)})
    data_wait.close()
    assert data_wait.seconds == waited


def test_an_error_on_a_device_is_left_to_the_loop():
    class Failing:
        def block_until_ready(self):
            raise RuntimeError('of a device')

    data_wait = writers.DataWait()
    data_wait.started(Failing())
    data_wait.close()


def test_a_trace_that_cannot_be_written_is_one_sentence_and_an_unfinished_one_is_left(tmp_path):
    with writers.TrainLogger(tmp_path, 4, lambda step: 0.1, 0, 9) as logger:
        with contextlib.suppress(KeyError), profiles.Profile(logger, (2, 4), range(9)) as profile:
            profile.at(2, None)
            raise KeyError
        (tmp_path / 'tensorboard' / 'plugins').write_text('in the way')
        with profiles.Profile(logger, (2, 4), range(3, 9)) as profile:
            for step in range(3, 5):
                end = refused('config.profile_steps', tmp_path / 'tensorboard', match='cannot be')
                with end if step == 4 else contextlib.nullcontext():
                    profile.at(step, jax.numpy.ones(2))


def test_a_profiler_of_tpus_without_a_tpu_is_not_started(tmp_path, monkeypatch):
    monkeypatch.setattr(profiles.importlib.util, 'find_spec', lambda name: name == 'libtpu')
    before = jax.config.jax_platforms
    with writers.TrainLogger(tmp_path, 4, lambda step: 0.1, 0, 9) as logger:
        profiles.Profile(logger, (2, 4), range(9))  # JAX was told where to look
        jax.config.update('jax_platforms', None)
        try:
            profiles.Profile(logger, (0, 0), range(9))
            with refused('config.profile_steps', match='set JAX_PLATFORMS=cpu in the env'):
                profiles.Profile(logger, (2, 4), range(9))
        finally:
            jax.config.update('jax_platforms', before)


def test_a_loss_that_is_not_finite_is_named(tmp_path):
    with writers.TrainLogger(tmp_path, 4, lambda step: 0.1, 0, 3) as logger:
        logger.add(0, {'loss': np.float32(2.0)})
        logger.add(1, {'loss': np.float32(np.inf)})
        logger.add(2, {'loss': np.float32(np.nan)})
        with pytest.raises(FloatingPointError, match='the loss of step 1 is inf'):
            logger.flush()


def test_an_update_that_was_left_out_is_named(tmp_path, capsys):
    with writers.TrainLogger(tmp_path, 4, lambda step: 0.1, 0, 3, skip=True) as logger:
        logger.add(0, {'loss': np.float32(np.nan), 'parameter_norm': np.float32(1.0)})
        logger.add(1, {'loss': np.float32(2.0), 'parameter_norm': np.float32(1.0)})
        logger.flush()
        assert (
            'the loss of step 0 is nan: its update was left out'
            in capsys.readouterr().out.splitlines()
        )
        logger.add(2, {'loss': np.float32(np.nan), 'parameter_norm': np.float32(np.nan)})
        with pytest.raises(FloatingPointError, match='the loss of step 2 is nan'):
            logger.flush()


def test_a_report_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / 'file').touch()
    path, none = tmp_path / 'file' / 'report.json', recipes.classification()
    with refused(path=path, match='report.json cannot be written .*; see that there is room, or'):
        reports.write_report(
            path.parent, command='', config=none, data={}, metrics={}, published={}
        )
