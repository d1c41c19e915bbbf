"""Label maps that were drawn by people, read from files."""

import pathlib

import numpy as np
from PIL import Image

from drn_jax.errors import InputError
from drn_jax.ops import confusion
from drn_jax.prediction import inputs


def find_labels(given, photographs):
    """Finds the label map of each photograph.

    Args:
        given: a folder whose files have the names of the photographs, or, for one photograph, a
            file.
        photographs: of `inputs.find_photographs`.

    Returns:
        {name of the photograph: path}.

    Raises:
        InputError: a photograph has none.
    """
    path = pathlib.Path(given)
    if not path.is_dir():
        if len(photographs) != 1:
            raise InputError(
                f'--labels={given} is no folder, but there are {len(photographs)} '
                'photographs; give a folder with a label map of the same name for '
                'each'
            )
        if not path.exists():
            raise InputError(f'--labels={given} does not exist; give a label map or a folder')
        return {photographs[0].name: path}
    found = {label.name: label.path for label in inputs.find_photographs([path])}
    missing = [photograph.name for photograph in photographs if photograph.name not in found]
    if missing:
        raise InputError(
            f'--labels={given} lacks label maps for {len(missing)} of '
            f'{len(photographs)} photographs, for example {missing[0]!r}; they have '
            'the names of the photographs'
        )
    return found


def read_labels(path, shape, classes):
    """Reads a label map: the class of every pixel, 255 where there is none.

    Args:
        path: an image file of 8 bits, gray or with a palette.
        shape: height and width that it must have.
        classes: how many there are.

    Returns:
        [H, W], uint8.

    Raises:
        InputError: it cannot be read, or has another kind, size or values; the file is named.
    """
    try:
        with Image.open(path) as image:
            mode, labels = image.mode, np.array(image)
    except Exception as error:  # decoders raise many kinds
        raise InputError(
            f'{path} cannot be read as an image ({error}); give a label map'
        ) from error
    if mode not in ('L', 'P'):
        raise InputError(
            f'{path} has the mode {mode}, but a label map has one byte for each '
            'pixel, the number of its class; save it as gray PNG'
        )
    if labels.shape != tuple(shape):
        raise InputError(
            f'{path} has {labels.shape[0]} x {labels.shape[1]} pixels, but its '
            f'photograph {shape[0]} x {shape[1]}; give them one size'
        )
    unknown = np.unique(labels[(labels >= classes) & (labels != confusion.IGNORE)])
    if len(unknown):
        raise InputError(
            f'{path} has the label {unknown[0]}, but classes are 0 to {classes - 1}, '
            f'and {confusion.IGNORE} is none; map its labels first'
        )
    return labels
