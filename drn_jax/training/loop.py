"""The training loop: a state, then step, log, evaluate and save."""

import contextlib
import dataclasses
import time
from collections.abc import Callable
from typing import Any

import jax
import optax
from clu import parameter_overview
from etils import epath

from drn_jax import data, files, paths
from drn_jax.checkpoints import manager, restore, transfer
from drn_jax.distributed import memory, meshes, processes
from drn_jax.distributed.preemption import PreemptionGuard
from drn_jax.distributed.watchdog import Watchdog
from drn_jax.errors import InputError, Stopped
from drn_jax.experiments import Experiment
from drn_jax.reporting import profiles, progress, reports, writers
from drn_jax.training import evaluation, states, steps


def train(
    experiment: Experiment,
    workdir: epath.PathLike,
    command: str = '',
    seconds_at_peak: Callable[[jax.stages.Compiled], float | None] = lambda step: None,
) -> dict[str, int | float]:
    """Trains the network of an experiment, or goes on where an earlier run stopped.

    Args:
        experiment: what to train, on what, for how long.
        workdir: directory of the run, local or gs://. It receives `checkpoints/`, `tensorboard/`
            and, at the end, `report.json`.
        command: what was typed, for the report.
        seconds_at_peak: returns how long the compiled step would take at the peak of the devices,
            for the share of it that is reached; None where that is not known.

    Returns:
        The validation metrics of the last step, {name: number}.

    Raises:
        InputError: the directory holds another run, or the loss, a gradient or a parameter is not
            finite.
        Stopped: SIGTERM asked the run to end; its state is saved.
    """
    workdir, config = paths.run_directory(workdir, '--workdir'), experiment.config
    assert experiment.schedule  # it is one to train
    task, mesh, when = experiment.task, experiment.mesh, experiment.schedule.cadence
    rate = experiment.schedule.learning_rate
    optimizer = states.create_optimizer(config.optimizer, rate)
    initial_key, key = jax.random.split(jax.random.key(config.seed))

    with contextlib.ExitStack() as stack:
        watchdog = stack.enter_context(Watchdog(config.watchdog_seconds))
        saved = stack.enter_context(manager.Checkpoints(workdir, config))
        changes = saved.check_same_run()
        experiment = dataclasses.replace(experiment, remarks=(*experiment.remarks, *changes))
        stack.enter_context(
            memory.explain_out_of_memory(f'steps of {config.batch_size} images', memory.TRAIN)
        )
        state = first_state(experiment, saved, optimizer, initial_key)
        first = int(state.step)
        metrics = (saved.metrics(first) if first else None) or {}
        unmeasured = first and when.evaluates(first) and not metrics  # it ended before it was
        if first >= when.last and not unmeasured:
            progress.say(f'The run is complete: {first} of {when.last} steps are done.')
            return end_again(experiment, workdir, command, saved, metrics, first)
        images = training_batches(experiment, first)
        log_start(experiment, state)
        skip = config.optimizer.max_consecutive_nonfinite > 0
        step_function = steps.train_step(
            task, optimizer, mesh, skip=skip, compiler_options=config.compiler_options
        )
        look = steps.sample_inputs(task, mesh, config.data.mean, config.data.std)
        logger = stack.enter_context(
            writers.TrainLogger(workdir, config.batch_size, rate, first, when.last, skip)
        )
        batches = logger.data_wait.feed(
            meshes.prefetch_to_device(images, mesh, (*task.batch_keys, 'index'), rows=True)
        )
        run = range(first, when.last)
        profile = stack.enter_context(profiles.Profile(logger, config.profile_steps, run))
        guard = stack.enter_context(PreemptionGuard(watchdog))
        stack.push(saved.finish)  # a second SIGTERM ends no save, and one that hangs is noticed
        measure = measurer(experiment, saved, logger, guard)
        if unmeasured:
            metrics = measure(state)
        started = time.monotonic()
        for step in run:
            with jax.profiler.StepTraceAnnotation('train', step_num=step):
                batch = next(batches)
                if step == first:
                    logger.inputs(step, look(batch, key))
                    compiling = time.monotonic()
                    train_step = memory.compile_checked(step_function, state, batch, key)
                    logger.compiled(time.monotonic() - compiling, seconds_at_peak(train_step))
                    profile.at(step, state)
                state, logs = train_step(state, batch, key)
            logger.add(step, logs)
            profile.at(step + 1, state)

            done, stopping = step + 1, guard.should_stop(f'step {step}')
            if when.logs(done) or stopping or step == first:
                flush(logger, saved, write=when.logs(done))
            if when.saves(done) or stopping:
                saved.save(state)
            if stopping:
                raise Stopped
            if when.evaluates(done):
                metrics = measure(state)
        seconds = time.monotonic() - started
        saved.wait()
        write_report(
            experiment,
            workdir,
            command,
            metrics,
            step=when.last,
            first_step=first,
            seconds=round(seconds, 1),
            **logger.speeds(),
            unreadable_images=processes.all_gather_names(images.unreadable),
        )
        return log_result(experiment, workdir, saved, metrics)


