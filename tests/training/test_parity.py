"""Two steps of SGD against PyTorch's, on the weights of the golden files.

What the file holds was computed in float32, and the first convolution's second gradient does not
survive that: shifting the parameters after the first step by 1e-7 of themselves, a rounding error,
moves `conv1.weight` after the second by 6e-4, and shifting them by 1e-4, as far apart as two float32
backward passes are here, moves it by 3 %. Everything else is compared to 1e-3.
"""
import functools

import jax
import jax.numpy as jnp
import numpy as np

import drn_jax
from drn_jax import recipes, tasks
from drn_jax.models.networks import Network
from drn_jax.tasks import classification
from drn_jax.training import meshes, states, steps
from golden import rebuild

VARIANT = 'drn_c_26'
GOLDEN = rebuild.load('drn_c_26_train_step')


def batch():
    """The four images and their labels, as the golden files' README makes them."""
    rng = np.random.default_rng(1)
    images = rng.standard_normal((4, 3, 64, 64)).astype(np.float32).transpose(0, 2, 3, 1)
    labels = rng.integers(0, 1000, 4)
    np.testing.assert_array_equal(labels, GOLDEN['labels'])
    return {'image': images, 'label': labels.astype(np.int32), 'mask': np.ones(4, bool)}


def variables():
    """The network before the first step."""
    names = rebuild.load(VARIANT)['names']
    return drn_jax.from_torch(VARIANT, rebuild.state_dict(names))


def test_two_updates_equal_pytorchs():
    task = tasks.create_task(recipes.classification(), drn_jax.create_model(VARIANT))
    task = task._replace(prepare=lambda batch, key, train: batch)  # these are normalised already
    optimizer = states.create_optimizer(recipes.classification(), .1)
    step = steps.train_step(task, optimizer, meshes.create_mesh(1))
    first = jax.tree.map(jnp.asarray, variables())
    state = states.TrainState(jnp.int32(0), first, optimizer.init(first['params']))
    norms = []
    for loss in GOLDEN['loss']:
        state, logs = step(state, batch(), jax.random.key(0))
        np.testing.assert_allclose(logs['loss'], loss, rtol=1e-3)
        norms.append(float(logs['gradient_norm']))
    np.testing.assert_allclose(norms[0], np.linalg.norm(GOLDEN['grad_norms']), rtol=1e-3)

    found = drn_jax.to_torch(VARIANT, state.variables)
    start = drn_jax.to_torch(VARIANT, variables())
    names = [key.removeprefix('after2/') for key in GOLDEN if key.startswith('after2/')]
    assert len(names) == 7
    for name in names:
        value, wanted = np.asarray(found[name]), GOLDEN[f'after2/{name}']
        if name == 'layer8.0.bn2.running_var':
            # PyTorch's batch variance is larger by n / (n - 1): 4 images, 8 x 8 positions each.
            value = value + (value - .81 * start[name]) * (256 / 255 - 1)
        error = np.linalg.norm(value - wanted) / np.linalg.norm(wanted)
        assert error < (.15 if name == 'conv1.weight' else 1e-3), (name, error)


def test_first_gradients_equal_pytorchs():
    with jax.enable_x64(True):
        model = Network(VARIANT, 1000, 'classification', 1., 'float64', 'paper')
        exact = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), variables())
        forward = functools.partial(classification.forward, model)

        @jax.jit
        @jax.grad
        def gradients(params, rows):
            return classification.loss(forward({**exact, 'params': params}, rows)[0], rows)

        rows = batch() | {'image': jnp.asarray(batch()['image'], jnp.float64)}
        found = jax.device_get(gradients(exact['params'], rows))
        names = drn_jax.to_torch(
            VARIANT, {'params': found, 'batch_stats': variables()['batch_stats']})
    norms = [np.linalg.norm(np.asarray(names[name])) for name in GOLDEN['grad_names']]
    np.testing.assert_allclose(norms, GOLDEN['grad_norms'], rtol=1e-3)
