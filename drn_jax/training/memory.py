"""What to say when the devices have too little memory."""
import contextlib

import jax

from drn_jax.errors import InputError

PREDICT = ('give a smaller --batch_size, or for segmentation a smaller --size or tiles, '
           '--config.evaluation.tile_px=512')
TRAIN = ('give a smaller config.batch_size or smaller images (config.data.crop_px for '
         'segmentation), levels to compute twice, config.model.rematerialize, or more devices')
EVALUATE = ('give a smaller config.evaluation.batch_size, or for segmentation tiles, '
            'config.evaluation.tile_px=512')


@contextlib.contextmanager
def sufficient(what, advice):
    """Turns the error of a device that has too little memory into one sentence.

    Args:
        what: does not fit, in the plural.
        advice: what to do, one of those above.

    Raises:
        InputError: the memory did not suffice.
    """
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if 'RESOURCE_EXHAUSTED' not in str(error):
            raise
        raise InputError(f'{what} do not fit into the memory of the devices; {advice}') from error


def images(shape):
    """Gives a batch of images in words.

    Example:
        >>> images((8, 1024, 2048, 3))
        '8 images of 1024 x 2048 pixels'
    """
    return f'{shape[0]} images of {shape[1]} x {shape[2]} pixels'
