"""Training steps against arithmetic written out here, and on one device against eight."""

import jax
import numpy as np
import pytest
from models import fills
from training import tiny

from drn_jax import tasks
from drn_jax.distributed import meshes
from drn_jax.models.networks import Network
from drn_jax.training import evaluation, states, steps


def run(devices, number, config=None):
    """Trains the tiny network for some steps on some devices; gives the state and the losses."""
    config = config or tiny.tiny_config()
    task = tiny.tiny_task(config)
    mesh = meshes.create_mesh(devices)
    optimizer = states.create_optimizer(config.optimizer, 0.1)
    state = states.initialize(task.model, optimizer, jax.random.key(1), mesh)
    step = steps.train_step(task, optimizer, mesh)
    batches = meshes.prefetch_to_device(
        (tiny.tiny_batch(i) for i in range(number)), mesh, (*task.batch_keys, 'index')
    )
    losses = []
    for batch in batches:
        state, logs = step(state, batch, jax.random.key(2))
        losses.append(float(logs['loss']))
    return state, losses


@pytest.mark.parametrize('nesterov', [False, True])
def test_two_updates_equal_sgd_written_out(nesterov):
    config = tiny.tiny_config()
    config.optimizer.weight_decay = 0.01
    config.optimizer.nesterov = nesterov
    task = tiny.tiny_task(config)
    mesh = meshes.create_mesh(1)
    optimizer = states.create_optimizer(config.optimizer, 0.1)
    state = states.initialize(task.model, optimizer, jax.random.key(1), mesh)
    key = jax.random.key(2)
    step = steps.train_step(task, optimizer, mesh)

    variables = jax.device_get(state.variables)
    momentum = jax.tree.map(np.zeros_like, variables['params'])
    for number in range(2):
        batch = tiny.tiny_batch(number)
        prepared = task.preprocess(batch, key, True)

        def objective(params, variables=variables, prepared=prepared):
            logits, stats = task.forward({**variables, 'params': params}, prepared)
            return task.loss(logits, prepared), stats

        gradients, stats = jax.grad(objective, has_aux=True)(variables['params'])
        decayed = jax.tree.map(lambda g, p: g + 0.01 * p, gradients, variables['params'])
        momentum = jax.tree.map(lambda m, g: 0.9 * m + g, momentum, decayed)
        direction = (
            jax.tree.map(lambda m, g: g + 0.9 * m, momentum, decayed) if nesterov else momentum
        )
        variables = {
            'params': jax.tree.map(lambda p, d: p - 0.1 * d, variables['params'], direction),
            'batch_stats': stats,
        }
        state, logs = step(state, jax.device_put(batch), key)
        assert int(state.step) == number + 1
        norm = np.sqrt(sum(np.sum(np.square(g)) for g in jax.tree.leaves(gradients)))
        np.testing.assert_allclose(logs['gradient_norm'], norm, rtol=1e-4)
    jax.tree.map(
        lambda found, wanted: np.testing.assert_allclose(found, wanted, atol=1e-5),
        jax.device_get(state.variables),
        jax.device_get(variables),
    )


def test_one_device_and_eight_learn_the_same():
    one, losses_of_one = run(1, 5)
    eight, losses_of_eight = run(8, 5)
    np.testing.assert_allclose(losses_of_one, losses_of_eight, atol=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5),
        jax.device_get(one.variables),
        jax.device_get(eight.variables),
    )


def test_a_dilated_network_learns_the_same_on_eight_devices():
    # In float64: in float32 the sums' order alone moves such a network further in three steps.
    def train(devices):
        config = tiny.tiny_config()
        task = tasks.create_task(config, Network('drn_c_26', 10, width=1 / 16, dtype='float64'))
        mesh = meshes.create_mesh(devices)
        optimizer = states.create_optimizer(config.optimizer, 0.05)
        first = jax.tree.map(
            lambda leaf: jax.numpy.asarray(leaf, 'float64'), fills.random_variables(task.model)
        )
        state = states.TrainState(jax.numpy.int32(0), first, optimizer.init(first['params']))
        step = steps.train_step(task, optimizer, mesh)
        for batch in meshes.prefetch_to_device(
            (tiny.tiny_batch(i, size=16, side=32) for i in range(3)),
            mesh,
            (*task.batch_keys, 'index'),
        ):
            state, _ = step(state, batch, jax.random.key(2))
        return jax.device_get(state.variables)

    with jax.enable_x64(True):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), train(1), train(8))


def test_the_loss_falls_on_one_repeated_batch():
    config = tiny.tiny_config()
    task, mesh = tiny.tiny_task(config), meshes.create_mesh(1)
    optimizer = states.create_optimizer(config.optimizer, 0.1)
    state = states.initialize(task.model, optimizer, jax.random.key(1), mesh)
    step, batch = steps.train_step(task, optimizer, mesh), tiny.tiny_batch()
    losses = []
    for _ in range(30):
        state, logs = step(state, jax.device_put(batch), jax.random.key(2))
        losses.append(float(logs['loss']))
    assert losses[-1] < 0.8 * losses[0]


