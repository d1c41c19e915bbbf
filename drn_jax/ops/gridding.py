"""Gridding: how much of a map's energy repeats with the period of the dilation."""

import functools

import jax
import jax.numpy as jnp
import numpy as np


def applicable(height: int, width: int, period: int) -> bool:
    """Says whether maps of this size can show a grid: two periods fit, and there is dilation.

    Example:
        >>> applicable(12, 12, 4), applicable(7, 7, 4), applicable(28, 28, 1)
        (True, False, False)
    """
    _check(period)
    return bool(period > 1 and min(height, width) >= 2 * period)


def gridding_score(maps: jax.Array, period: int) -> jax.Array:
    """Returns the fraction of the energy of an image's maps that lies at the grid's frequencies.

    Each channel is cut to whole periods from the top left, and its mean is taken away. Then

        score = sum over channels, (u, v) in G of |X(u, v)|^2
                / sum over channels, all (u, v) of |X(u, v)|^2,

    X being the discrete Fourier transform and G the frequencies near the grid's: u and v each less
    than 1 / (4 period) from a multiple of 1 / period cycles per cell, not both near 0. So period 4
    includes period 2. Frequencies near the grid's count because a grid on one object, rather than
    on the whole map, spreads that far. Of what enters G, the plane through the means of the
    blocks of period x period cells is taken away first, since a slope has a jump at the map's
    edge that holds all frequencies; a grid leaves no slope in these means.

    A grid that repeats every `period` cells scores 1, a slope 0, white noise about the fraction of
    the frequencies that lie in G; loud channels weigh more and dead ones nothing. The score of a
    data set is the mean over its images, so one image with large activations does not decide it.

    Args:
        maps: activations or class scores, [B, h, w, C], float32 or bfloat16.
        period: of the grid in cells, which is the level's dilation, at least 1; static.

    Returns:
        [B], float32 in [0, 1]; 0 where the maps are flat, and NaN everywhere (not applicable)
        where the period is 1 or either side of the map is shorter than two periods.

    Raises:
        ValueError: the period is below 1, or maps is not [B, h, w, C].

    Example:
        >>> board = jnp.indices((6, 6)).sum(0) % 2
        >>> gridding_score(board[None, :, :, None], 2).tolist()
        [1.0]
        >>> gridding_score(board[None, :, :, None], 4).tolist()  # 6 cells are less than 8
        [nan]

    Source: section 4 of the paper describes the artifact and gives no measure.
    """
    _check(period)
    if maps.ndim != 4:
        raise ValueError(f'maps {maps.shape} must be [B, h, w, C]')
    batch, height, width, channels = maps.shape
    if not applicable(height, width, period):
        return jnp.full(batch, jnp.nan, jnp.float32)
    height, width = (side // period * period for side in (height, width))
    maps = maps[:, :height, :width].astype(jnp.float32)
    square = (maps**2).sum((1, 2, 3))
    maps -= maps.mean((1, 2), keepdims=True)
    total = (maps**2).sum((1, 2, 3))
    (rows, low_rows), (columns, low_columns) = _near(height, period), _near(width, period)
    spectrum = jnp.einsum(
        'uh,bhwc,vw->buvc', rows, maps - _plane(maps, period), columns, precision='highest'
    )
    near_grid = ~(low_rows[:, None] & low_columns)
    grid = (spectrum**2 * near_grid[..., None]).sum((1, 2, 3))
    # Rounding leaves energy in a flat map; a real one has more.
    real = total > 1e-10 * square
    return jnp.where(real, jnp.minimum(grid / jnp.where(real, total, 1), 1), 0)


def _check(period):
    if period < 1:
        raise ValueError(f'period {period} must be at least 1 cell; give the dilation')


@functools.cache
def _near(size, period):
    """Returns a real orthonormal basis of the frequencies near multiples of 1 / period.

    Returns:
        Rows of the basis, [n, size], float32, and which are near frequency 0, [n], bool.
    """
    rows, low = [], []
    for k in range(size // 2 + 1):
        # In units of 1 / size: distance to the nearest multiple of 1 / period.
        distance = abs(k - round(k * period / size) * size / period)
        if 4 * period * distance >= size:
            continue
        angles = 2 * np.pi * k * np.arange(size) / size
        waves = [np.cos(angles)] if k in (0, size / 2) else [np.cos(angles), np.sin(angles)]
        rows += [wave / np.linalg.norm(wave) for wave in waves]
        low += [4 * period * k < size] * len(waves)
    return np.array(rows, np.float32), np.array(low)


def _plane(maps, period):
    """Returns the plane through the block means of maps without mean, [B, h, w, C]."""
    batch, height, width, channels = maps.shape
    means = maps.reshape(batch, height // period, period, width // period, period, channels).mean(
        (2, 4)
    )
    plane = jnp.zeros((1, 1, 1, 1))
    for axis, size in ((1, height), (2, width)):
        blocks = (np.arange(size // period) - (size / period - 1) / 2).astype(np.float32)
        cells = ((np.arange(size) - (size - 1) / 2) / period).astype(np.float32)
        slope = jnp.tensordot(means.mean(3 - axis), blocks, (1, 0), precision='highest')
        shape = [1, 1, 1, 1]
        shape[axis] = size
        plane = plane + slope[:, None, None] / (blocks**2).sum() * cells.reshape(shape)
    return plane
