"""Images whose pixels are sorted by phase, where dilated convolutions are dense ones.

A kernel whose taps lie d pixels apart joins pixel p only with pixels p + d * k, that is, with
pixels of the same row modulo d and the same column modulo d: of the same phase. An image sorted
into its d * d phases is d * d small images, and the dilated convolution is the dense convolution of
each of them.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial


def space_to_batch(x: jax.Array, dilation: int) -> jax.Array:
    """Sorts the pixels of images into phases.

    out[(b * d + r) * d + s, i, j] = x[b, d * i + r, d * j + s], zero outside the image.

    Args:
        x: images, [B, H, W, C].
        dilation: d, at least 1.

    Returns:
        [B * d * d, ceil(H / d), ceil(W / d), C].

    Example:
        >>> x = jnp.arange(4).reshape(1, 1, 4, 1)
        >>> space_to_batch(x, 2)[:, 0, :, 0].tolist()
        [[0, 2], [1, 3], [0, 0], [0, 0]]

    Source: Yu, Koltun and Funkhouser, Dilated Residual Networks, 2017, equations 2 to 4.
    """
    if dilation == 1:
        return x
    batch, height, width, channels = x.shape
    rows, columns = -(-height // dilation), -(-width // dilation)
    x = jnp.pad(x, ((0, 0), (0, rows * dilation - height), (0, columns * dilation - width), (0, 0)))
    x = x.reshape(batch, rows, dilation, columns, dilation, channels)
    return x.transpose(0, 2, 4, 1, 3, 5).reshape(
        batch * dilation * dilation, rows, columns, channels
    )


def batch_to_space(x: jax.Array, dilation: int, height: int, width: int) -> jax.Array:
    """Puts the phases of images together again, the inverse of `space_to_batch`.

    Args:
        x: phases, [B * d * d, ceil(H / d), ceil(W / d), C].
        dilation: d, at least 1.
        height: H.
        width: W.

    Returns:
        [B, H, W, C].

    Example:
        >>> x = jnp.arange(15).reshape(1, 5, 3, 1)
        >>> bool((batch_to_space(space_to_batch(x, 4), 4, 5, 3) == x).all())
        True
    """
    if dilation == 1:
        return x
    phases, rows, columns, channels = x.shape
    x = x.reshape(phases // dilation**2, dilation, dilation, rows, columns, channels)
    x = x.transpose(0, 3, 1, 4, 2, 5).reshape(
        phases // dilation**2, rows * dilation, columns * dilation, channels
    )
    return x[:, :height, :width]


def inside(sizes: jax.Array, height: int, width: int) -> jax.Array:
    """Says which pixels belong to images that lie at the upper left of larger ones.

    Args:
        sizes: heights and widths of the images, [B, 2], int32.
        height, width: of the larger ones.

    Returns:
        [B, height, width, 1], bool.

    Example:
        >>> inside(jnp.array([[1, 2]]), 2, 3)[0, :, :, 0].tolist()
        [[True, True, False], [False, False, False]]
    """
    rows, columns = (
        jnp.arange(length) < sizes[:, axis, None] for axis, length in enumerate((height, width))
    )
    return (rows[:, :, None] & columns[:, None, :])[..., None]


def strided_sizes(sizes: jax.Array | None, stride: int) -> jax.Array | None:
    """Returns the sizes of maps after a layer with a stride, rounded up.

    Args:
        sizes: heights and widths, [B, 2], int32; None stays None.
        stride: of both axes, at least 1.

    Example:
        >>> strided_sizes(jnp.array([[5, 8]]), 2).tolist()
        [[3, 4]]
    """
    return None if sizes is None else -(-sizes // stride)


class SpaceToBatchMap(NamedTuple):
    """A map of images that remembers into which phases it is sorted.

    Neighboring layers of one dilation hand it on as it is, so a whole level is sorted once.

    Attributes:
        array: [B * d * d, ceil(H / d), ceil(W / d), C] as `space_to_batch` gives it; what lies
            outside the image may hold anything.
        dilation: d.
        height: H.
        width: W.
        recipe: makes `array` anew, see `rereading`; None: it is read from memory.
        sizes: [B, 2], int32, height and width of each image, which lies at the upper left of
            H x W and perhaps does not fill it; None: all do.
    """

    array: jax.Array
    dilation: int
    height: int
    width: int
    recipe: Partial | None = None
    sizes: jax.Array | None = None

    @classmethod
    def of(cls, images: jax.Array, sizes: jax.Array | None = None) -> 'SpaceToBatchMap':
        """Returns images [B, H, W, C] as a map of one phase."""
        _, height, width, _ = images.shape
        return cls(images, 1, height, width, sizes=sizes)

    def map(self, function: Callable[[jax.Array], jax.Array]) -> 'SpaceToBatchMap':
        """Applies a function to every pixel."""
        return self._replace(array=function(self.array), recipe=None)

    def sorted(self, dilation: int) -> 'SpaceToBatchMap':
        """Returns the same map, sorted into the phases of a dilation."""
        if dilation == self.dilation:
            return self
        images = batch_to_space(self.array, self.dilation, self.height, self.width)
        return self.map(lambda _: space_to_batch(images, dilation))._replace(dilation=dilation)

    def inside(self) -> jax.Array | None:
        """Returns what lies inside the image: bool, broadcastable to `array`; None if all does."""
        if self.sizes is not None:
            return space_to_batch(inside(self.sizes, self.height, self.width), self.dilation)
        if self.height % self.dilation == 0 and self.width % self.dilation == 0:
            return None
        image = jnp.ones((1, self.height, self.width, 1), bool)
        phases = self.array.shape[0]
        return jnp.tile(space_to_batch(image, self.dilation), (phases // self.dilation**2, 1, 1, 1))

    def zero_outside(self) -> 'SpaceToBatchMap':
        """Returns the same map with zeros outside the image, as a convolution expects them."""
        inside = self.inside()
        return self if inside is None else self.map(lambda x: jnp.where(inside, x, 0))
