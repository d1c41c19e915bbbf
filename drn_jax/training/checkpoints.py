"""The checkpoints that a run writes and goes on from."""
import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath
from orbax.checkpoint import checkpoint_managers

from drn_jax.errors import InputError
from drn_jax.training import configurations, loading
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
        InputError: a setting of `config.checkpoint` cannot be used.
    """

    def __init__(self, workdir, config):
        settings = config.checkpoint
        if settings.best_is not in ('lowest', 'highest') or settings.keep_last < 1:
            raise InputError(
                f'config.checkpoint has best_is {settings.best_is!r} and keep_last '
                f"{settings.keep_last}; use 'lowest' or 'highest', and keep at least 1")
        self.directory = epath.Path(workdir).resolve() / loading.FOLDER
        self._config = config
        lowest = settings.best_is == 'lowest'

        def quality(metrics):
            return metrics[settings.best_metric]

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
        """Saves a state in the background, with its validation metrics where it has some.

        Raises:
            InputError: the metrics lack the one that decides which is best.
        """
        best = self._config.checkpoint.best_metric
        if metrics is not None and best not in metrics:
            raise InputError(f'config.checkpoint.best_metric {best!r} is not measured; '
                             f'measured are {", ".join(metrics)}')
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
        items = self._manager.restore(step, args=ocp.args.Composite(
            variables=ocp.args.StandardRestore(wanted.variables),
            optimizer=ocp.args.StandardRestore(wanted.optimizer)))
        counter = jax.device_put(np.int32(step), state.step.sharding)
        return TrainState(counter, items['variables'], items['optimizer'])

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._manager.wait_until_finished()  # raises what a save in the background raised
        self._manager.close()


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
