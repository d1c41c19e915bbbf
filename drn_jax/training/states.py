"""What a run carries from step to step."""

from collections.abc import Callable, Mapping
from typing import Any

import flax
import jax
import jax.numpy as jnp
import ml_collections
import optax

from drn_jax.distributed import meshes
from drn_jax.models.networks import Network


class TrainState(flax.struct.PyTreeNode):
    """The state after `step` updates.

    Attributes:
        step: number of updates done, int32 scalar.
        variables: {'params', 'batch_stats'} of the network, float32.
        optimizer: state of the optimizer.
    """

    step: jax.Array
    variables: Mapping[str, Any]
    optimizer: optax.OptState


def create_optimizer(
    config: ml_collections.ConfigDict, rate: optax.ScalarOrSchedule
) -> optax.GradientTransformation:
    """Creates SGD with momentum, L2 on every parameter being added to the gradient before it.

    m <- momentum * m + gradient + weight_decay * p;  p <- p - rate * m, and with Nesterov's
    momentum p <- p - rate * (gradient + weight_decay * p + momentum * m). The rate is multiplied by
    `backbone_lr_scale` for everything but the head. Where `max_consecutive_nonfinite` is above 0,
    up to so many updates in a row are left out, momentum and all, where a gradient is not finite;
    the schedule then lags by as many steps.

    Args:
        config: `config.optimizer` of the run.
        rate: learning rate, a function of the step or a number.

    Example:
        >>> from drn_jax import recipes
        >>> sgd = create_optimizer(recipes.classification().optimizer, 0.1)
        >>> updates, _ = sgd.update(jnp.ones(()), sgd.init(jnp.zeros(())), jnp.zeros(()))
        >>> updates
        Array(-0.1, dtype=float32)

    Source: section 5.1 of the paper; the same update as PyTorch's SGD.
    """
    sgd = optax.chain(
        optax.add_decayed_weights(config.weight_decay),
        optax.sgd(rate, config.momentum, config.nesterov),
    )
    if config.backbone_lr_scale != 1:
        sgd = optax.chain(
            sgd,
            optax.masked(
                optax.scale(config.backbone_lr_scale),
                lambda params: {name: name != 'head' for name in params},
            ),
        )
    return (
        optax.apply_if_finite(sgd, config.max_consecutive_nonfinite)
        if config.max_consecutive_nonfinite
        else sgd
    )


def initialize(
    model: Network,
    optimizer: optax.GradientTransformation,
    key: jax.Array,
    mesh: jax.sharding.Mesh,
    residual_scale: float = 1.0,
) -> TrainState:
    """Creates the state before the first step, the same on every device.

    Args:
        model: the network.
        optimizer: see `create_optimizer`.
        key: a JAX random key.
        mesh: where the state lies.
        residual_scale: what the last batch normalization of every block with a shortcut begins to
            multiply by. Below 1 the block begins closer to its shortcut, and maps do not grow from
            block to block.

    Source: 0 in Goyal and others, Accurate, large minibatch SGD, 2017, section 5.1; above it in De
    and Smith, Batch normalization biases residual blocks towards the identity function, 2020.
    """
    create = _creation(model, optimizer, residual_scale)
    return jax.jit(create, out_shardings=meshes.replicated(mesh))(key)


def abstract(
    model: Network, optimizer: optax.GradientTransformation, mesh: jax.sharding.Mesh
) -> tuple[TrainState, jax.ShapeDtypeStruct]:
    """Returns the state before the first step as shapes, types and places, without computing it.

    Args:
        model: the network.
        optimizer: see `create_optimizer`.
        mesh: where the state would lie; its devices need not be there.

    Returns:
        The `TrainState`, whose leaves are `jax.ShapeDtypeStruct`, and a random key like that.
    """
    key = jax.eval_shape(lambda: jax.random.key(0))
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=meshes.replicated(mesh)),
        (jax.eval_shape(_creation(model, optimizer), key), key),
    )


def _creation(
    model: Network, optimizer: optax.GradientTransformation, residual_scale: float = 1.0
) -> Callable[[jax.Array], TrainState]:
    """Returns the function of a random key that makes the state before the first step."""

    def create(key):
        variables = model.init(key, jnp.zeros((1, 32, 32, 3)))  # any size
        for level, blocks in model.table.expand() if residual_scale != 1 else ():
            for block in blocks:
                if block.residual:
                    norm = variables['params'][level.name][block.name][block.convs[-1].norm_name]
                    norm['scale'] *= residual_scale
        return TrainState(jnp.zeros((), jnp.int32), variables, optimizer.init(variables['params']))

    return create
