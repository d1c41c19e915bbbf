"""What a training run writes down while it goes on: progress, losses, speed, TensorBoard."""

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from clu import metric_writers
from etils import epath

from drn_jax import copies
from drn_jax.distributed import processes
from drn_jax.errors import InputError, one_line
from drn_jax.reporting import progress, reports

FOLDER = 'tensorboard'
IN_FLIGHT = 2


class DataWait:
    """Measures how long devices wait for data: from the end of a step to the batch of the next.

    The loop is ahead of the devices, so that it waits for a batch does not mean that they do. When
    a step ends, a thread notes.

    Attributes:
        seconds: that the devices waited, for the batches of all steps but those under way.
    """

    def __init__(self):
        self.seconds, self._asked, self._got = 0.0, 0.0, 0.0
        self._started: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._watch, name='data wait', daemon=True)
        self._thread.start()

    def feed(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Yields batches, noting when each was asked for and when it came."""
        self._asked = time.monotonic()
        for batch in batches:
            self._got = time.monotonic()
            yield batch
            self._asked = time.monotonic()

    def started(self, logs: Any) -> None:
        """Takes what the step gives that was started with the last batch."""
        self._started.put((self._asked, self._got, logs))

    def _watch(self):
        ended = 0.0
        for asked, got, logs in iter(self._started.get, None):
            self.seconds += max(got - max(asked, ended), 0)
            try:
                jax.block_until_ready(logs)
            except Exception:  # the loop meets it too
                return
            ended = time.monotonic()

    def restart(self) -> float:
        """Takes the last batch for one that comes now, and returns the time."""
        self._asked = self._got = time.monotonic()
        return self._got

    def close(self) -> None:
        """Ends the thread."""
        self._started.put(None)
        self._thread.join(1)


class TrainLogger:
    """Collects the logs of steps and shows them at intervals.

    Logs stay on the device until `flush`. A step is not waited for before the next one starts, but
    before the one `IN_FLIGHT` later does, so that batches do not pile up on the device.

    Args:
        workdir: directory of the run, local or gs://; TensorBoard's files go to
            `workdir/tensorboard`.
        batch_size: images a step, for the speed.
        rate: learning rate as a function of the step.
        first: number of steps that were done before.
        last: number of steps at the end.
        skip: whether updates by what is not finite are left out.

    Attributes:
        folder: where TensorBoard files go.
        speed: images per second between the last two flushes, evaluations left out.
        data_wait: see `DataWait`; `data_wait.feed` yields the batches.
    """

    def __init__(
        self,
        workdir: epath.Path,
        batch_size: int,
        rate: Callable[[int], Any],
        first: int,
        last: int,
        skip: bool = False,
    ):
        self.folder = workdir / FOLDER
        self._writer = metric_writers.create_default_writer(
            copies.local(self.folder), just_logging=jax.process_index() > 0
        )
        self._progress = progress.Progress(last, first)
        self._batch_size, self._rate = batch_size, rate
        self._pending: list[tuple[int, Any]] = []  # steps, and their logs on the device
        self.speed, self._skip = 0.0, skip
        self.data_wait, self._waited = DataWait(), 0.0
        self._compile_seconds, self._seconds_at_peak = 0.0, 0.0  # of a step; 0: not known
        self._steps, self._seconds = 0, 0.0  # that were flushed, and how long they took
        self._clock = time.monotonic()

    def say(self, text: str) -> None:
        """Shows a line."""
        self._progress.say(text)

    def compiled(self, seconds: float, seconds_at_peak: float | None = None) -> None:
        """Says how long compiling took, and starts the speed's clock.

        Args:
            seconds: of compiling the step.
            seconds_at_peak: that a step would take at the peak of the devices; None: not known.
        """
        self.say(f'compiled in {seconds:.1f} s')
        self._compile_seconds, self._seconds_at_peak = seconds, seconds_at_peak or 0.0
        self._clock = self.data_wait.restart()

    def leave_out(self, seconds: float) -> None:
        """Counts no speed in the last seconds, in which no steps ran."""
        self._clock += seconds

    def inputs(self, step: int, images: jax.Array) -> None:
        """Writes sample inputs, float32 [B, H, W, 3] in [0, 1], to TensorBoard."""
        self._writer.write_images(step, {'inputs': np.asarray(images)})

    def add(self, step: int, logs: Mapping[str, jax.Array]) -> None:
        """Takes the logs of the step that was just started, scalars on the device, one a `loss`."""
        self._pending.append((step, logs))
        self.data_wait.started(logs)
        if len(self._pending) > IN_FLIGHT:
            jax.block_until_ready(self._pending[-1 - IN_FLIGHT])
        self._progress.update()

    def flush(self, write: bool = True) -> None:
        """Waits for the steps so far and shows the last loss, the rate and the speed.

        Args:
            write: whether TensorBoard gets them too; then they are in its files on return, so that
                no process that is ended after a checkpoint leaves them out.

        Raises:
            FloatingPointError: a number is not finite; it and the step are named.
            InputError: TensorBoard's files cannot be written.
        """
        pending, self._pending = jax.device_get(self._pending), []
        for step, logs in pending:
            self._check(step, logs)
        if pending:
            now, waited = time.monotonic(), self.data_wait.seconds
            speed = self._speed(len(pending), now - self._clock, waited - self._waited)
            self.speed = speed['images_per_second']
            self._steps, self._seconds = (
                self._steps + len(pending),
                self._seconds + now - self._clock,
            )
            self._clock, self._waited = now, waited
            step, logs = pending[-1]
            scalars = {name: float(value) for name, value in logs.items()}
            if write:
                self._write(step + 1, scalars | {'learning_rate': float(self._rate(step))} | speed)
            self._progress.note(f'loss {scalars["loss"]:.3f}, {_speed_text(speed)}')

    def _speed(self, steps, seconds, waited):
        """Returns how fast steps were; `waited` is how long devices waited for data meanwhile."""
        speed = {
            'images_per_second': steps * self._batch_size / seconds,
            'data_wait_fraction': min(waited / seconds, 1.0),
        }
        if self._seconds_at_peak:
            speed['peak_fraction'] = steps * self._seconds_at_peak / seconds
        return speed

    def speeds(self) -> dict[str, float]:
        """Says how fast all steps were, evaluations left out, and returns it for the report.

        Of several processes the one counts whose devices waited for data longest. Without steps
        there is nothing to say.
        """
        if not self._steps:
            return {}
        waited = 1e-6 * int(processes.all_gather(round(1e6 * self.data_wait.seconds)).max())
        speed = self._speed(self._steps, self._seconds, waited)
        self.say(
            f'{self._steps} steps: {_speed_text(speed)}; compiled in {self._compile_seconds:.1f} s'
        )
        return {'compile_seconds': round(self._compile_seconds, 1), **speed}

    def _check(self, step, logs):
        """Stops at numbers that are not finite, but for those of an update that was left out."""
        wrong = {name: value for name, value in logs.items() if not np.isfinite(value)}
        for name, value in wrong.items():
            if not self._skip or 'parameter_norm' in wrong:
                raise FloatingPointError(f'the {name} of step {step} is {value}')
            self._progress.say(f'the {name} of step {step} is {value}: its update was left out')

    def _write(self, step, scalars):
        try:
            self._writer.write_scalars(step, scalars)
            self._writer.flush()
            copies.publish(self.folder)
        except Exception as error:  # TensorFlow and CLU raise many kinds
            raise InputError(
                f'{self.folder} cannot be written ({one_line(error, short=True)}); see that there '
                'is room and that the storage works, then give the same command again',
                path=self.folder,
            ) from error

    def metrics(self, step: int, metrics: Mapping[str, Any], shown: Sequence[str]) -> None:
        """Writes validation metrics, shows some in one line and restarts the speed's clock.

        Args:
            step: number of steps that were done.
            metrics: {name: number}.
            shown: names of those in the line, where there are any.

        Raises:
            InputError: TensorBoard's files cannot be written.
        """
        self._write(step, {f'validation/{name}': value for name, value in metrics.items()})
        self._progress.say(
            f'step {step}: validation '
            + ', '.join(
                f'{name} {reports.cell(metrics[name])}' for name in shown if name in metrics
            )
        )
        self._clock = time.monotonic()

    def __enter__(self) -> 'TrainLogger':
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self._progress.close()
        self.data_wait.close()
        # What ended the run says more than what writing raises again.
        with contextlib.suppress(*[Exception] if error else []):
            self._writer.close()
            copies.publish(self.folder)
        copies.drop(self.folder)


def _speed_text(speed: Mapping[str, float]) -> str:
    """Writes a speed for people.

    Example:
        >>> _speed_text({'images_per_second': 80, 'data_wait_fraction': 0.03, 'peak_fraction': 0.5})
        '80.0 images/s, 3 % of the time waiting for data, 50 % of peak'
    """
    text = (
        f'{speed["images_per_second"]:.1f} images/s, '
        f'{100 * speed["data_wait_fraction"]:.0f} % of the time waiting for data'
    )
    return text + (
        f', {100 * speed["peak_fraction"]:.0f} % of peak' if 'peak_fraction' in speed else ''
    )
