"""Pictures in PNG files."""

import os

import numpy as np
from PIL import Image

from drn_jax.files import replacing


def write_png(path: str | os.PathLike[str], pixels: np.ndarray) -> None:
    """Writes a picture as PNG, in place of an earlier one.

    Args:
        path: the file, local or gs://.
        pixels: [H, W, 3] or [H, W], uint8.
    """
    with replacing(path) as partial:
        Image.fromarray(np.asarray(pixels)).save(partial, format='PNG')
