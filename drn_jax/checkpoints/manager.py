"""The checkpoints that a run writes and goes on from."""

import contextlib
import fcntl
import math
import threading
from collections.abc import Iterator
from typing import IO, Any

import jax
import ml_collections
import numpy as np
import orbax.checkpoint as ocp
from etils import epath
from orbax.checkpoint import checkpoint_managers

from drn_jax import fields, files, paths
from drn_jax.checkpoints import manifests, restore
from drn_jax.distributed import processes
from drn_jax.errors import InputError, Stopped, one_line
from drn_jax.reporting import progress

_LARGE = ('variables', 'optimizer')  # items of a step whose files are large
_COMMITTED = 'commit_success.txt'  # Orbax writes it last into a step


class Checkpoints:
    """The checkpoints of one run, in `workdir/checkpoints/<step>`.

    Every step holds the items `variables` (parameters and batch statistics), `optimizer`, `config`
    and, once it has been evaluated, `metrics`, so the network can be rebuilt from it alone. Saving
    goes on in the background and ends with the step's manifest (`manifests`). The last `keep_last`
    steps stay, and the `keep_best` by `best_metric`. Leaving the context waits for what is being
    saved.

    Opening removes what an earlier process left unfinished and moves damaged steps to
    `workdir/damaged`, so that the newest step is a good one (`repair`); it says so.

    Args:
        workdir: directory of the run.
        config: its configuration.

    Attributes:
        directory: the folder of the steps.

    Raises:
        InputError: the directory cannot be written, or another process is training in it.

    Example:
        with Checkpoints('runs/mine', config) as saved:
            saved.save(state)
            saved.add_metrics(int(state.step), {'top1_error': 0.25})
    """

    def __init__(self, workdir: epath.PathLike, config: ml_collections.ConfigDict):
        keep, lowest = config.checkpoint, config.checkpoint.best_is == 'lowest'
        self.directory = paths.run_directory(workdir, '--workdir') / restore.FOLDER
        self._config, self._lock = config, _lock(self.directory)
        # Of the save in progress.
        self._finishing: threading.Thread | None = None
        self._failure: tuple[int, Exception] | None = None  # step, and what went wrong
        if jax.process_index() == 0:
            repair(self.directory)
        processes.wait_for_all('checkpoints')

        def quality(metrics):  # an earlier part of the run may have measured something else
            return metrics.get(keep.best_metric, math.inf if lowest else -math.inf)

        self._manager = ocp.CheckpointManager(
            self.directory,
            options=ocp.CheckpointManagerOptions(
                best_fn=quality,
                best_mode='min' if lowest else 'max',
                preservation_policy=checkpoint_managers.AnyPreservationPolicy(
                    [
                        checkpoint_managers.LatestN(keep.keep_last),
                        checkpoint_managers.BestN(
                            get_metric_fn=quality,
                            reverse=lowest,
                            n=keep.keep_best,
                            keep_checkpoints_without_metrics=False,
                        ),
                    ]
                ),
            ),
        )

    def latest_step(self) -> int | None:
        """Returns the newest finished step, or None."""
        return max(restore.steps(self.directory), default=None)

    def check_same_run(self) -> list[str]:
        """Refuses to go on from a checkpoint of another run.

        Returns:
            What has changed in the training images since the run began, sentences without ends.

        Raises:
            InputError: fields that change results differ, see `fields.check_same_run`. Or the
                checkpoint holds weights alone, as `save_variables` writes them.
        """
        step = self.latest_step()
        if step is None:
            return []
        if not (self.directory / str(step) / 'optimizer').exists():
            raise InputError(
                f'{self.directory.parent} holds weights and no run to go on with; '
                'name it with --config.init_from, and another --workdir',
                path=self.directory.parent,
            )
        stored = restore.read_config(self.directory / str(step))
        fields.check_same_run(self.directory.parent, stored, self._config)
        began, now = stored.data.fingerprint, self._config.data.fingerprint
        if began in ('', now):
            return []
        # What is saved from here on says, too, what the run began with.
        self._config = ml_collections.ConfigDict(self._config.to_dict())
        self._config.data.fingerprint = began
        return [
            f'the training images have changed since the run began (then {began}; now {now}), so '
            'batches are not those of a run without a stop'
        ]

    def metrics(self, step: int) -> dict[str, Any] | None:
        """Returns the metrics of a step, or None where it has not been evaluated."""
        return restore.read_metrics(self.directory / str(step))

    def save(self, state: Any) -> None:
        """Saves a state in the background.

        Args:
            state: a `training.states.TrainState`.

        Raises:
            InputError: this save, or the one before, failed; the last good step is named.
        """
        self.wait()
        step = int(state.step)
        with self._explain_failure(step):
            self._manager.save(
                step,
                args=ocp.args.Composite(
                    variables=ocp.args.StandardSave(state.variables),
                    optimizer=ocp.args.StandardSave(state.optimizer),
                    config=ocp.args.JsonSave(self._config.to_dict()),
                ),
            )
        finishing = threading.Thread(target=self._finish, args=(step,), name='finish_save')
        finishing.start()
        self._finishing = finishing  # not before: Ctrl-C may come while it starts

    def add_metrics(self, step: int, metrics: dict[str, Any]) -> None:
        """Adds validation metrics to a step that has been saved.

        Args:
            step: the step.
            metrics: {name: number}.

        Raises:
            InputError: the step could not be saved, or its metrics cannot.
        """
        self.wait()
        with self._explain_failure(step):
            if jax.process_index() == 0:
                path = self.directory / str(step)
                files.write_json(path / restore.METRICS, metrics)
                manifests.write(path)
        processes.wait_for_all(f'metrics of step {step}')
        self._manager.reload()  # it keeps the best steps

    def wait(self) -> None:
        """Waits for the save in progress.

        Raises:
            InputError: it failed; the last good step is named.
        """
        if self._finishing:
            self._finishing.join()
            self._finishing = None
        if self._failure:
            (step, error), self._failure = self._failure, None
            with self._explain_failure(step):
                raise error

    def restore(self, state: Any) -> Any:
        """Reads the newest state.

        Args:
            state: a `training.states.TrainState` of the same shapes, laid out as is wanted.

        Returns:
            A `TrainState`.

        Raises:
            InputError: the saved one has other parameters, which are listed, or cannot be read.
        """
        step, path = max(restore.steps(self.directory).items())
        restore.check_shapes(path, state.variables)
        wanted = jax.tree.map(ocp.utils.to_shape_dtype_struct, state)
        with restore.named_if_damaged(path):
            items = self._manager.restore(
                step,
                args=ocp.args.Composite(
                    variables=ocp.args.StandardRestore(wanted.variables),
                    optimizer=ocp.args.StandardRestore(wanted.optimizer),
                ),
            )
        counter = jax.device_put(np.int32(step), state.step.sharding)
        return state.replace(
            step=counter, variables=items['variables'], optimizer=items['optimizer']
        )

    def _finish(self, step: int) -> None:
        """Waits, in a thread, until a step is committed, and writes its manifest."""
        try:
            self._manager.wait_until_finished()
            if jax.process_index() == 0:
                manifests.write(self.directory / str(step))
        except Exception as error:  # for `wait`, in the main thread
            self._failure = step, error

    @contextlib.contextmanager
    def _explain_failure(self, step: int) -> Iterator[None]:
        """Turns what storage raises into one sentence that says what is saved."""
        try:
            yield
        except InputError:
            raise
        except Exception as error:  # Orbax and TensorStore raise many kinds
            if jax.process_count() > 1 and processes.is_runtime_error(error):
                raise  # another process has ended
            good = None
            with contextlib.suppress(OSError):  # the directory may be gone
                good = self.latest_step()
            held = (
                f'step {good} is the last good one there'
                if good is not None
                else ('there is no other yet')
            )
            raise InputError(
                f'step {step} could not be saved in {self.directory} '
                f'({one_line(error, short=True)}); {held}; see that there is room and that the '
                'storage works, then give the same command again',
                path=self.directory,
            ) from error

    def __enter__(self) -> 'Checkpoints':
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        try:
            self.finish(kind, error, trace)
        finally:
            if _others_are_there(error):
                with contextlib.suppress(Exception):  # what a failed save raises again
                    self._manager.close()
            if self._lock:
                self._lock.close()

    def finish(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        """Waits for the save in progress as a context is left, perhaps by an error.

        Args:
            kind, error, trace: as `__exit__` takes them.

        Raises:
            InputError: the save failed, and no error but `Stopped` says more.
        """
        if _others_are_there(error):
            try:
                self.wait()
            except InputError:
                if error is None or isinstance(error, Stopped):
                    raise


def _others_are_there(error: BaseException | None) -> bool:
    """Returns whether a save in the background can finish, which takes all processes."""
    return jax.process_count() == 1 or not processes.is_runtime_error(error)


def repair(directory: epath.Path) -> None:
    """Leaves only finished steps in a folder of checkpoints, the newest of them a good one.

    Steps that Orbax did not finish are removed: the process that wrote them was ended. A step
    whose files are not what its manifest says, or that has none, moves to `damaged`, beside the
    folder, and the one before is looked at. Of those before the first good one only the small
    files are looked at, configuration and metrics: opening the folder reads them all.

    Args:
        directory: the folder, `workdir/checkpoints`.
    """
    for path in sorted(directory.iterdir()):
        if '.orbax-checkpoint-tmp' in path.name or (
            _is_unfinished(path) and not (path / _COMMITTED).exists()
        ):
            progress.say(f'{path} was not finished: it is removed')
            path.rmtree()
        elif _is_unfinished(path):
            _set_aside(path, f'{manifests.FILE} is missing')
    good = False
    for _, path in sorted(restore.steps(directory).items(), reverse=True):
        problem = manifests.problem(path, without=_LARGE if good else ())
        if problem:
            _set_aside(path, problem)
        else:
            good = True


def _is_unfinished(path: epath.Path) -> bool:
    """Returns whether a path is the folder of a step without a manifest."""
    return path.name.isdigit() and path.is_dir() and not manifests.exists(path)


def _set_aside(path: epath.Path, problem: str) -> None:
    """Moves a step to `damaged`."""
    target = path.parent.parent / 'damaged' / path.name
    while target.exists():
        target = target.with_name(target.name + '_')
    target.parent.mkdir(parents=True, exist_ok=True)
    path.rename(target)
    progress.say(f'step {path.name} is damaged ({problem}): it was moved to {target}')


def _lock(directory: epath.Path) -> IO[str] | None:
    """Makes a directory and keeps other runs out of it for as long as this process lives.

    Only local directories have locks.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if '://' in str(directory) or jax.process_index() > 0:
            return None
        file = open(directory.parent / 'lock', 'w')
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            raise
        return file
    except BlockingIOError as error:
        raise InputError(
            f'{directory.parent} is in use by another run; wait for it, stop it, or '
            'give another --workdir',
            path=directory.parent,
        ) from error
    except OSError as error:
        raise InputError(
            f'{directory.parent} cannot be written ({error.strerror}); give another --workdir',
            path=directory.parent,
        ) from error


def save_variables(
    directory: epath.PathLike, config: ml_collections.ConfigDict, variables: Any, step: int = 0
) -> None:
    """Saves variables that no run has trained, so that `drn_jax.load` rebuilds the network.

    Writes `directory/checkpoints/<step>` as a run does, without the item `optimizer`.

    Args:
        directory: where; made if needed.
        config: a configuration whose `model` and `task` describe the network.
        variables: {'params', 'batch_stats'}.
        step: the step to save them as.

    Raises:
        InputError: the directory cannot be made, or it holds something already; then it is left
            as it was.
    """
    path = paths.run_directory(directory)
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise InputError(
            f'{directory} exists and is not an empty directory; name a new one', path=directory
        )
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f'{directory} cannot be made: {error.strerror}', path=directory) from error
    options = ocp.CheckpointManagerOptions(enable_async_checkpointing=False)
    with ocp.CheckpointManager(path / restore.FOLDER, options=options) as manager:
        manager.save(
            step,
            args=ocp.args.Composite(
                variables=ocp.args.StandardSave(variables),
                config=ocp.args.JsonSave(config.to_dict()),
            ),
        )
    manifests.write(path / restore.FOLDER / str(step))
