"""Being asked to end."""

import os
import signal

import pytest

from drn_jax.distributed.preemption import PreemptionGuard
from drn_jax.distributed.watchdog import Watchdog
from drn_jax.errors import Stopped


def test_sigterm_is_remembered_inside_and_as_before_outside():
    before = signal.getsignal(signal.SIGTERM)
    with PreemptionGuard(Watchdog(0)) as guard:
        assert not guard.should_stop('step 0')
        os.kill(os.getpid(), signal.SIGTERM)
        assert guard.should_stop('step 1')
    assert signal.getsignal(signal.SIGTERM) is before


def test_an_evaluation_ends_at_the_next_batch():
    with PreemptionGuard(Watchdog(0)) as guard:
        batches = guard.watch(iter('abc'))
        assert next(batches) == 'a'
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Stopped, match='^asked to end: the run is saved, and the same command '):
            next(batches)
