"""ResNets of Keras Applications, `.h5` and `.keras`, as state dicts with torchvision's names.

Keras strides in the first convolution of a bottleneck (`stride_in='1x1'`), gives its convolutions a
bias, which goes into the running mean here, and feeds BGR pixels of 0 to 255 less their mean.
"""

import collections
import json
import pathlib
import re
import zipfile
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np

from drn_jax.errors import InputError

SUFFIXES = ('.h5', '.hdf5', '.keras')
MEAN = tuple(each / 255 for each in (123.68, 116.779, 103.939))  # RGB, white being 1
STD = (1 / 255,) * 3
_EPSILON = 1.001e-5 - 1e-5  # Keras's less ours, added to the running variance
_NORM = ('weight', 'bias', 'running_mean', 'running_var')  # Keras's order


def read(file: pathlib.Path) -> dict[str, np.ndarray]:
    """Reads the state dict of a ResNet, exact but for the order of sums.

    Args:
        file: a whole model or its weights as HDF5, with the names of layers, or `.keras`.

    Returns:
        Name -> float32 array, as `weights.from_torch` takes it, for images normalized with `MEAN`
        and `STD`.

    Raises:
        InputError: it cannot be read, or holds no ResNet of Keras Applications.

    Source: keras.applications.resnet.
    """
    try:
        layers = dict(_of_archive(file) if file.suffix == '.keras' else _of_hdf5(file))
    except (OSError, KeyError, ValueError, TypeError, zipfile.BadZipFile) as error:
        raise InputError(
            f'{file} is incomplete, damaged or no file of Keras with named layers; save the model '
            'again as .keras',
            path=file,
        ) from error
    state: dict[str, np.ndarray] = {}
    biases = {}
    for name, values in layers.items():
        target = _target(name, file)
        if name.endswith('_conv'):
            state[f'{target}.weight'] = values[0].transpose(3, 2, 0, 1)
            if len(values) > 1:
                biases[name.removesuffix('_conv')] = values[1]
        elif name.endswith('_bn'):
            state |= {f'{target}.{key}': value for key, value in zip(_NORM, values)}
        else:
            state |= {'fc.weight': values[0].T, 'fc.bias': values[1]}
    for name, bias in biases.items():
        state[f'{_target(f"{name}_bn", file)}.running_mean'] -= bias
    for name in state:
        if name.endswith('running_var'):
            state[name] += _EPSILON
    state['conv1.weight'] = state['conv1.weight'][:, ::-1]
    return state


def _target(name: str, file: pathlib.Path) -> str:
    """Returns torchvision's name of a layer."""
    if name in ('conv1_conv', 'conv1_bn', 'predictions', 'probs'):
        return {'conv1_conv': 'conv1', 'conv1_bn': 'bn1'}.get(name, 'fc')
    parts = re.fullmatch(r'conv([2-5])_block(\d+)_([0-3])_(conv|bn)', name)
    if not parts:
        raise InputError(
            f'{file} holds the layer {name!r}, which no ResNet-50, 101 or 152 of Keras '
            'Applications has; give one of these',
            path=file,
        )
    stage, block, conv, kind = int(parts[1]), int(parts[2]), int(parts[3]), parts[4]
    parent = f'layer{stage - 1}.{block - 1}'
    if conv == 0:
        return f'{parent}.downsample.{0 if kind == "conv" else 1}'
    return f'{parent}.{kind}{conv}'


def _of_hdf5(file: pathlib.Path) -> Iterator[tuple[str, list[np.ndarray]]]:
    with h5py.File(file) as content:
        group = content.get('model_weights', content)
        for name in map(_text, group.attrs['layer_names']):
            names = map(_text, group[name].attrs['weight_names'])
            if values := [np.asarray(group[name][each], np.float32) for each in names]:
                yield name, values


def _of_archive(file: pathlib.Path) -> Iterator[tuple[str, list[np.ndarray]]]:
    """Yields the layers of a `.keras` file, whose weights are named by kind and number."""
    numbers: collections.Counter[str] = collections.Counter()
    with zipfile.ZipFile(file) as archive:
        layers = json.loads(archive.read('config.json'))['config']['layers']
        with archive.open('model.weights.h5') as stream, h5py.File(stream) as content:
            for layer in layers:
                kind = _snake_case(layer['class_name'])
                number = numbers[kind]
                numbers[kind] += 1
                place = content['layers'].get(f'{kind}_{number}' if number else kind, {})
                variables = place.get('vars', {})
                if values := [np.asarray(variables[each], np.float32) for each in variables]:
                    yield layer['config']['name'], values


def _snake_case(name: str) -> str:
    """Returns a class's name as Keras writes it in files.

    Example:
        >>> _snake_case('BatchNormalization'), _snake_case('Conv2D')
        ('batch_normalization', 'conv2d')
    """
    return re.sub(r'(?<=[a-z])(?=[A-Z])', '_', re.sub(r'\W', '', name)).lower()


def _text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)
