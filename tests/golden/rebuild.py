"""Makes the weights and inputs of the golden files again, from their names alone."""

import pathlib
import zlib

import numpy as np

FOLDER = pathlib.Path(__file__).parent


def load(name):
    """The arrays of one golden file, as a dict."""
    with np.load(FOLDER / f'{name}.npz') as file:
        return dict(file)


def state_dict(names):
    """Name -> float32 array for every `"<name> <d0>x<d1>..."`."""
    pairs = (entry.split(' ') for entry in names)
    return {
        name: _value(name, tuple(map(int, shape.split('x')))).astype(np.float32)
        for name, shape in pairs
    }


def images(seed, shape):
    """Standard normal images, drawn as [B, 3, H, W] and given as [B, H, W, 3]."""
    drawn = np.random.default_rng(seed).standard_normal(shape)
    return drawn.astype(np.float32).transpose(0, 2, 3, 1)


def _value(name, shape):
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    if name == 'up.weight':
        line = 1 - np.abs(np.arange(16) / 8 - 15 / 16)
        return np.broadcast_to(np.outer(line, line), shape)
    if name.endswith('running_var'):
        return rng.uniform(0.5, 1.5, shape)
    if name.endswith('running_mean'):
        return 0.1 * rng.standard_normal(shape)
    if len(shape) == 4:
        return rng.standard_normal(shape) * np.sqrt(2 / (shape[0] * shape[2] * shape[3]))
    if len(shape) == 2:
        return rng.standard_normal(shape) * np.sqrt(2 / shape[0])
    if name.endswith('bias'):
        return 0.05 * rng.standard_normal(shape)
    return rng.uniform(0.5, 0.9, shape)
