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
from types import ModuleType
from typing import Any

import numpy as np

from drn_jax.errors import InputError
from drn_jax.models import normalization

SUFFIXES = ('.h5', '.hdf5', '.keras')
MEAN = tuple(each / 255 for each in (123.68, 116.779, 103.939))  # RGB, white being 1
STD = (1 / 255,) * 3
_NORM = ('weight', 'bias', 'running_mean', 'running_var')  # Keras's order
_NAMES = re.compile(r'conv([2-5])_block(\d+)_([0-3])_(conv|bn)')
# Before Keras Applications 1.0.8, as in Caffe, where ResNet-101 has blocks 3a, 3b1, 3b2, ...
_OLD_NAMES = re.compile(r'(res|bn)([2-5])([a-z])(\d*)_branch(1|2[abc])')
_STEM = {'conv1_conv': 'conv1', 'conv1': 'conv1', 'conv1_bn': 'bn1', 'bn_conv1': 'bn1'}
_HEAD = re.compile(r'predictions|probs|fc\d+')
_Layer = tuple[str, dict[str, Any], list[np.ndarray]]  # name, configuration if known, weights
# Of batch normalization, where a file has weights only; the old one is Keras's default.
_EPSILON, _OLD_EPSILON = 1.001e-5, 1e-3


def read(file: pathlib.Path) -> dict[str, np.ndarray]:
    """Reads the state dict of a ResNet, exact but for the order of sums.

    Args:
        file: a whole model or its weights as HDF5, with the names of layers, or `.keras`.

    Returns:
        Name -> float32 array, as `weights.from_torch` takes it, for images normalized with `MEAN`
        and `STD`.

    Raises:
        InputError: h5py is missing, or the file cannot be read or holds no ResNet of Keras
            Applications.

    Source: keras.applications.resnet, and keras.applications.resnet50 of Keras 2.0 to 2.2.
    """
    h5py = _import_h5py(file)
    try:
        of_archive = file.suffix.lower() == '.keras'
        return _state(file, _of_archive(h5py, file) if of_archive else _of_hdf5(h5py, file))
    except InputError:
        raise
    except (OSError, LookupError, ValueError, TypeError, AttributeError, zipfile.BadZipFile) as e:
        raise InputError(
            f'{file} is incomplete, damaged or no file of Keras with named layers; save the model '
            'again as .keras',
            path=file,
        ) from e


def _state(file: pathlib.Path, found: Iterator[_Layer]) -> dict[str, np.ndarray]:
    """Returns the state dict of these layers; see `read`."""
    state: dict[str, np.ndarray] = {}
    biases: dict[str, np.ndarray] = {}
    for name, config, values in found:
        target = _target(name, file)
        if target == 'fc':
            state |= {'fc.weight': values[0].T, 'fc.bias': values[1]}
        elif len(values) == len(_NORM):
            state |= {f'{target}.{key}': value for key, value in zip(_NORM, values)}
            epsilon = config.get('epsilon', _OLD_EPSILON if name.startswith('bn') else _EPSILON)
            state[f'{target}.running_var'] += np.float32(epsilon - normalization.EPSILON)
        else:
            state[f'{target}.weight'] = values[0].transpose(3, 2, 0, 1)
            biases |= {_norm_of(target): value for value in values[1:]}
    for target, bias in biases.items():
        state[f'{target}.running_mean'] -= bias
    state['conv1.weight'] = state['conv1.weight'][:, ::-1]
    return state


def _target(name: str, file: pathlib.Path) -> str:
    """Returns torchvision's name of a layer.

    Example:
        >>> file = pathlib.Path('resnet.h5')
        >>> [_target(name, file) for name in ('conv3_block2_0_bn', 'bn3b1_branch1')]
        ['layer2.1.downsample.1', 'layer2.1.downsample.1']
    """
    if name in _STEM:
        return _STEM[name]
    if _HEAD.fullmatch(name):
        return 'fc'
    if parts := _NAMES.fullmatch(name):
        stage, block, conv, kind = int(parts[1]), int(parts[2]) - 1, int(parts[3]), parts[4]
    elif parts := _OLD_NAMES.fullmatch(name):
        stage, block = int(parts[2]), int(parts[4] or ord(parts[3]) - ord('a'))
        conv = ('1', '2a', '2b', '2c').index(parts[5])
        kind = 'conv' if parts[1] == 'res' else 'bn'
    else:
        raise InputError(
            f'{file} holds the layer {name!r}, which no ResNet-50, 101 or 152 of Keras '
            'Applications has; give one of these',
            path=file,
        )
    parent = f'layer{stage - 1}.{block}'
    if conv == 0:
        return f'{parent}.downsample.{0 if kind == "conv" else 1}'
    return f'{parent}.{kind}{conv}'


def _norm_of(conv: str) -> str:
    """Returns the batch normalization that follows a convolution, both as torchvision calls them.

    Example:
        >>> _norm_of('conv1'), _norm_of('layer2.1.downsample.0')
        ('bn1', 'layer2.1.downsample.1')
    """
    return conv.replace('downsample.0', 'downsample.1').replace('conv', 'bn')


def _of_hdf5(h5py: ModuleType, file: pathlib.Path) -> Iterator[_Layer]:
    """Yields the layers that have weights; a file of weights alone has no configurations."""
    with h5py.File(file) as content:
        model = json.loads(content.attrs.get('model_config', '{}')).get('config', {})
        configs = {layer['config']['name']: layer['config'] for layer in model.get('layers', ())}
        group = content.get('model_weights', content)
        for name in map(_text, group.attrs['layer_names']):
            names = map(_text, group[name].attrs['weight_names'])
            if values := [np.asarray(group[name][each], np.float32) for each in names]:
                yield name, configs.get(name, {}), values


def _of_archive(h5py: ModuleType, file: pathlib.Path) -> Iterator[_Layer]:
    """Yields the layers of a `.keras` file, whose weights are named by kind and number."""
    numbers: collections.Counter[str] = collections.Counter()
    with zipfile.ZipFile(file) as archive:
        model = json.loads(archive.read('config.json'))['config']
        with archive.open('model.weights.h5') as stream, h5py.File(stream) as content:
            for layer in model['layers']:
                kind = _snake_case(layer['class_name'])
                number = numbers[kind]
                numbers[kind] += 1
                place = content['layers'].get(f'{kind}_{number}' if number else kind, {})
                variables = place.get('vars', {})
                if values := [np.asarray(variables[each], np.float32) for each in variables]:
                    yield layer['config']['name'], layer['config'], values


def _import_h5py(file: pathlib.Path) -> ModuleType:
    try:
        import h5py
    except ImportError as error:
        raise InputError(
            f"{file} needs h5py, which is not installed: pip install 'drn_jax[keras]'", path=file
        ) from error
    return h5py


def _snake_case(name: str) -> str:
    """Returns a class's name as Keras writes it in files.

    Example:
        >>> _snake_case('BatchNormalization'), _snake_case('Conv2D')
        ('batch_normalization', 'conv2d')
    """
    return re.sub(r'(?<=[a-z])(?=[A-Z])', '_', re.sub(r'\W', '', name)).lower()


def _text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)
