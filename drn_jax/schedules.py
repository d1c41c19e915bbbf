"""The learning rate as a function of the step, and when a run evaluates, saves and logs."""

import collections
from typing import NamedTuple

import jax.numpy as jnp
import ml_collections
import optax

from drn_jax.errors import InputError


def total_steps(config: ml_collections.ConfigDict, examples: int) -> int:
    """Returns the number of steps of a run: `config.steps`, or `config.epochs` over the examples.

    Args:
        config: the configuration of the run.
        examples: images in one epoch.

    Raises:
        InputError: there would be none.

    Example:
        >>> from drn_jax import recipes
        >>> total_steps(recipes.classification(), 1_281_167)
        600547
    """
    steps = config.steps or int(config.epochs * examples / config.batch_size)
    if steps < 1:
        raise InputError(
            f'config.epochs {config.epochs} and config.steps {config.steps} make '
            f'{steps} steps of {config.batch_size} images from {examples} examples; '
            'at least one is needed',
            field='config.epochs',
        )
    return steps


def learning_rate(config: ml_collections.ConfigDict, examples: int) -> optax.Schedule:
    """Returns the learning rate as a function of the step.

    The rate of a batch is `learning_rate * batch_size / base_batch_size`. It rises from 0 over
    `warmup_epochs`; then 'steps' multiplies it with `decay_factor` at each of `decay_epochs`,
    'cosine' lets it fall to 0 at the last step, 'poly' multiplies it with
    (1 - epoch / epochs) ** `poly_power`, whole epochs and counted after the warm-up, and 'constant'
    keeps it.

    Args:
        config: the configuration of the run.
        examples: images in one epoch.

    Returns:
        A function of the step (the first is 0) that returns a float32 scalar.

    Raises:
        InputError: as `total_steps`.

    Example:
        >>> from drn_jax import recipes
        >>> rate = learning_rate(recipes.classification(), examples=2560)
        >>> [round(float(rate(step)), 6) for step in (0, 299, 300, 600, 900)]
        [0.1, 0.1, 0.01, 0.001, 0.0001]

    Source: section 5.1 of the paper ('steps'); the release's segmentation of Cityscapes ('poly').
    """
    optimizer, per_epoch = config.optimizer, examples / config.batch_size
    peak = optimizer.learning_rate * config.batch_size / optimizer.base_batch_size
    warmup = int(optimizer.warmup_epochs * per_epoch)
    steps = total_steps(config, examples)
    falls = collections.Counter(int(epoch * per_epoch) - warmup for epoch in optimizer.decay_epochs)
    factors = {step: optimizer.decay_factor**times for step, times in falls.items()}
    schedules = {
        'steps': lambda: optax.piecewise_constant_schedule(peak, factors),
        'cosine': lambda: optax.cosine_decay_schedule(peak, max(steps - warmup, 1)),
        'poly': lambda: _poly(peak, optimizer.poly_power, per_epoch, max(steps - warmup, 1)),
        'constant': lambda: optax.constant_schedule(peak),
    }
    schedule = schedules[optimizer.schedule]()
    if not warmup:
        return schedule
    return optax.join_schedules([optax.linear_schedule(0.0, peak, warmup), schedule], [warmup])


