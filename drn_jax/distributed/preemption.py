"""What ends a run before its last step: being asked to, and hanging."""

import signal
import sys
import threading
import time

import jax
from jax.experimental import multihost_utils

from drn_jax.distributed import processes
from drn_jax.errors import Stopped


class PreemptionGuard:
    """Notices SIGTERM, and ends this process when it hangs, while its context is entered.

    Batch systems and clouds send SIGTERM before they take a machine. A process that is alone
    remembers it. Where several share a run, JAX's runtime catches it in any of them and lets all
    of them agree on the call of `should_stop` at which they stop: all must call it equally often.

    A step that waits for a stuck process, for storage or for a device that never answers is
    interrupted by nothing else: JAX notices processes that are dead, not those that are stuck.

    Args:
        watchdog_seconds: how long there may be no call of `should_stop`; 0: for ever.
        end: what to do then, a function of an exit status.
    """

    def __init__(self, watchdog_seconds, end=processes.exit_now):
        self._asked, self._calls, self._previous = False, 0, None
        self._seconds, self._end = watchdog_seconds, end
        self._what, self._last = 'the start', time.monotonic()
        self._closed = threading.Event()

    def should_stop(self, what):
        """Returns whether to save and end now, after `what` has been done."""
        self._what, self._last = what, time.monotonic()
        self._calls += 1
        if jax.process_count() > 1 and not self._asked:
            self._asked = multihost_utils.reached_preemption_sync_point(self._calls)
        return self._asked

    def watch(self, batches):
        """Wraps batches of an evaluation, in which all processes take part.

        Raises:
            Stopped: the run was asked to end.
        """
        for number, batch in enumerate(batches):
            if self.should_stop(f'batch {number} of an evaluation'):
                raise Stopped
            yield batch

    def _remember(self, *_):
        self._asked = True

    def _watch(self):
        while not self._closed.wait(min(1.0, self._seconds / 10)):
            silent = time.monotonic() - self._last
            if silent > self._seconds:
                print(
                    f'error{processes.name()}: nothing has happened for {silent:.0f} s after '
                    f'{self._what}, and config.watchdog_seconds is {self._seconds:g}; give '
                    'the same command again, it goes on at the last checkpoint, or allow more '
                    'seconds',
                    file=sys.stderr,
                )
                self._end(1)
                return

    def __enter__(self):
        # Python hands signals to the main thread only.
        if jax.process_count() == 1 and threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGTERM, self._remember)
        self._last = time.monotonic()
        if self._seconds:
            threading.Thread(target=self._watch, name='hang', daemon=True).start()
        return self

    def __exit__(self, *exception):
        self._closed.set()
        if self._previous is not None:
            signal.signal(signal.SIGTERM, self._previous)
