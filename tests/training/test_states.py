"""The state before the first step."""

import jax
import jax.numpy as jnp
import pytest

import drn_jax
from drn_jax import recipes
from drn_jax.distributed import meshes
from drn_jax.training import states


def changed_scales(variables):
    """Returns {path: value} of the scales that are not 1."""
    return {
        '/'.join(key.key for key in path[:-1]): float(value[0])
        for path, value in jax.tree_util.tree_leaves_with_path(variables['params'])
        if path[-1].key == 'scale' and (value != 1).all()
    }


@pytest.mark.parametrize(
    'variant, names',
    [
        ('drn_d_22', {f'level{i}/block{j}/bn2' for i in (3, 4, 5, 6) for j in (0, 1)}),
        (
            'drn_b_26',
            {f'level{i}/block{j}/bn2' for i in (3, 4, 5, 6) for j in (0, 1)}
            | {f'level{i}/block0/bn2' for i in (1, 2, 7, 8)},
        ),
    ],
)
def test_what_joins_a_shortcut_begins_scaled(variant, names):
    model = drn_jax.create_model(variant, 10, width=0.0625)
    optimizer = states.create_optimizer(recipes.digit_scenes().optimizer, 0.1)
    arguments = model, optimizer, jax.random.key(0), meshes.create_mesh(1)
    usual, new = (states.initialize(*arguments, scale).variables for scale in (1.0, 0.25))
    assert not changed_scales(usual)
    assert changed_scales(new) == dict.fromkeys(names, 0.25)
    same = jax.tree_util.tree_map_with_path(
        lambda path, a, b: path[-1].key == 'scale' or jnp.array_equal(a, b), usual, new
    )
    assert jax.tree.all(same)