def remarks(config: ml_collections.ConfigDict, examples: int) -> list[str]:
    """Finds numbers of epochs that do not go with the length of a run, such as numbers of steps.

    Args:
        config: the configuration of the run.
        examples: images in one epoch.

    Returns:
        Sentences without ends, or none; a run of less than an epoch is a trial.

    Raises:
        InputError: as `total_steps`.

    Example:
        >>> from drn_jax import recipes
        >>> config = recipes.classification()
        >>> config.optimizer.warmup_epochs = 500.0
        >>> remarks(config, 2560)  # doctest: +NORMALIZE_WHITESPACE
        ['config.optimizer.warmup_epochs is 500.0, but the run has 120 epochs: the learning rate
          only rises']
    """
    optimizer, epochs = (
        config.optimizer,
        total_steps(config, examples) * config.batch_size / examples,
    )
    warmup, decay, every = (
        optimizer.warmup_epochs,
        optimizer.decay_epochs if optimizer.schedule == 'steps' else (),
        config.evaluation.every_epochs,
    )
    found = (
        ('optimizer.warmup_epochs', warmup, warmup >= epochs, 'the learning rate only rises'),
        (
            'optimizer.decay_epochs',
            decay,
            min(decay, default=0) >= epochs,
            'the learning rate never falls',
        ),
        (
            'evaluation.every_epochs',
            every,
            every > epochs and not config.checkpoint.every_steps,
            'before its end nothing is evaluated or saved',
        ),
    )
    return [
        f'config.{name} is {value}, but the run has {epochs:g} epochs: {consequence}'
        for name, value, is_beyond, consequence in found
        if is_beyond and epochs >= 1
    ]


def _poly(peak: float, power: float, per_epoch: float, steps: int) -> optax.Schedule:
    """Returns a rate that falls with every epoch and would be 0 after the last one."""
    epochs = max(steps / per_epoch, 1)

    def rate(step):
        epoch = jnp.floor((step + 0.5) / per_epoch)  # in the middle, for no sum is exact
        return peak * jnp.maximum(1 - epoch / epochs, 0) ** power

    return rate


class Cadence(NamedTuple):
    """When a run evaluates, saves and logs; steps are those that are done.

    Attributes:
        last: number of steps at the end.
        evaluate_every, save_every, log_every: steps between; of saves 0 if there are none beside
            evaluations.
    """

    last: int
    evaluate_every: int
    save_every: int
    log_every: int

    def evaluates(self, step: int) -> bool:
        """Returns whether the state after a step is evaluated."""
        return step % self.evaluate_every == 0 or step == self.last

    def saves(self, step: int) -> bool:
        """Returns whether it is saved."""
        return self.evaluates(step) or self.save_every > 0 and step % self.save_every == 0

    def logs(self, step: int) -> bool:
        """Returns whether the logs of a step are written down."""
        return self.saves(step) or step % self.log_every == 0


def cadence(config: ml_collections.ConfigDict, examples: int) -> Cadence:
    """Returns when a run evaluates, saves and logs.

    Args:
        config: the configuration.
        examples: number of training images.

    Raises:
        InputError: as `total_steps`.

    Example:
        >>> from drn_jax import recipes
        >>> when = cadence(recipes.digit_scenes(), 6000)
        >>> when.last, when.evaluates(375), when.logs(376), when.saves(400), when.logs(400)
        (1125, True, False, False, True)
    """
    every = max(round(config.evaluation.every_epochs * examples / config.batch_size), 1)
    return Cadence(
        total_steps(config, examples), every, config.checkpoint.every_steps, config.log_every_steps
    )


class Schedule(NamedTuple):
    """How a run goes on.

    Attributes:
        examples: training images, of one epoch.
        cadence: when it evaluates, saves and logs.
        learning_rate: of every step, see `learning_rate`.
    """

    examples: int
    cadence: Cadence
    learning_rate: optax.Schedule


def schedule(config: ml_collections.ConfigDict, examples: int) -> Schedule:
    """Returns the `Schedule` of a run.

    Args:
        config: the configuration.
        examples: number of training images.

    Raises:
        InputError: as `total_steps`, or the run ends before the steps to trace.
    """
    when, (begin, end) = cadence(config, examples), config.profile_steps
    if end and begin >= when.last:
        raise InputError(
            f'config.profile_steps is {(begin, end)}, but the run has {when.last} steps; begin '
            'below that, or give (0, 0) for no trace',
            field='config.profile_steps',
        )
    return Schedule(examples, when, learning_rate(config, examples))
