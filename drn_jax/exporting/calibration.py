"""Photographs that tell an int8 file which numbers it meets."""

from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
import ml_collections
import numpy as np
from PIL import Image, ImageOps

from drn_jax import experiments
from drn_jax.data import image_files
from drn_jax.errors import InputError
from drn_jax.exporting.forward import ExportSource
from drn_jax.exporting.signatures import Signature
from drn_jax.prediction import inputs
from drn_jax.tasks import preprocessing

TRAIN = 'train'  # in place of a folder: the training images of the checkpoint's data set
LEAST, MOST = 8, 128  # images
MOST_PIXELS = 1 << 26  # where they are large


def read(given: str, source: ExportSource, signature: Signature) -> np.ndarray:
    """Reads the images to calibrate with, scaled and cropped to the file's size.

    Args:
        given: a folder, of which up to `MOST` images are taken, evenly spread; or `TRAIN`.
        source: the checkpoint.
        signature: size and kind of pixels; it has a size.

    Returns:
        [N, height, width, 3], of the signature's dtype.

    Raises:
        InputError: one cannot be read, there are too few, or the data set cannot be opened.
    """
    assert signature.size
    height, width = signature.size
    most = max(LEAST, min(MOST, MOST_PIXELS // (height * width)))
    found = _training_images(source, most) if given == TRAIN else _photographs(given, most)
    fitted = [  # one after the other: 128 photographs of a camera would fill the memory
        np.asarray(
            ImageOps.fit(Image.fromarray(pixels), (width, height), Image.Resampling.BILINEAR)
        )
        for pixels in found
    ]
    if len(fitted) < LEAST:
        raise InputError(
            f'--calibrate={given} has {len(fitted)} images, but int8 needs at least {LEAST}, '
            f'better {MOST}; give more',
            field='--calibrate',
        )
    return prepare(np.stack(fitted), source, signature)


def prepare(images: np.ndarray, source: ExportSource, signature: Signature) -> np.ndarray:
    """Makes what a file takes of raw pixels.

    Args:
        images: [N, H, W, 3], uint8.
        source: the checkpoint; used are mean and standard deviation.
        signature: whether the caller normalizes.
    """
    if signature.pixels == 'uint8':
        return images
    data = source.config.data
    return np.asarray(preprocessing.normalize(jnp.asarray(images), data.mean, data.std))


def resolve(config: ml_collections.ConfigDict) -> experiments.Experiment:
    """Opens the data set of a checkpoint for files, which need none of the devices it trained on.

    Args:
        config: of the checkpoint; it stays as it is.

    Raises:
        InputError: it cannot be opened.
    """
    config = ml_collections.ConfigDict(config.to_dict())
    config.mesh.devices = config.mesh.spatial = 1
    return experiments.resolve(config, trained=True)


def _photographs(folder: str, most: int) -> Iterator[np.ndarray]:
    photographs = inputs.find_photographs([folder])
    places = np.linspace(0, len(photographs) - 1, min(most, len(photographs))).round().astype(int)
    return (image_files.read_image(photographs[place].path) for place in places)


def _training_images(source: ExportSource, most: int) -> Iterator[np.ndarray]:
    from drn_jax import data  # it imports TensorFlow, which takes seconds

    experiment = resolve(source.config)
    config: Any = experiment.config.data
    split = experiment.source.first_examples(config.train_split, most)
    batches = data.evaluation_batches(experiment.source, config, batch_size=1, split=split)
    return (batch['image'][0] for batch in batches if batch['mask'][0])
