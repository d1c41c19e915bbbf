"""Splitting the rows of images over devices changes nothing but where they are computed."""

import jax
import numpy as np
import pytest
from models import fills
from support.errors import refused

import drn_jax
from drn_jax import experiments, recipes, tasks
from drn_jax.distributed import meshes
from drn_jax.training import states, steps


def run(devices, spatial):
    """Two steps of a small network in float64, where sums in another order stay the same.

    The classifier of `create_model` computes in float32, so the network has another one here:
    rounding its sums would change the gradient of the first levels by a thousandth.
    """
    config = recipes.segmentation()
    config.augmentation.color_jitter = (0.5, 1.5)
    backbone = drn_jax.create_model('drn_c_26', num_classes=0, width=0.125).clone(dtype='float64')

    def forward(variables, batch):
        (head,) = jax.tree.leaves(variables['params']['head'])
        features, updates = backbone.apply(
            {'params': variables['params']['backbone'], 'batch_stats': variables['batch_stats']},
            batch['image'],
            train=True,
            mutable=['batch_stats'],
        )
        return features @ head, updates['batch_stats']

    task = tasks.create_task(config, backbone)._replace(forward=forward)
    mesh, optimizer = (
        meshes.create_mesh(devices, spatial),
        states.create_optimizer(config.optimizer, 0.01),
    )
    variables = jax.tree.map(
        lambda leaf: np.asarray(leaf, np.float64), fills.random_variables(backbone)
    )
    variables['params'] = {
        'backbone': variables['params'],
        'head': {'kernel': np.random.default_rng(1).normal(size=(64, 5))},
    }
    state = states.TrainState(np.int32(0), variables, optimizer.init(variables['params']))
    step, losses = steps.train_step(task, optimizer, mesh), []
    rng = np.random.default_rng(0)
    batch = {
        'image': rng.integers(0, 256, (2, 64, 56, 3), np.uint8),
        'label': rng.choice([0, 1, 2, 3, 4, 255], (2, 64, 56)).astype(np.uint8),
        'mask': np.array([True, True]),
        'index': np.arange(2, dtype=np.uint32),
    }
    for fed in meshes.prefetch_to_device(
        [batch, batch], mesh, (*task.batch_keys, 'index'), rows=True
    ):
        assert len(fed['image'].sharding.device_set) == devices
        assert fed['image'].addressable_shards[0].data.shape[1] == 64 // spatial
        state, logs = step(state, fed, jax.random.key(0))
        losses.append((float(logs['loss']), float(logs['gradient_norm'])))
    return jax.device_get(state.variables), losses


@pytest.fixture(scope='module')
def one_device():
    with jax.enable_x64(True):
        return run(1, 1)


@pytest.mark.parametrize('devices, spatial', [(2, 2), (4, 4), (4, 2)])
def test_rows_on_several_devices_train_as_on_one(one_device, devices, spatial):
    with jax.enable_x64(True):
        variables, losses = run(devices, spatial)
    np.testing.assert_allclose(losses, one_device[1], rtol=1e-5)
    jax.tree.map(
        lambda found, wanted: np.testing.assert_allclose(
            found, wanted, rtol=1e-5, atol=1e-5 * np.abs(wanted).max()
        ),
        variables,
        one_device[0],
    )


def test_rows_that_devices_cannot_share_are_refused():
    config = recipes.segmentation()
    config.mesh.spatial, config.data.crop_px = 4, 840
    with refused('config.mesh.spatial', match='840 rows .* use a multiple of 32'):
        experiments.resolve(config)
    config.mesh.spatial = 3
    with refused('config.mesh.spatial', match='each process has 8 devices'):
        experiments.resolve(config)
