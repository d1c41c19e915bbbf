"""The maps inside a network that people look at."""

from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp

from drn_jax.models.networks import Network
from drn_jax.ops.scores import minmax_scale


def strongest(maps: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns the feature map with the highest average activation magnitude.

    Args:
        maps: of a level, [B, h, w, C], float32 or bfloat16.

    Returns:
        The map, [B, h, w], float32, and its channel, [B], int32.

    Example:
        >>> found, channel = strongest(jnp.array([[1., -3.], [2., 0.]]).reshape(1, 2, 1, 2))
        >>> found.tolist(), channel.tolist()  # |-3| + |0| and |1| + |2| tie: the first
        ([[[1.0], [2.0]]], [0])

    Source: figures 6 and 7 of the paper.
    """
    channel = jnp.abs(maps.astype(jnp.float32)).mean((1, 2)).argmax(-1).astype(jnp.int32)
    return of_channel(maps, channel), channel


def of_channel(maps: jax.Array, channel: jax.Array) -> jax.Array:
    """Returns one channel of every example: [B, h, w, C] and [B] -> [B, h, w], float32."""
    return jnp.take_along_axis(maps, channel[:, None, None, None], axis=-1)[..., 0].astype(
        jnp.float32
    )


def probability(maps: jax.Array, classes: jax.Array) -> jax.Array:
    """Returns the probability of a class at every cell: the softmax of the class scores.

    Args:
        maps: class scores, [B, h, w, C], float32.
        classes: one for each example, [B], int32.

    Returns:
        [B, h, w], float32 in [0, 1].

    Source: section 3 of the paper.
    """
    return jnp.exp(of_channel(maps, classes) - jax.nn.logsumexp(maps, axis=-1))


def scaled_score(maps: jax.Array, classes: jax.Array) -> jax.Array:
    """Returns the score of a class at every cell, scaled to [0, 1] in the image.

    Args:
        maps: class scores, [B, h, w, C], float32.
        classes: one for each example, [B], int32.

    Returns:
        [B, h, w], float32; see `minmax_scale`.
    """
    return minmax_scale(of_channel(maps, classes), (1, 2))


def entering_level3(model: Network, levels: Mapping[str, jax.Array]) -> jax.Array:
    """Returns what enters the first convolution of level 3: level 2, in DRN-A and ResNet pooled.

    Args:
        model: the network.
        levels: what its method `levels` gives.

    Returns:
        [B, h, w, C].

    Source: figure 6 of the paper.
    """
    maps = levels['level2']
    if model.table.stem.pooled:
        return nn.max_pool(maps, (3, 3), strides=(2, 2), padding=((1, 1), (1, 1)))
    return maps
