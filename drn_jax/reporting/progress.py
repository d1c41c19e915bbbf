"""What a command tells people while it runs: lines, a bar with the time left."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any

import jax
import tqdm


def say(*lines: str) -> None:
    """Prints lines from the first process only, at once."""
    if jax.process_index() == 0:
        print(*lines, sep='\n', flush=True)


class Progress:
    """Shows how far a job is: a bar with the time left on a terminal, plain lines elsewhere.

    Args:
        total: how many there are to do.
        done: how many of them are done already.
        what: what is counted, one of them.
        seconds: the least time between two lines.

    Example:
        with Progress(len(paths), what='image') as bar:
            pictures = [read(path) for path in bar(paths)]
    """

    def __init__(self, total: int, done: int = 0, what: str = 'step', seconds: float = 10.0):
        self._total, self._done, self._first, self._what = total, done, done, what
        self._start = self._last = time.monotonic()
        self._seconds, self._note = seconds, ''
        hidden = jax.process_index() != 0
        self._lines = not hidden and not sys.stderr.isatty()
        self._bar = tqdm.tqdm(
            total=total,
            initial=done,
            unit=what,
            leave=False,
            disable=hidden or self._lines,
            dynamic_ncols=True,
        )

    def note(self, text: str) -> None:
        """Sets the text beside the numbers, such as the loss."""
        self._note = text
        self._bar.set_postfix_str(text, refresh=False)

    def update(self) -> None:
        """Counts one more as done."""
        now, timed = time.monotonic(), self._done - self._first
        if not timed:  # the first one compiles; it says nothing about the others
            self._start = now
        self._done += 1
        self._bar.update()
        if self._lines and (now - self._last >= self._seconds or self._done == self._total):
            self._last = now
            parts = [f'{self._what} {self._done}/{self._total}', self._note]
            if timed:
                # Batches of images of one size can be more than were expected.
                seconds = max(self._total - self._done, 0) * (now - self._start) / timed
                parts.insert(1, f'{duration(seconds)} left')
            print(', '.join(filter(None, parts)), flush=True)

    def say(self, text: str) -> None:
        """Prints a line above the bar."""
        if not self._bar.disable:
            self._bar.write(text)
        elif self._lines:
            print(text, flush=True)

    def __call__(self, items: Iterable[Any]) -> Iterator[Any]:
        """Wraps an iterable, counting its items."""
        for item in items:
            yield item
            self.update()

    def close(self) -> None:
        """Takes the bar away."""
        self._bar.close()

    def __enter__(self) -> 'Progress':
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def duration(seconds: float) -> str:
    """Writes a time in words.

    Args:
        seconds: the time.

    Example:
        >>> duration(59.2), duration(3700)
        ('59 s', '1 h 1 min')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f'{hours} h {minutes} min'
    return f'{minutes} min {rest} s' if minutes else f'{rest} s'
