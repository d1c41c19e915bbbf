"""The checkpoints that a run writes and goes on from."""

import contextlib
import math
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import ml_collections
import numpy as np
import orbax.checkpoint as ocp
from etils import epath

from drn_jax import buckets, copies, fields, files, paths
from drn_jax.checkpoints import locks, manifests, restore
from drn_jax.distributed import processes
from drn_jax.errors import InputError, Stopped, one_line
from drn_jax.reporting import progress

_COMMITTED = 'commit_success.txt'  # Orbax writes it last into a step
_FIRST = (manifests.FILE, _COMMITTED)  # a step without them was not finished
# One process writes a step: the state is the same in all of them.
_ALONE = ocp.options.MultiprocessingOptions(
    primary_host=0, active_processes={0}, barrier_sync_key_prefix='process_0'
)


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
        self.directory = paths.run_directory(workdir, '--workdir') / restore.FOLDER
        self._config = config
        self._lock: locks.Lock | None = None
        # Of the save in progress.
        self._saving: int | None = None  # its step
        self._thread: threading.Thread | None = None
        self._failure: tuple[int, Exception] | None = None  # step, and what went wrong
        with contextlib.ExitStack() as stack:
            if jax.process_index() == 0:
                self._lock = locks.acquire(self.directory.parent)
                stack.callback(self._lock.close)
                copies.local(self.directory).mkdir(parents=True, exist_ok=True)
                repair(self.directory)
            processes.wait_for_all('checkpoints')
            copies.fetch(self.directory, restore.LARGE).mkdir(parents=True, exist_ok=True)
            self._metrics = {  # of every finished step
                step: restore.read_metrics(path)
                for step, path in restore.steps(self.directory).items()
            }
            stack.pop_all()

    def latest_step(self) -> int | None:
        """Returns the newest finished step, or None."""
        return max(self._metrics, default=None)

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
        if 'optimizer' not in copies.folders(self.directory / str(step)):
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
        return self._metrics[step]

    def save(self, state: Any) -> None:
        """Saves a state in the background.

        Args:
            state: a `training.states.TrainState`.

        Raises:
            InputError: this save, or the one before, failed; the last good step is named.
        """
        self.wait()
        step = int(state.step)
        if jax.process_index() == 0:
            items = jax.device_get({name: getattr(state, name) for name in restore.LARGE})
            thread = threading.Thread(target=self._write, args=(step, items), name='save')
            thread.start()
            self._thread = thread  # not before: Ctrl-C may come while it starts
        self._saving = step

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
                files.write_json(copies.local(path) / restore.METRICS, metrics)
                manifests.add(path, restore.METRICS)
        processes.wait_for_all(f'metrics of step {step}')
        self._metrics[step] = metrics

    def wait(self) -> None:
        """Waits for the save in progress, as all processes do.

        Raises:
            InputError: it failed; the last good step is named.
        """
        self._join()
        if self._saving is not None:
            step, self._saving = self._saving, None
            processes.wait_for_all(f'step {step} is saved')
            known = {**self._metrics, step: None}
            self._metrics = {step: known[step] for step in self._kept(known)}

    def _join(self) -> None:
        """Waits for the thread that saves, and raises what went wrong there."""
        if self._thread:
            self._thread.join()
            self._thread = None
        if self._failure:
            (step, error), self._failure, self._saving = self._failure, None, None
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
        step = max(self._metrics)
        path = self.directory / str(step)
        restore.check_shapes(path, state.variables)
        wanted = jax.tree.map(ocp.utils.to_shape_dtype_struct, state)
        items = {
            name: restore.read_item(path, name, getattr(wanted, name)) for name in restore.LARGE
        }
        return state.replace(step=jax.device_put(np.int32(step), state.step.sharding), **items)

    def _write(self, step: int, items: Mapping[str, Any]) -> None:
        """Writes a step, in a thread, and removes those that need not stay."""
        try:
            path = self.directory / str(step)
            save_items(path, self._config, items)
            assert self._lock  # one process writes
            self._lock.check()
            manifests.write(path)
            for name in restore.LARGE:
                copies.drop(path / name)
            if not self._metrics:  # better told now than when the run goes on after days
                read_back(path, items)
            known = {**self._metrics, step: None}
            for old in known.keys() - self._kept(known):
                copies.remove(self.directory / str(old), _FIRST)
        except Exception as error:  # for `wait`, in the main thread
            self._failure = step, error

    def _kept(self, known: Mapping[int, Mapping[str, Any] | None]) -> set[int]:
        """Returns the steps that stay: the last ones, and the best of those that were evaluated."""
        keep = self._config.checkpoint
        sign = -1 if keep.best_is == 'lowest' else 1
        quality = {  # an earlier part of the run may have measured something else
            step: sign * metrics[keep.best_metric] if keep.best_metric in metrics else -math.inf
            for step, metrics in known.items()
            if metrics is not None
        }
        best = sorted(quality, key=lambda step: (quality[step], step), reverse=True)
        return {*sorted(known)[-keep.keep_last :], *best[: keep.keep_best]}

    @contextlib.contextmanager
    def _explain_failure(self, step: int) -> Iterator[None]:
        """Turns what storage raises into one sentence that says what is saved."""
        try:
            yield
        except Exception as error:  # Orbax and TensorStore raise many kinds
            if isinstance(error, InputError) and not isinstance(error, buckets.StorageError):
                raise
            good = self.latest_step()
            held = (
                f'step {good} is the last good one there'
                if good is not None
                else 'there is no other yet'
            )
            reason = one_line(error, short=True)
            if isinstance(error, buckets.StorageError):
                reason = str(error).partition('; ')[0]  # what to do follows
            raise InputError(
                f'step {step} could not be saved in {self.directory} ({reason}); {held}; '
                'see that there is room and that the storage works, then give the same command '
                'again',
                path=self.directory,
            ) from error

    def __enter__(self) -> 'Checkpoints':
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        try:
            self.finish(kind, error, trace)
        finally:
            copies.drop(self.directory)
            if self._lock:
                self._lock.close()

    def finish(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        """Waits for the save in progress as a context is left, perhaps by an error.

        Args:
            kind, error, trace: as `__exit__` takes them.

        Raises:
            InputError: the save failed, and no error but `Stopped` says more.
        """
        if error is None or isinstance(error, Stopped):
            self.wait()
        else:
            with contextlib.suppress(InputError):
                self._join()


def repair(directory: epath.Path) -> None:
    """Leaves only finished steps in a folder of checkpoints, the newest of them a good one.

    Steps that were not finished are removed: the process that wrote them was ended. A step
    whose files are not what its manifest says, or that has none, moves to `damaged`, beside the
    folder, and the one before is looked at. Of those before the first good one only the small
    files are looked at, configuration and metrics: opening the folder reads them all.

    Args:
        directory: the folder, `workdir/checkpoints`.

    Raises:
        buckets.StorageError: the storage refuses or does not answer; then all stays as it is.
    """
    here = copies.fetch(directory, restore.LARGE)
    for name in copies.folders(directory):
        path = directory / name
        unfinished = name.isdigit() and not manifests.exists(here / name)
        if '.orbax-checkpoint-tmp' in name or (
            unfinished and not (here / name / _COMMITTED).exists()
        ):
            progress.say(f'{path} was not finished: it is removed')
            copies.remove(path, _FIRST)
        elif unfinished:
            _set_aside(path, f'{manifests.FILE} is missing')
    good = False
    for _, path in sorted(restore.steps(directory).items(), reverse=True):
        problem = manifests.problem(path, without=restore.LARGE if good else ())
        if problem:
            _set_aside(path, problem)
        else:
            good = True


def _set_aside(path: epath.Path, problem: str) -> None:
    """Moves a step to `damaged`."""
    target = path.parent.parent / 'damaged' / path.name
    while copies.exists(target):
        target = target.with_name(target.name + '_')
    copies.move(path, target, _FIRST)
    progress.say(f'step {path.name} is damaged ({problem}): it was moved to {target}')


def save_items(
    path: epath.Path, config: ml_collections.ConfigDict, items: Mapping[str, Any]
) -> None:
    """Saves a step, or the local copy of one in Cloud Storage, without a manifest.

    Args:
        path: folder of the step; there is none yet.
        config: the configuration that describes the network.
        items: {'variables': tree of arrays, ...}.
    """
    options = ocp.CompositeOptions(multiprocessing_options=_ALONE)
    with ocp.Checkpointer(
        ocp.CompositeCheckpointHandler(composite_options=options), multiprocessing_options=_ALONE
    ) as checkpointer:
        checkpointer.save(
            copies.local(path),
            args=ocp.args.Composite(
                config=ocp.args.JsonSave(config.to_dict()),
                **{name: ocp.args.StandardSave(tree) for name, tree in items.items()},
            ),
        )


def read_back(path: epath.Path, items: Mapping[str, Any]) -> None:
    """Reads a step as a later process would, and compares it with what was written.

    Args:
        path: folder of the step.
        items: what `save_items` took.

    Raises:
        OSError: it is something else. What Orbax raises: it cannot be read.
    """
    if problem := manifests.problem(path):
        raise OSError(f'it was read back, and {problem}')
    for name, written in items.items():
        with ocp.Checkpointer(
            ocp.StandardCheckpointHandler(multiprocessing_options=_ALONE),
            multiprocessing_options=_ALONE,
        ) as checkpointer:
            read = checkpointer.restore(
                copies.local(path / name), args=ocp.args.StandardRestore(written)
            )
        copies.drop(path / name)
        same = jax.tree.map(lambda a, b: a.tobytes() == np.asarray(b).tobytes(), written, read)
        if not jax.tree.all(same):
            raise OSError(f'it was read back, and {name} is not what was written')


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
    empty = not buckets.is_cloud(path) and path.is_dir() and not any(path.iterdir())
    if copies.exists(path) and not empty:
        raise InputError(
            f'{directory} exists and is not an empty directory; name a new one', path=directory
        )
    place = path / restore.FOLDER / str(step)
    try:
        copies.local(place).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f'{directory} cannot be made: {error.strerror}', path=directory) from error
    save_items(place, config, {'variables': variables})
    manifests.write(place)
