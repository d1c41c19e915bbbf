"""Variables made without `init`, whose compilation would take most of the tests' time."""

import jax
import jax.numpy as jnp
import numpy as np


def shapes(model, size=32):
    """Shapes and dtypes of the model's variables."""
    images = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    return jax.eval_shape(model.init, jax.random.key(0), images)


def random_variables(model, seed=0):
    """Variables of the size that training would give, from NumPy."""
    rng = np.random.default_rng(seed)

    def fill(path, leaf):
        name = path[-1].key
        if name == 'kernel':
            scale = np.sqrt(2 / (leaf.shape[0] * leaf.shape[1] * leaf.shape[3]))
            value = scale * rng.standard_normal(leaf.shape)
        elif name in ('scale', 'var'):
            value = rng.uniform(0.5, 1.5, leaf.shape)
        else:
            value = 0.1 * rng.standard_normal(leaf.shape)
        return value.astype(np.float32)

    return jax.tree.map_with_path(fill, shapes(model))