def test_counts_of_eight_devices_add_up_over_the_real_rows():
    task = tiny.tiny_task(tiny.tiny_config())
    mesh = meshes.create_mesh(8)
    batch = tiny.tiny_batch(size=16)
    batch['mask'][13:] = False
    variables = tiny.tiny_variables(task)
    fed = next(meshes.prefetch_to_device([batch], mesh, task.batch_keys))
    counts, _ = steps.evaluation_step(task, mesh)(variables, fed)
    rows = {name: array[:13] for name, array in batch.items()}
    prepared = task.preprocess(rows, None, False)
    wanted = task.counts(task.predict(variables, prepared), prepared)
    assert jax.tree.map(int, counts) == jax.tree.map(int, wanted)
    assert int(counts['examples']) == 13


def test_sample_inputs_are_the_first_images_in_zero_to_one():
    config = tiny.tiny_config()
    config.augmentation.mirror = False
    config.augmentation.color_jitter, config.augmentation.lighting = (1.0, 1.0), 0.0
    task, mesh = tiny.tiny_task(config), meshes.create_mesh(8)
    look = steps.sample_inputs(task, mesh, config.data.mean, config.data.std, number=3)
    batch = tiny.tiny_batch()
    fed = next(meshes.prefetch_to_device([batch], mesh, (*task.batch_keys, 'index')))
    np.testing.assert_allclose(look(fed, jax.random.key(0)), batch['image'][:3] / 255, atol=1e-5)


def test_sums_of_counts_do_not_overflow_32_bits():
    many = [{'examples': np.int32(2**31 - 1)}] * 3
    assert evaluation.sum_counts(many) == {'examples': 3 * (2**31 - 1)}
    assert evaluation.sum_counts([]) == {}


def losing_images(step):
    """Returns a batch; that of step 1 is ruined, as its images are not finite."""
    batch = tiny.tiny_batch(step)
    if step == 1:
        batch['image'] = np.full(batch['image'].shape, np.inf, np.float32)
    return batch


def run_with_a_ruined_batch(max_consecutive_nonfinite, number=4):
    """Trains with or without leaving out updates; gives the states and the logs."""
    config = tiny.tiny_config()
    config.optimizer.max_consecutive_nonfinite = max_consecutive_nonfinite
    task = tiny.tiny_task(config)
    task = task._replace(
        preprocess=lambda batch, key, train: {
            **batch,
            'image': batch['image'].astype(np.float32) / 255,
        }
    )
    mesh = meshes.create_mesh(8)
    optimizer = states.create_optimizer(config.optimizer, 0.1)
    state = states.initialize(task.model, optimizer, jax.random.key(1), mesh)
    step = steps.train_step(task, optimizer, mesh, skip=max_consecutive_nonfinite > 0)
    found, logs = [], []
    for batch in meshes.prefetch_to_device(
        (losing_images(i) for i in range(number)), mesh, task.batch_keys
    ):
        state, log = step(state, batch, jax.random.key(2))
        found.append(jax.device_get(state))
        logs.append(jax.device_get(log))
    return found, logs


def test_an_update_that_is_not_finite_is_left_out():
    found, logs = run_with_a_ruined_batch(max_consecutive_nonfinite=1)
    assert [bool(np.isfinite(log['loss'])) for log in logs] == [True, False, True, True]
    assert all(np.isfinite(log['parameter_norm']) for log in logs)
    jax.tree.map(np.testing.assert_array_equal, found[1].variables, found[0].variables)
    jax.tree.map(
        np.testing.assert_array_equal,
        found[1].optimizer.inner_state,
        found[0].optimizer.inner_state,
    )
    assert [int(state.step) for state in found] == [1, 2, 3, 4]
    assert [int(state.optimizer.total_notfinite) for state in found] == [0, 1, 1, 1]
    head = [state.variables['params']['head']['bias'] for state in found]
    assert np.abs(head[2] - head[1]).max() > 0  # and training goes on


def test_without_leaving_out_it_ruins_the_parameters():
    _, logs = run_with_a_ruined_batch(max_consecutive_nonfinite=0)
    assert [bool(np.isfinite(log['parameter_norm'])) for log in logs] == [True, False, False, False]


def test_more_in_a_row_than_allowed_are_not_left_out(monkeypatch):
    monkeypatch.setitem(
        globals(),
        'losing_images',
        lambda step: (
            tiny.tiny_batch(step)
            if step == 0
            else {**tiny.tiny_batch(step), 'image': np.full((8, 8, 8, 3), np.nan, np.float32)}
        ),
    )
    _, logs = run_with_a_ruined_batch(max_consecutive_nonfinite=2)
    assert [bool(np.isfinite(log['parameter_norm'])) for log in logs] == [True, True, True, False]
