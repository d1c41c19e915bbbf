"""Batch normalization, as Flax has it and in a form that training on TPUs fuses more with."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

MOMENTUM = 0.9  # Flax's; PyTorch's 0.1
EPSILON = 1e-5  # added to the variance in batch normalization


def batch_norm(name: str, dtype: DTypeLike, train: bool) -> nn.BatchNorm:
    """Returns the batch normalization of these networks.

    Parameters, statistics and the arithmetic inside are float32, the output has the compute
    dtype, so that nothing wider than bfloat16 is stored between layers. Flax's momentum 0.9 is
    PyTorch's 0.1. The variance is E[x^2] - E[x]^2, which reads the activation once where
    E[(x - E[x])^2] reads it twice; in float32 it loses about (E[x] / deviation)^2 * 1e-7 of the
    variance, and before a normalization that ratio is of the order of 1.

    Args:
        name: the module's name in the parameter tree.
        dtype: compute dtype, of the output.
        train: True normalizes by the batch and updates the running statistics.

    Returns:
        The module, [..., C] -> [..., C].

    Example:
        >>> batch_norm('bn', jnp.bfloat16, train=False).momentum
        0.9

    Source: Ioffe and Szegedy, Batch normalization, 2015; constants as in the authors' release.
    """
    return nn.BatchNorm(
        use_running_average=not train,
        momentum=MOMENTUM,
        epsilon=EPSILON,
        dtype=dtype,
        param_dtype=jnp.float32,
        name=name,
    )


class Affine(nn.Module):
    """Batch normalization in training as two numbers for each channel, scale * x + shift.

    The same variables and statistics as `batch_norm`, for those who fuse more with it.
    """

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """[..., C] -> scale and shift, [C], float32."""
        channels, everywhere = x.shape[-1:], tuple(range(x.ndim - 1))
        x = _at_least_float32(x)
        mean = x.mean(everywhere)
        variance = jnp.maximum((x * x).mean(everywhere) - mean * mean, 0)
        for name, start, new in (('mean', jnp.zeros, mean), ('var', jnp.ones, variance)):
            running = self.variable('batch_stats', name, start, channels, jnp.float32)
            if not self.is_initializing():
                running.value = MOMENTUM * running.value + (1 - MOMENTUM) * new
        scale = self.param('scale', nn.initializers.ones, channels, jnp.float32)
        bias = self.param('bias', nn.initializers.zeros, channels, jnp.float32)
        scale *= jax.lax.rsqrt(variance + EPSILON)
        return scale, bias - scale * mean


def mean_of_relu(x: jax.Array, scale: jax.Array, shift: jax.Array) -> jax.Array:
    """Averages relu(scale * x + shift) over the positions: [B, H, W, C] -> [B, 1, 1, C], float32.

    That is scale * mean(x where it is above 0) + shift * (share of these positions). So the
    gradients of scale and shift, sums over the whole batch, take nothing from the map that these
    two means have not read already.
    """
    x = _at_least_float32(x)
    kept = jax.lax.stop_gradient(scale * x + shift) > 0
    share = kept.mean((1, 2), dtype=x.dtype, keepdims=True)
    return scale * jnp.where(kept, x, 0).mean((1, 2), keepdims=True) + shift * share


def apply_affine(x: jax.Array, scale: jax.Array, shift: jax.Array) -> jax.Array:
    """Computes scale * x + shift, in float32 or wider: [..., C], [C], [C] -> [..., C], as x."""
    return (_at_least_float32(x) * scale + shift).astype(x.dtype)


def _at_least_float32(x):
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))
