"""The checkpoints that a run writes and goes on from."""
import fcntl
import math

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath
from orbax.checkpoint import checkpoint_managers

from drn_jax.errors import InputError
from drn_jax.training import configurations, loading, processes
from drn_jax.training.states import TrainState


class Checkpoints:
    """The checkpoints of one run, in `workdir/checkpoints/<step>`.

    Every step holds the items `variables` (parameters and batch statistics), `optimizer` and
    `config`, so the network can be rebuilt from it alone. Saving goes on in the background. The
    last `keep_last` steps stay, and the `keep_best` by `best_metric`. Leaving the context waits
    for what is being saved.

    Args:
        workdir: directory of the run.
        config: its configuration.

    Raises:
        InputError: the directory cannot be written, or another process is training in it.
    """

    def __init__(self, workdir, config):
        settings, lowest = config.checkpoint, config.checkpoint.best_is == 'lowest'
        self.directory = epath.Path(workdir).resolve() / loading.FOLDER
        self._config, self._lock = config, _lock(self.directory)

        def quality(metrics):  # an earlier part of the run may have measured something else
            return metrics.get(settings.best_metric, math.inf if lowest else -math.inf)

        self._manager = ocp.CheckpointManager(
            self.directory,
            options=ocp.CheckpointManagerOptions(
                best_fn=quality, best_mode='min' if lowest else 'max',
                preservation_policy=checkpoint_managers.AnyPreservationPolicy([
                    checkpoint_managers.LatestN(settings.keep_last),
                    checkpoint_managers.BestN(get_metric_fn=quality, reverse=lowest,
                                              n=settings.keep_best,
                                              keep_checkpoints_without_metrics=False)])))

    def latest_step(self):
        """Gives the newest step, or None."""
        return self._manager.latest_step()

    def check_same_run(self):
        """Refuses to go on from a checkpoint that was made under other settings.

        Raises:
            InputError: settings that change results differ; they are listed. Or the checkpoint
                holds weights alone, as `save_variables` writes them.
        """
        step = self.latest_step()
        if step is not None:
            if not (self.directory / str(step) / 'optimizer').exists():
                raise InputError(f'{self.directory.parent} holds weights and no run to go on with; '
                                 'name it with --config.init_from, and another --workdir')
            stored = loading.read_config(self.directory / str(step))
            configurations.check_same_run(self.directory.parent, stored, self._config)

    def metrics(self, step):
        """Gives the metrics saved with a step, or None."""
        return self._manager.metrics(step)

    def save(self, state, metrics=None):
        """Saves a state in the background, with its validation metrics where it has some."""
        self._manager.save(int(state.step), metrics=metrics, args=ocp.args.Composite(
            variables=ocp.args.StandardSave(state.variables),
            optimizer=ocp.args.StandardSave(state.optimizer),
            config=ocp.args.JsonSave(self._config.to_dict())))

    def restore(self, state):
        """Gives the newest state, laid out as `state` is.

        Raises:
            InputError: it has other parameters; they are listed.
        """
        step = self.latest_step()
        loading.check_shapes(self.directory / str(step), state.variables)
        wanted = jax.tree.map(ocp.utils.to_shape_dtype_struct, state)
        with loading.named_if_damaged(self.directory / str(step)):
            items = self._manager.restore(step, args=ocp.args.Composite(
                variables=ocp.args.StandardRestore(wanted.variables),
                optimizer=ocp.args.StandardRestore(wanted.optimizer)))
        counter = jax.device_put(np.int32(step), state.step.sharding)
        return TrainState(counter, items['variables'], items['optimizer'])

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        # Without the others, which may have ended, a save in the background would never finish.
        if jax.process_count() == 1 or not processes.of_runtime(error):
            self._manager.wait_until_finished()  # raises what a save in the background raised
            self._manager.close()
        if self._lock:
            self._lock.close()


def _lock(directory):
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
        raise InputError(f'{directory.parent} is in use by another run; wait for it, stop it, or '
                         'give another --workdir') from error
    except OSError as error:
        raise InputError(f'{directory.parent} cannot be written ({error.strerror}); give another '
                         '--workdir') from error


def save_variables(directory, config, variables, step=0):
    """Saves variables that no run has trained, so that `loading.load` rebuilds the network.

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
    path = epath.Path(directory).resolve()
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise InputError(f'{directory} exists and is not an empty directory; name a new one')
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f'{directory} cannot be made: {error.strerror}') from error
    options = ocp.CheckpointManagerOptions(enable_async_checkpointing=False)
    with ocp.CheckpointManager(path / loading.FOLDER, options=options) as manager:
        manager.save(step, args=ocp.args.Composite(
            variables=ocp.args.StandardSave(variables),
            config=ocp.args.JsonSave(config.to_dict())))
