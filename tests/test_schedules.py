"""Learning rates and numbers of steps, worked out by hand."""

import numpy as np
import pytest
from support.errors import refused

from drn_jax import recipes, schedules


def rates(config, examples, at):
    rate = schedules.learning_rate(config, examples)
    return [float(rate(step)) for step in at]


def test_the_papers_schedule_falls_tenfold_every_thirty_epochs():
    config = recipes.classification()
    per_epoch = 1_281_167 / 256  # 5004.56 steps
    at = [
        0,
        int(30 * per_epoch) - 1,
        int(30 * per_epoch),
        int(60 * per_epoch),
        int(90 * per_epoch),
        int(120 * per_epoch) - 1,
    ]
    np.testing.assert_allclose(
        rates(config, 1_281_167, at), [0.1, 0.1, 0.01, 0.001, 1e-4, 1e-4], rtol=1e-5
    )


def test_the_rate_is_scaled_to_the_batch():
    config = recipes.classification()
    config.batch_size = 1024
    np.testing.assert_allclose(rates(config, 10240, [0]), [0.4], rtol=1e-6)


def test_cosine_after_warmup():
    config = recipes.classification()
    config.update_from_flattened_dict(
        {
            'batch_size': 10,
            'epochs': 10.0,
            'optimizer.base_batch_size': 10,
            'optimizer.learning_rate': 1.0,
            'optimizer.schedule': 'cosine',
            'optimizer.warmup_epochs': 2.0,
        }
    )
    # 100 steps, 20 of them rising to 1; then half a cosine over 80.
    np.testing.assert_allclose(
        rates(config, 100, [0, 10, 20, 60, 100]), [0, 0.5, 1, 0.5, 0], atol=1e-6
    )


def test_warmup_does_not_move_the_decay():
    config = recipes.classification()
    config.update_from_flattened_dict(
        {'batch_size': 10, 'optimizer.base_batch_size': 10, 'optimizer.warmup_epochs': 5.0}
    )
    np.testing.assert_allclose(
        rates(config, 100, [25, 50, 299, 300]), [0.05, 0.1, 0.1, 0.01], rtol=1e-5
    )


def test_falls_that_come_to_the_same_step_all_count():
    config = recipes.classification()
    config.update_from_flattened_dict(
        {
            'batch_size': 10,
            'optimizer.base_batch_size': 10,
            'optimizer.decay_epochs': (1.0, 1.5, 1.75, 1.75),
        }
    )
    # Two steps an epoch: one falls at step 2, three at step 3.
    np.testing.assert_allclose(rates(config, 20, [1, 2, 3]), [0.1, 0.01, 1e-5], rtol=1e-5)


def test_constant():
    config = recipes.classification()
    config.optimizer.schedule = 'constant'
    np.testing.assert_allclose(rates(config, 2560, [0, 5000]), [0.1, 0.1], rtol=1e-6)


def test_poly_falls_with_every_epoch():
    config = recipes.classification()
    config.update_from_flattened_dict(
        {
            'batch_size': 10,
            'epochs': 4.0,
            'optimizer.base_batch_size': 10,
            'optimizer.learning_rate': 1.0,
            'optimizer.schedule': 'poly',
        }
    )
    # 40 steps; (1 - epoch / 4) ** .9 for epochs 0 to 3.
    np.testing.assert_allclose(
        rates(config, 100, [0, 9, 10, 19, 20, 30, 39]),
        [1, 1, 0.75**0.9, 0.75**0.9, 0.5**0.9, 0.25**0.9, 0.25**0.9],
        rtol=1e-5,
    )


def test_steps_of_a_run():
    config = recipes.classification()
    assert schedules.total_steps(config, 2560) == 1200
    config.steps = 7
    assert schedules.total_steps(config, 2560) == 7


@pytest.mark.parametrize(
    'changes, message',
    [
        ({'epochs': 0.0}, 'make 0 steps of 256 images from 2560 examples; at least one is needed'),
    ],
)
def test_bad_settings_are_named(changes, message):
    config = recipes.classification()
    config.update_from_flattened_dict(changes)
    with refused('config.epochs', match=message):
        schedules.learning_rate(config, 2560)


@pytest.mark.parametrize(
    'changes, told',
    [
        ({}, ''),
        ({'optimizer.warmup_epochs': 5.0}, ''),
        (
            {'optimizer.warmup_epochs': 500.0},
            'optimizer.warmup_epochs is 500.0, but the run has 120 epochs: the learning rate only '
            'rises',
        ),
        (
            {'optimizer.decay_epochs': (150_000.0, 300_000.0)},
            'optimizer.decay_epochs is (150000.0, 300000.0), but the run has 120 epochs: the '
            'learning rate never falls',
        ),
        ({'optimizer.decay_epochs': (150_000.0,), 'optimizer.schedule': 'cosine'}, ''),
        ({'optimizer.decay_epochs': ()}, ''),
        (
            {'epochs': 20.0},
            'optimizer.decay_epochs is (30.0, 60.0, 90.0), but the run has 20 epochs: the learning '
            'rate never falls',
        ),
        ({'steps': 9}, ''),  # a trial
        (
            {'evaluation.every_epochs': 5000.0},
            'evaluation.every_epochs is 5000.0, but the run has 120 epochs: before its end nothing '
            'is evaluated or saved',
        ),
        ({'evaluation.every_epochs': 5000.0, 'checkpoint.every_steps': 9}, ''),
    ],
)
def test_steps_where_epochs_are_meant_are_told(changes, told):
    config = recipes.classification()
    config.update_from_flattened_dict({'batch_size': 10, **changes})
    assert schedules.remarks(config, 100) == [f'config.{told}'] * bool(told)
