"""What ends a process that hangs."""

import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from drn_jax.distributed import processes


class Watchdog:
    """Ends this process when nothing happens for too long, while its context is entered.

    A step that waits for a stuck process, for storage or for a device that never answers is
    interrupted by nothing else: JAX notices processes that are dead, not those that are stuck.

    Args:
        seconds: how long there may be no call of `reset`, `config.watchdog_seconds`; 0: for ever.
        end: what to do then, a function of an exit status.

    Example:
        >>> with Watchdog(60) as watchdog:
        ...     for step in range(3):
        ...         watchdog.reset(f'step {step}')
    """

    def __init__(self, seconds: float, end: Callable[[int], Any] = processes.exit_now):
        self._seconds, self._end = seconds, end
        self._done, self._last = 'the start', time.monotonic()
        self._closed = threading.Event()

    def reset(self, done: str) -> None:
        """Starts the time anew; `done` names what has happened, for the message."""
        self._done, self._last = done, time.monotonic()

    def _watch(self):
        while not self._closed.wait(min(1.0, self._seconds / 10)):
            silent = time.monotonic() - self._last
            if silent > self._seconds:
                print(
                    f'error{processes.name()}: nothing has happened for {silent:.0f} s after '
                    f'{self._done}, and config.watchdog_seconds is {self._seconds:g}; give '
                    'the same command again, it goes on at the last checkpoint, or allow more '
                    'seconds',
                    file=sys.stderr,
                )
                self._end(1)
                return

    def __enter__(self) -> 'Watchdog':
        self._last = time.monotonic()
        if self._seconds:
            threading.Thread(target=self._watch, name='watchdog', daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._closed.set()
