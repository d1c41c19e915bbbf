"""The training loop: set up, then step, log, evaluate and save."""

import contextlib
import time

import jax
from clu import parameter_overview

from drn_jax import data, paths
from drn_jax.checkpoints import manager, restore, transfer
from drn_jax.distributed import memory, meshes, preemption, processes
from drn_jax.errors import InputError, Stopped
from drn_jax.published import published
from drn_jax.reporting import progress, reports, writers
from drn_jax.training import configurations, evaluation, schedules, setups, states, steps


def train(config, workdir, command=''):
    """Trains the network of a configuration, or goes on where an earlier run stopped.

    Args:
        config: the configuration, as `drn_jax.recipes` declares it.
        workdir: directory of the run, local or gs://. It receives `checkpoints/`, `tensorboard/`
            and, at the end, `report.json`.
        command: what was typed, for the report.

    Returns:
        The validation metrics of the last step.

    Raises:
        InputError: a setting cannot be used, or the loss, a gradient or a parameter is not finite.
        Stopped: SIGTERM asked the run to end; its state is saved.
    """
    workdir = paths.directory(workdir, '--workdir')
    check_shares(config)
    if config.init_from:
        restore.find(config.init_from)  # raises now, not after hours of preparing data
    setup = setups.set_up(config)
    task, mesh = setup.task, setup.mesh
    if config.checkpoint.best_metric not in task.metrics:
        raise InputError(
            f'config.checkpoint.best_metric {config.checkpoint.best_metric!r} is not '
            f'measured; measured are {", ".join(task.metrics)}'
        )
    examples, _ = map(
        setup.source.num_examples,  # raises now, not after compiling
        (config.data.train_split, config.data.validation_split),
    )
    when, rate = schedules.cadence(config, examples), schedules.learning_rate(config, examples)
    optimizer = states.create_optimizer(config, rate)
    initial_key, key = jax.random.split(jax.random.key(config.seed))

    with contextlib.ExitStack() as stack:
        saved = stack.enter_context(manager.Checkpoints(workdir, config))
        saved.check_same_run()
        stack.enter_context(
            memory.explain_out_of_memory(f'steps of {config.batch_size} images', memory.TRAIN)
        )
        state = states.initialize(task.model, optimizer, initial_key, mesh)
        if saved.latest_step() is not None:
            state = saved.restore(state)
        elif config.init_from:
            state = start_from(config.init_from, state)
        first = int(state.step)
        metrics = saved.metrics(first) if first else None
        unmeasured = first and when.evaluates(first) and metrics is None  # it ended before it was
        if first >= when.last and not unmeasured:
            progress.say(f'The run is complete: {first} of {when.last} steps are done.')
            if not (workdir / 'report.json').exists():
                write_report(config, workdir, command, setup, metrics or {}, {'step': first})
            return log_result(config, workdir, saved, metrics or {})
        images = data.training_batches(
            setup.source,
            config.data,
            batch_size=config.batch_size,
            seed=config.seed,
            first_step=first,
            rows=meshes.local_rows(config.batch_size, mesh),
        )
        skip = config.optimizer.max_consecutive_nonfinite > 0
        train_step = steps.train_step(task, optimizer, mesh, skip=skip)
        log_start(config, setup, state, first, when.last)
        batches = meshes.prefetch_to_device(images, mesh, (*task.batch_keys, 'index'), rows=True)
        recorder = stack.enter_context(
            writers.TrainLogger(workdir, config.batch_size, rate, first, when.last, skip)
        )
        guard = stack.enter_context(preemption.PreemptionGuard(config.watchdog_seconds))
        stack.push(saved.finish)  # a second SIGTERM ends no save, and one that hangs is noticed
        measure = measurer(config, setup, saved, recorder, guard)
        if unmeasured:
            metrics = measure(state)
        started = time.monotonic()
        for step in range(first, when.last):
            batch = next(batches)
            if step == first:
                look = steps.sample_inputs(task, mesh, config.data.mean, config.data.std)
                recorder.inputs(step, look(batch, key))
                train_step = memory.compile_checked(train_step, state, batch, key)
            state, logs = train_step(state, batch, key)
            recorder.add(step, logs)

            done, stopping = step + 1, guard.should_stop(f'step {step}')
            if when.logs(done) or stopping or step == first:
                flush(recorder, saved, write=when.logs(done))
            if when.saves(done) or stopping:
                saved.save(state)
            if stopping:
                raise Stopped
            if when.evaluates(done):
                metrics = measure(state)
        seconds = time.monotonic() - started
        saved.wait()
        write_report(
            config,
            workdir,
            command,
            setup,
            metrics,
            {
                'step': when.last,
                'first_step': first,
                'seconds': round(seconds, 1),
                'unreadable_images': processes.all_gather_names(images.unreadable),
            },
        )
        return log_result(config, workdir, saved, metrics)


