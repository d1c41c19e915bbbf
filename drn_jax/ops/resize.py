"""Upsampling of class maps to the pixels of the image."""
import jax.numpy as jnp
import numpy as np

from drn_jax.errors import InputError

EDGES = ('extend', 'fade')


def upsample(maps, height, width, *, stride=8, edges='extend'):
    """Interpolates maps bilinearly, as two small matrix products.

    Cell i is centred at pixel stride * (i + 1/2) - 1/2. A pixel between two centres gets the mean
    of both cells, weighted by nearness. Beyond the outermost centres 'extend' repeats the outermost
    cell, as bilinear resizing does everywhere; 'fade' lets it fall off towards zero, as the
    release's frozen transposed convolution does. Both give every pixel the same largest class.

    Args:
        maps: [B, h, w, C], float32.
        height, width: of the image in pixels, at most stride * h and stride * w.
        stride: pixels from one cell to the next.
        edges: 'extend' or 'fade'.

    Returns:
        [B, height, width, C], float32.

    Raises:
        InputError: the image is larger than the maps reach, or `edges` is unknown.

    Example:
        >>> upsample(jnp.array([0., 4.]).reshape(1, 1, 2, 1), 1, 8, stride=4)[0, 0, :, 0].tolist()
        [0.0, 0.0, 0.5, 1.5, 2.5, 3.5, 4.0, 4.0]

    Source: section 5.3 of the paper ('extend'); the release's `up` layer ('fade').
    """
    if edges not in EDGES:
        raise InputError(f'edges {edges!r} is unknown; known: {", ".join(EDGES)}')
    _, rows, columns, _ = maps.shape
    if not (0 < height <= stride * rows and 0 < width <= stride * columns):
        raise InputError(f'{rows} x {columns} cells of {stride} pixels do not cover an image of '
                         f'{height} x {width} pixels; give at most {stride * rows} x '
                         f'{stride * columns}')
    return jnp.einsum('yh,bhwc,xw->byxc', _weights(height, rows, stride, edges), maps,
                      _weights(width, columns, stride, edges), precision='highest')


def _weights(pixels, cells, stride, edges):
    """Gives the share of every cell in every pixel of one axis, [pixels, cells], float32."""
    position = (np.arange(pixels) + .5) / stride - .5
    weights = np.maximum(1 - np.abs(position[:, None] - np.arange(cells)), 0)
    if edges == 'extend':
        weights /= weights.sum(1, keepdims=True)
    return weights.astype(np.float32)
