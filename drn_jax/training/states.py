"""What a run carries from step to step."""

from typing import Any

import flax
import jax
import jax.numpy as jnp
import optax

from drn_jax.distributed import meshes


@flax.struct.dataclass
class TrainState:
    """The state after `step` updates.

    Attributes:
        step: number of updates done, int32 scalar.
        variables: {'params', 'batch_stats'} of the network, float32.
        optimizer: state of the optimizer.
    """

    step: jax.Array
    variables: Any
    optimizer: Any


def create_optimizer(settings, rate):
    """Returns SGD with momentum, L2 on every parameter being added to the gradient before it.

    m <- momentum * m + gradient + weight_decay * p;  p <- p - rate * m, and with Nesterov's
    momentum p <- p - rate * (gradient + weight_decay * p + momentum * m). The rate is multiplied by
    `backbone_lr_scale` for everything but the head. Where `max_consecutive_nonfinite` is above 0,
    up to so many updates in a row are left out, momentum and all, where a gradient is not finite;
    the schedule then lags by as many steps.

    Args:
        settings: `config.optimizer`.
        rate: learning rate, a function of the step or a number.

    Returns:
        An `optax.GradientTransformation`.

    Source: section 5.1 of the paper; the same update as PyTorch's SGD.
    """
    sgd = optax.chain(
        optax.add_decayed_weights(settings.weight_decay),
        optax.sgd(rate, settings.momentum, settings.nesterov),
    )
    if settings.backbone_lr_scale != 1:
        sgd = optax.chain(
            sgd,
            optax.masked(
                optax.scale(settings.backbone_lr_scale),
                lambda params: {name: name != 'head' for name in params},
            ),
        )
    return (
        optax.apply_if_finite(sgd, settings.max_consecutive_nonfinite)
        if settings.max_consecutive_nonfinite
        else sgd
    )


def initialize(model, optimizer, key, mesh):
    """Returns the state before the first step, the same on every device.

    Args:
        model: the network.
        optimizer: an `optax.GradientTransformation`.
        key: a JAX random key.
        mesh: where the state lies.
    """
    return jax.jit(_creation(model, optimizer), out_shardings=meshes.replicated(mesh))(key)


def abstract(model, optimizer, mesh):
    """Returns the state before the first step as shapes, types and places, without computing it.

    Args:
        model: the network.
        optimizer: an `optax.GradientTransformation`.
        mesh: where the state would lie; its devices need not be there.

    Returns:
        The `TrainState` and a random key, of `jax.ShapeDtypeStruct`.
    """
    key = jax.eval_shape(lambda: jax.random.key(0))
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=meshes.replicated(mesh)),
        (jax.eval_shape(_creation(model, optimizer), key), key),
    )


def _creation(model, optimizer):
    """Returns the function of a random key that makes the state before the first step."""

    def create(key):
        variables = model.init(key, jnp.zeros((1, 32, 32, 3)))  # any size
        return TrainState(jnp.zeros((), jnp.int32), variables, optimizer.init(variables['params']))

    return create