def first_state(
    experiment: Experiment,
    saved: manager.Checkpoints,
    optimizer: optax.GradientTransformation,
    key: jax.Array,
) -> states.TrainState:
    """Returns the state to go on from: the newest saved one, or a new one.

    A new one takes the variables of `init_from`, where that is given.

    Args:
        experiment: what to train.
        saved: checkpoints of the run.
        optimizer: see `states.create_optimizer`.
        key: JAX random key of the initial parameters.

    Raises:
        InputError: a checkpoint holds another network.
    """
    state = states.initialize(
        experiment.task.model,
        optimizer,
        key,
        experiment.mesh,
        experiment.config.model.residual_scale,
    )
    if saved.latest_step() is not None:
        return saved.restore(state)
    if experiment.start is None:
        return state
    variables, found = transfer.start_from(experiment.start, state.variables)
    variant = restore.read_config(experiment.start).model.variant
    progress.say(f'starting from {experiment.config.init_from} ({variant}): {found}')
    return state.replace(variables=variables)


def end_again(
    experiment: Experiment,
    workdir: epath.Path,
    command: str,
    saved: manager.Checkpoints,
    metrics: dict[str, Any],
    step: int,
) -> dict[str, int | float]:
    """Shows what a complete run came to; its report is written where it was lost."""
    if not files.exists(workdir / 'report.json'):
        write_report(experiment, workdir, command, metrics, step=step)
    return log_result(experiment, workdir, saved, metrics)


def training_batches(experiment: Experiment, first: int) -> Any:
    """Returns the batches of this process, from a step on."""
    config = experiment.config
    return data.training_batches(
        experiment.source,
        config.data,
        batch_size=config.batch_size,
        seed=config.seed,
        first_step=first,
        rows=meshes.local_rows(config.batch_size, experiment.mesh),
    )


def measurer(
    experiment: Experiment,
    saved: manager.Checkpoints,
    logger: writers.TrainLogger,
    guard: PreemptionGuard,
) -> Callable[[states.TrainState], dict[str, Any]]:
    """Makes the function that evaluates a saved state, records its metrics and returns them.

    Args:
        experiment: what is evaluated, and on what.
        saved: checkpoints of the run; they keep the metrics.
        logger: shows the metrics.
        guard: may stop the run between two batches.

    Returns:
        A function (state) -> {name: number}; it raises Stopped where the run was asked to end.
    """
    evaluate = evaluation.evaluator(experiment)
    images = f'{experiment.config.evaluation.batch_size} images'

    def measure(state):
        with memory.explain_out_of_memory(images, memory.EVALUATE):
            metrics = evaluate(state.variables, guard.watch).metrics
        step = int(state.step)
        logger.metrics(step, metrics, ('examples', *experiment.task.metrics))
        saved.add_metrics(step, metrics)
        return metrics

    return measure


def log_start(experiment: Experiment, state: states.TrainState) -> None:
    """Says what is trained, on what, and from where."""
    assert experiment.schedule  # it is one to train
    config, source, first = experiment.config, experiment.source, int(state.step)
    validation = source.num_examples(config.data.validation_split)
    progress.say(
        parameter_overview.get_parameter_overview(state.variables['params'], include_stats=False),
        f'{config.model.variant}, width {config.model.width:g}, {config.model.dtype}, on '
        f'{experiment.mesh.devices.size} x {jax.devices()[0].device_kind}',
        f'{source.name}: {experiment.schedule.examples:,} training and {validation:,} validation '
        f'images, {source.num_classes} classes',
        f'{"resuming at" if first else "starting at"} step {first} of '
        f'{experiment.schedule.cadence.last}, {config.batch_size} images a step',
        *[f'warning: {remark}' for remark in experiment.remarks],
    )


def flush(logger: writers.TrainLogger, saved: manager.Checkpoints, write: bool) -> None:
    """Shows the logs so far, and stops the run where a number in them is not finite.

    Args:
        logger: has the logs.
        saved: checkpoints of the run.
        write: whether TensorBoard gets them too.

    Raises:
        InputError: it is not; the step and the last good checkpoint are named.
    """
    try:
        logger.flush(write)
    except FloatingPointError as error:
        with contextlib.suppress(InputError):  # a save that fails is not the last good one
            saved.wait()
        good = saved.latest_step()
        where = (
            'there is no checkpoint yet; start again with'
            if good is None
            else (
                f'the last good checkpoint is step {good} in {saved.directory}; start from it, '
                f'with --config.init_from={saved.directory / str(good)}, another --workdir and'
            )
        )
        raise InputError(
            f'{error}; {where} a lower config.optimizer.learning_rate or a longer '
            'config.optimizer.warmup_epochs',
            field='config.optimizer.learning_rate',
            path=saved.directory,
        ) from error


def write_report(
    experiment: Experiment,
    workdir: epath.Path,
    command: str,
    metrics: dict[str, Any],
    **training: Any,
) -> None:
    """Writes report.json of a run that is done; `training` is what it says of the training."""
    assert experiment.schedule  # it is one to train
    config = experiment.config
    reports.write_report(
        workdir,
        command=command,
        config=config,
        data={
            'name': experiment.source.name,
            'train_split': config.data.train_split,
            'train_examples': experiment.schedule.examples,
            'split': config.data.validation_split,
        },
        metrics=metrics,
        published=experiment.published(),
        training=training,
        remarks=experiment.remarks,
    )


def log_result(
    experiment: Experiment,
    workdir: epath.Path,
    saved: manager.Checkpoints,
    metrics: dict[str, Any],
) -> dict[str, Any]:
    """Shows the metrics of a run, says where everything lies, and returns the metrics."""
    progress.say(
        reports.table(metrics, experiment.published()),
        f'checkpoints: {saved.directory}',
        f'report:      {workdir / "report.json"}',
        f'TensorBoard: tensorboard --logdir {workdir / writers.FOLDER}',
    )
    return metrics
