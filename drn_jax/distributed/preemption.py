"""What notices that a run is asked to end before its last step."""

import signal
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import jax
from jax.experimental import multihost_utils

from drn_jax.distributed.watchdog import Watchdog
from drn_jax.errors import Stopped


class PreemptionGuard:
    """Notices SIGTERM while its context is entered.

    Batch systems and clouds send SIGTERM before they take a machine. A process that is alone
    remembers it. Where several share a run, JAX's runtime catches it in any of them and lets all
    of them agree on the call of `should_stop` at which they stop: all must call it equally often.

    Args:
        watchdog: is reset by every call of `should_stop`.

    Example:
        >>> with Watchdog(60) as watchdog, PreemptionGuard(watchdog) as guard:
        ...     guard.should_stop('step 0')
        False
    """

    def __init__(self, watchdog: Watchdog):
        self._watchdog = watchdog
        self._asked, self._calls = False, 0
        self._previous: Any = None  # what handled the signal before

    def should_stop(self, done: str) -> bool:
        """Returns whether to save and end now, after `done`, as 'step 3', has happened."""
        self._watchdog.reset(done)
        self._calls += 1
        if jax.process_count() > 1 and not self._asked:
            self._asked = multihost_utils.reached_preemption_sync_point(self._calls)
        return self._asked

    def watch(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Wraps the batches of an evaluation, in which all processes take part.

        Raises:
            Stopped: the run was asked to end.
        """
        for number, batch in enumerate(batches):
            if self.should_stop(f'batch {number} of an evaluation'):
                raise Stopped
            yield batch

    def _remember(self, *_):
        self._asked = True

    def __enter__(self) -> 'PreemptionGuard':
        # Python hands signals to the main thread only.
        if jax.process_count() == 1 and threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGTERM, self._remember)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGTERM, self._previous)
