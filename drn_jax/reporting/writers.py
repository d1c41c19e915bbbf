"""What a training run writes down while it goes on: progress, losses, speed, TensorBoard."""

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from clu import metric_writers
from etils import epath

from drn_jax.errors import InputError, one_line
from drn_jax.reporting import progress, reports

FOLDER = 'tensorboard'
IN_FLIGHT = 2


class TrainLogger:
    """Collects the logs of steps and shows them at intervals.

    Logs stay on the device until `flush`. A step is not waited for before the next one starts, but
    before the one `IN_FLIGHT` later does, so that batches do not pile up on the device.

    Args:
        workdir: directory of the run; TensorBoard files go to `workdir/tensorboard`.
        batch_size: images a step, for the speed.
        rate: learning rate as a function of the step.
        first: number of steps that were done before.
        last: number of steps at the end.
        skip: whether updates by what is not finite are left out.

    Attributes:
        speed: images per second between the last two flushes, evaluations left out.
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
        self._folder = workdir / FOLDER
        self._writer = metric_writers.create_default_writer(
            self._folder, just_logging=jax.process_index() > 0
        )
        self._progress = progress.Progress(last, first)
        self._batch_size, self._rate = batch_size, rate
        self._pending: list[tuple[int, Any]] = []  # steps, and their logs on the device
        self.speed, self._skip = 0.0, skip
        self._clock = time.monotonic()

    def inputs(self, step: int, images: jax.Array) -> None:
        """Writes sample inputs, float32 [B, H, W, 3] in [0, 1], to TensorBoard."""
        self._writer.write_images(step, {'inputs': np.asarray(images)})

    def add(self, step: int, logs: Mapping[str, jax.Array]) -> None:
        """Takes the logs of the step that was just started, scalars on the device, one a `loss`."""
        self._pending.append((step, logs))
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
            now = time.monotonic()
            self.speed = len(pending) * self._batch_size / (now - self._clock)
            self._clock = now
            step, logs = pending[-1]
            scalars = {name: float(value) for name, value in logs.items()}
            scalars |= {'learning_rate': float(self._rate(step)), 'images_per_second': self.speed}
            if write:
                self._write(step + 1, scalars)
            self._progress.note(f'loss {scalars["loss"]:.3f}, {self.speed:.1f} images/s')

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
        except Exception as error:  # TensorFlow and CLU raise many kinds
            raise InputError(
                f'{self._folder} cannot be written ({one_line(error, short=True)}); see that there '
                'is room and that the storage works, then give the same command again',
                path=self._folder,
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
        # What ended the run says more than what writing raises again.
        with contextlib.suppress(*[Exception] if error else []):
            self._writer.close()