def measurer(config, setup, saved, recorder, guard):
    """Returns the function that evaluates a saved state, records its metrics and gives them."""
    evaluate = evaluation.evaluator(config, setup)

    def measure(state):
        with memory.explain_out_of_memory(
            f'{config.evaluation.batch_size} images', memory.EVALUATE
        ):
            metrics = evaluate(state.variables, guard.watch).metrics
        step = int(state.step)
        recorder.metrics(step, metrics, ('examples', *setup.task.metrics))
        saved.add_metrics(step, metrics)
        return metrics

    return measure


def check_shares(config):
    """Refuses batches, and rows of images, that devices do not divide or memory cannot hold."""
    mesh = meshes.create_mesh(config.mesh.devices, config.mesh.spatial)
    meshes.check_batch_size(config.batch_size, mesh.shape[meshes.DATA])
    processes.check_shards(config.data.shards)
    rows = config.data.crop_px if 'crop_px' in config.data else config.data.image_size
    memory.check_batches(config.batch_size // jax.process_count(), rows)
    if config.mesh.spatial > 1:
        meshes.check_rows(rows, config.mesh.spatial, configurations.model_of(config).table.stride)


def start_from(directory, state):
    """Takes the variables of a checkpoint into the state before the first step."""
    variables, found = transfer.start_from(directory, state.variables)
    variant = restore.read_config(restore.find(directory)).model.variant
    progress.say(f'starting from {directory} ({variant}): {found}')
    return state.replace(variables=variables)


def log_start(config, setup, state, first, last):
    """Says what is trained, on what, and from where."""
    source, splits = setup.source, (config.data.train_split, config.data.validation_split)
    training, validation = map(source.num_examples, splits)
    progress.say(
        parameter_overview.get_parameter_overview(state.variables['params'], include_stats=False),
        f'{config.model.variant}, width {config.model.width:g}, {config.model.dtype}, on '
        f'{setup.mesh.devices.size} x {jax.devices()[0].device_kind}',
        f'{source.name}: {training:,} training and {validation:,} validation images, '
        f'{source.num_classes} classes',
        f'{"resuming at" if first else "starting at"} step {first} of {last}, '
        f'{config.batch_size} images a step',
    )


def flush(recorder, saved, write):
    """Shows the logs so far, and stops the run where a number in them is not finite.

    Raises:
        InputError: it is not; the step and the last good checkpoint are named.
    """
    try:
        recorder.flush(write)
    except FloatingPointError as error:
        with contextlib.suppress(InputError):  # a save that fails is not the last good one
            saved.wait()
        good = saved.latest_step()
        where = (
            'there is no checkpoint yet; start again with'
            if good is None
            else (
                f'the last good checkpoint is step {good} in {saved.directory}; start from it, with '
                f'--config.init_from={saved.directory / str(good)}, another --workdir and'
            )
        )
        raise InputError(
            f'{error}; {where} a lower config.optimizer.learning_rate or a longer '
            'config.optimizer.warmup_epochs'
        ) from error


def write_report(config, workdir, command, setup, metrics, training):
    """Writes report.json of a run that is done."""
    data_section = {
        'name': setup.source.name,
        'train_split': config.data.train_split,
        'train_examples': setup.source.num_examples(config.data.train_split),
        'split': config.data.validation_split,
    }
    reports.write_report(
        workdir,
        command=command,
        config=config,
        data=data_section,
        metrics=metrics,
        published=published(config),
        training=training,
    )


def log_result(config, workdir, saved, metrics):
    """Shows the result and says where everything lies."""
    progress.say(
        reports.table(metrics, published(config)),
        f'checkpoints: {saved.directory}',
        f'report:      {workdir / "report.json"}',
        f'TensorBoard: tensorboard --logdir {workdir / writers.FOLDER}',
    )
    return metrics
