"""Class maps of images that do not fit into memory: tile by tile, with the numbers of the whole."""

from typing import Any

import jax
import jax.numpy as jnp

from drn_jax.models import descriptions
from drn_jax.models.networks import Network


def halo_px(model: Network) -> int:
    """Returns how far beyond a tile a network has to see, in pixels.

    Args:
        model: a network of `drn_jax.create_model`.

    Returns:
        Half the receptive field, rounded up to a multiple of the stride.

    Example:
        >>> from drn_jax.models.networks import create_model
        >>> halo_px(create_model('drn_c_26'))  # half of 581, rounded up to a multiple of 8
        296
    """
    row = descriptions.of_table(model.table).total
    return -(-row.receptive_field // (2 * row.stride)) * row.stride


def tiled_class_maps(model: Network, variables: Any, images: jax.Array, tile_px: int) -> jax.Array:
    """Returns the class scores of whole images, computed in tiles of about `tile_px` pixels a side.

    Each tile is cut out with a halo of half the receptive field and only its inner cells are used,
    so the result is that of the whole image, at the cost of computing the halos as well. Tiles at
    the border of the image are shifted inwards until they lie inside: then all have one shape, and
    the image's own border keeps the zero padding that it has in the whole.

    Args:
        model: a network of `drn_jax.create_model`, with classes.
        variables: its parameters and batch statistics.
        images: [B, H, W, 3], float32, normalized.
        tile_px: side of a tile without its halo, a multiple of the stride, above 0.

    Returns:
        [B, ceil(H / s), ceil(W / s), classes], float32, s the stride (8, ResNet 32).

    Raises:
        ValueError: tile_px is no multiple of the stride.

    Source: Luo et al., Understanding the effective receptive field, 2016, section 2 (what a cell
        can see).
    """
    stride = model.table.stride
    if tile_px < 1 or tile_px % stride:
        raise ValueError(
            f'tiles of {tile_px} pixels were asked for; give a multiple of the stride '
            f'of {model.variant}, {stride}'
        )
    halo = halo_px(model)
    height, width = images.shape[1:3]
    (tops, rows), (lefts, columns) = (
        _cuts(length, tile_px, halo, stride) for length in (height, width)
    )

    def class_maps(corner):
        window = jax.lax.dynamic_slice(
            images, (0, *corner, 0), (len(images), rows, columns, images.shape[3])
        )
        return model.apply(variables, window, method='class_maps')

    corners = jnp.array([(top, left) for top in tops for left in lefts])
    maps = jax.lax.map(class_maps, corners)
    cells, maps = tile_px // stride, maps.reshape(len(tops), len(lefts), *maps.shape[1:])

    def inner(i, j):  # the cells of a tile, cut out of the maps of its window
        y, x = i * cells - tops[i] // stride, j * cells - lefts[j] // stride
        return maps[i, j, :, y : y + cells, x : x + cells]

    across = [
        jnp.concatenate([inner(i, j) for j in range(len(lefts))], axis=2) for i in range(len(tops))
    ]
    return jnp.concatenate(across, axis=1)


def _cuts(length, tile, halo, stride):
    """Returns where the windows of all tiles of one axis begin, and how long a window is.

    Windows begin at multiples of the stride, and so does the last one that ends with the axis,
    because its length leaves the same rest as that of the axis.
    """
    window = min(length, tile + 2 * halo + length % stride)
    return [min(max(start - halo, 0), length - window) for start in range(0, length, tile)], window
