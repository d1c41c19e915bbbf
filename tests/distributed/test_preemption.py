"""Being asked to end, and hanging."""

import os
import signal
import time

import pytest

from drn_jax.distributed import preemption
from drn_jax.errors import Stopped


def test_sigterm_is_remembered_inside_and_as_before_outside():
    before = signal.getsignal(signal.SIGTERM)
    with preemption.PreemptionGuard(0) as guard:
        assert not guard.should_stop('step 0')
        os.kill(os.getpid(), signal.SIGTERM)
        assert guard.should_stop('step 1')
    assert signal.getsignal(signal.SIGTERM) is before


def test_an_evaluation_ends_at_the_next_batch():
    with preemption.PreemptionGuard(0) as guard:
        batches = guard.watch(iter('abc'))
        assert next(batches) == 'a'
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Stopped, match='^asked to end: the run is saved, and the same command '):
            next(batches)


def test_a_process_in_which_nothing_happens_is_ended(capsys):
    statuses = []
    with preemption.PreemptionGuard(0.2, statuses.append) as guard:
        for step in range(8):  # longer than the limit, but not at a time
            time.sleep(0.05)
            guard.should_stop(f'step {step}')
        assert statuses == []
        time.sleep(0.5)
        assert statuses == [1]
    error = capsys.readouterr().err
    assert error.startswith(
        'error: nothing has happened for 0 s after step 7, and config.watchdog_'
        'seconds is 0.2; give the same command again, it goes on at the last check'
    )


def test_no_time_is_too_long_where_there_is_no_limit():
    statuses = []
    with preemption.PreemptionGuard(0, statuses.append):
        time.sleep(0.1)
    assert statuses == []
