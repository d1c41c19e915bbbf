"""Being asked to end, and hanging."""
import os
import signal
import time

import pytest

from drn_jax.errors import Stopped
from drn_jax.training import endings


def test_sigterm_is_remembered_inside_and_as_before_outside():
    before = signal.getsignal(signal.SIGTERM)
    with endings.Endings(0) as ending:
        assert not ending.asked('step 0')
        os.kill(os.getpid(), signal.SIGTERM)
        assert ending.asked('step 1')
    assert signal.getsignal(signal.SIGTERM) is before


def test_an_evaluation_ends_at_the_next_batch():
    with endings.Endings(0) as ending:
        batches = ending.watch(iter('abc'))
        assert next(batches) == 'a'
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Stopped, match='^asked to end: the run is saved, and the same command '):
            next(batches)


def test_a_process_in_which_nothing_happens_is_ended(capsys):
    statuses = []
    with endings.Endings(.2, statuses.append) as ending:
        for step in range(8):  # longer than the limit, but not at a time
            time.sleep(.05)
            ending.asked(f'step {step}')
        assert statuses == []
        time.sleep(.5)
        assert statuses == [1]
    error = capsys.readouterr().err
    assert error.startswith('error: nothing has happened for 0 s after step 7, and config.hang_seco'
                            'nds is 0.2; give the same command again, it goes on at the last check')


def test_no_time_is_too_long_where_there_is_no_limit():
    statuses = []
    with endings.Endings(0, statuses.append):
        time.sleep(.1)
    assert statuses == []
