"""A trace of some steps of a run, which TensorBoard and xprof show."""

import contextlib
import importlib.util
import os
import pathlib
import tempfile
import time
from collections.abc import Sequence
from typing import Any, cast

import jax

from drn_jax import files
from drn_jax.errors import InputError, one_line
from drn_jax.reporting.writers import TrainLogger


class Profile:
    """Traces the first process and its devices from one step of a run to another.

    The trace begins and ends with nothing under way, so what it shows of a device are its steps.
    A run that ends with an exception before it ends writes none.

    Args:
        logger: shows lines, and leaves out of its speed how long writing takes.
        steps: numbers of steps done at which it begins and ends, `config.profile_steps`.
        run: the steps that there are.

    Raises:
        InputError: there is a profiler of TPUs and no TPU.
    """

    def __init__(self, logger: TrainLogger, steps: Sequence[int], run: range):
        self._logger = logger
        self._begin, self._end = max(steps[0], run.start), min(steps[1], run.stop)
        self._local: tempfile.TemporaryDirectory | None = None
        if 0 < self._end <= run.start:
            logger.say(
                f'no trace: the run goes on at step {run.start}, after config.profile_steps {steps}'
            )
        elif self._end:
            _check_profilers()

    def at(self, done: int, state: Any) -> None:
        """Begins or ends the trace, if it is time.

        Args:
            done: number of steps that were started.
            state: arrays that are there when these have ended.

        Raises:
            InputError: the trace cannot be written.
        """
        if jax.process_index() or not self._begin < self._end:
            return
        if done == self._begin:
            jax.block_until_ready(state)
            options = jax.profiler.ProfileOptions()
            options.python_tracer_level = 0  # it makes steps slow and traces large
            self._local = tempfile.TemporaryDirectory()
            jax.profiler.start_trace(self._local.name, profiler_options=options)
        elif done == self._end:
            jax.block_until_ready(state)
            self._write(done)

    def _write(self, done: int) -> None:
        start = time.monotonic()
        assert self._local  # it has begun
        with self._local as local:
            self._local = None
            try:
                jax.profiler.stop_trace()  # its own files cannot be written to a bucket
                for file in pathlib.Path(local).rglob('*.*'):
                    path = self._logger.folder / os.path.relpath(file, local)
                    with files.replacing(path) as partial:
                        partial.write_bytes(file.read_bytes())
            except Exception as error:  # of XLA, the system and the storage
                raise InputError(
                    f'the trace of steps cannot be written to {self._logger.folder} '
                    f'({one_line(error, short=True)}); see that there is room and that the storage '
                    'works, or go on without config.profile_steps',
                    field='config.profile_steps',
                    path=self._logger.folder,
                ) from error
        self._logger.leave_out(time.monotonic() - start)
        self._logger.say(f'trace of steps {self._begin} to {done - 1}: {path.parent}')

    def __enter__(self) -> 'Profile':
        return self

    def __exit__(self, *exception: object) -> None:
        if self._local:
            with self._local, contextlib.suppress(Exception):  # what ended the run says more
                jax.profiler.stop_trace()


def _check_profilers() -> None:
    """Refuses to trace where JAX has looked for TPUs in vain.

    It has loaded libtpu's profiler then, which ends the process where it does not fit this JAX.
    """
    platform, config = jax.default_backend(), cast(Any, jax.config)
    if platform != 'tpu' and not config.jax_platforms and importlib.util.find_spec('libtpu'):
        raise InputError(
            'config.profile_steps asks for a trace, but libtpu is installed and there is no TPU, '
            f'where profiling can crash; set JAX_PLATFORMS={platform} in the environment, or leave '
            'out config.profile_steps',
            field='config.profile_steps',
        )
