"""Hanging."""

import time

from drn_jax.distributed.preemption import PreemptionGuard
from drn_jax.distributed.watchdog import Watchdog


def test_a_process_in_which_nothing_happens_is_ended(capsys):
    statuses = []
    with Watchdog(0.2, statuses.append) as watchdog, PreemptionGuard(watchdog) as guard:
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
    with Watchdog(0, statuses.append):
        time.sleep(0.1)
    assert statuses == []
