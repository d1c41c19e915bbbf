"""What to say when the devices have too little memory."""
import contextlib

import jax

from drn_jax.errors import InputError


@contextlib.contextmanager
def sufficient(shape):
    """Turns the error of a device that has too little memory into one sentence.

    Args:
        shape: of the images, [B, H, W, 3].

    Raises:
        InputError: the memory did not suffice.
    """
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if 'RESOURCE_EXHAUSTED' not in str(error):
            raise
        raise InputError(
            f'{shape[0]} images of {shape[1]} x {shape[2]} pixels do not fit into the memory of '
            'the devices; give a smaller --batch_size, or for segmentation a smaller --size or '
            'tiles, --config.evaluation.tile_px=512') from error
