"""The names and shapes of the authors' PyTorch release, derived from the table of `variants`.

Our `level3/block0/conv1/kernel` is `layer3.0.conv1.weight` there, and in a segmentation file
`base.5.0.conv1.weight`.
"""
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from drn_jax.models import variants

Shape = tuple[int, ...]
Path = tuple[str, ...]

HEADS = {'classification': 'fc', 'segmentation': 'seg'}


class _Naming(NamedTuple):
    """How the release names the parts of a family's networks."""
    children: tuple[str, ...]  # in order; a segmentation file calls children[N] 'base.N'
    stem: tuple[str, str]  # convolution and batch normalization
    first_level: int  # the level that is called 'layer1'
    head_dims: int  # of the classifier's weight: 4 is a 1x1 convolution, 2 a linear layer


_TORCHVISION = _Naming(('conv1', 'bn1', 'relu', 'maxpool', *(f'layer{i}' for i in range(1, 5))),
                       ('conv1', 'bn1'), first_level=3, head_dims=2)
_RELEASE_C = _Naming(('conv1', 'bn1', 'relu', *(f'layer{i}' for i in range(1, 9))),
                     ('conv1', 'bn1'), first_level=1, head_dims=4)
_RELEASE_D = _Naming(tuple(f'layer{i}' for i in range(9)),
                     ('layer0.0', 'layer0.1'), first_level=1, head_dims=4)
_NAMINGS = {'resnet': _TORCHVISION, 'drn_a': _TORCHVISION,
            'drn_b': _RELEASE_C, 'drn_c': _RELEASE_C, 'drn_d': _RELEASE_D}


class _Layer(NamedTuple):
    """A convolution and its batch normalization."""
    conv: variants.Conv
    path: Path  # of the convolution
    conv_name: str
    norm_name: str
    channels: int  # the table's count that the convolution gives, 0 if a shortcut or expanded
    used: bool = True


class TorchSettings(NamedTuple):
    """What a state dict tells about its model: arguments of `create_model`."""
    num_classes: int  # 0 where it has no classifier
    task: str
    width: float


class Entry(NamedTuple):
    """One array of a state dict and its place in our variables."""
    name: str
    shape: Shape  # in PyTorch's layout
    path: Path  # () where the release owns it and nothing uses it


def settings(row: variants.Variant, shapes: Mapping[str, Shape]) -> TorchSettings:
    task = 'segmentation' if any(name.startswith(('base.', 'seg.')) for name in shapes) \
        else 'classification'
    head = shapes.get(f'{HEADS[task]}.weight') or shapes.get(f'{HEADS[task]}.bias')
    return TorchSettings(head[0] if head else 0, task, _width(row, shapes, task))


def _width(row: variants.Variant, shapes: Mapping[str, Shape], task: str) -> float:
    """The width w for which round(w * c) gives the state dict's count for every c of the table.

    A count n of the c channels of a layer allows (n - 1/2) / c <= w <= (n + 1/2) / c. The w is
    taken on which most layers agree, so that one misshapen array stays one.
    """
    bounds = []
    for layer in _layers(row, task):
        shape = shapes.get(f'{layer.conv_name}.weight')
        if layer.channels and shape:
            bounds.append(((shape[0] - 0.5) / layer.channels, (shape[0] + 0.5) / layer.channels))
    if not bounds:
        return 1.0
    agreed = max((low for low, _ in bounds),
                 key=lambda w: sum(low <= w < high for low, high in bounds))
    return (agreed + min(high for low, high in bounds if low <= agreed < high)) / 2


def entries(row: variants.Variant, num_classes: int, task: str) -> Iterator[Entry]:
    """Every array of a state dict, in the release's order."""
    for layer in _layers(row, task):
        conv, norm = layer.conv, (*layer.path[:-1], layer.path[-1].replace('conv', 'bn'))
        arrays = [
            (f'{layer.conv_name}.weight',
             (conv.outputs, conv.inputs, conv.kernel_size, conv.kernel_size),
             ('params', *layer.path, 'kernel')),
            (f'{layer.norm_name}.weight', (conv.outputs,), ('params', *norm, 'scale')),
            (f'{layer.norm_name}.bias', (conv.outputs,), ('params', *norm, 'bias')),
            (f'{layer.norm_name}.running_mean', (conv.outputs,), ('batch_stats', *norm, 'mean')),
            (f'{layer.norm_name}.running_var', (conv.outputs,), ('batch_stats', *norm, 'var')),
        ]
        for name, shape, path in arrays:
            yield Entry(name, shape, path if layer.used else ())
    if num_classes:
        head = HEADS[task]
        dims = 4 if task == 'segmentation' else _NAMINGS[row.family].head_dims
        yield Entry(f'{head}.weight', (num_classes, row.outputs, 1, 1)[:dims],
                     ('params', 'head', 'kernel'))
        yield Entry(f'{head}.bias', (num_classes,), ('params', 'head', 'bias'))
        if task == 'segmentation':
            yield Entry('up.weight', (num_classes, 1, 2 * row.stride, 2 * row.stride), ())


def _layers(row: variants.Variant, task: str) -> Iterator[_Layer]:
    """Every convolution with its names, in the release's order."""
    naming = _NAMINGS[row.family]
    for layer in _classification_layers(row, naming):
        if task == 'segmentation':
            layer = layer._replace(conv_name=_numbered(layer.conv_name, naming),
                                   norm_name=_numbered(layer.norm_name, naming))
        yield layer


def _classification_layers(row: variants.Variant, naming: _Naming) -> Iterator[_Layer]:
    conv, = row.stem.expand().convs
    yield _Layer(conv, ('stem', conv.name), *naming.stem, row.stem.channels)
    for level, blocks in row.expand():
        parent = f'layer{level.number - naming.first_level + 1}'
        for i, block in enumerate(blocks):
            for conv in block.convs:
                # A plain level is one list of convolution, normalization and ReLU, again and again.
                names = ((f'{parent}.{3 * i}', f'{parent}.{3 * i + 1}') if len(block.convs) == 1
                         else (f'{parent}.{i}.{conv.name}',
                               f'{parent}.{i}.{conv.name.replace("conv", "bn")}'))
                yield _Layer(conv, (level.name, block.name, conv.name), *names,
                             level.channels if conv is block.convs[0] else 0)
            if block.projection:
                yield _Layer(block.projection,
                             (level.name, block.name, 'shortcut', block.projection.name),
                             f'{parent}.{i}.downsample.0', f'{parent}.{i}.downsample.1',
                             channels=0, used=block.residual)


def _numbered(name: str, naming: _Naming) -> str:
    child, *rest = name.split('.')
    return '.'.join(('base', str(naming.children.index(child)), *rest))


def bilinear(shape: Shape) -> np.ndarray:
    """The release's frozen kernel [classes, 1, 2s, 2s] that enlarges s times, bilinearly."""
    scale = shape[-1] / 2
    line = 1 - np.abs(np.arange(shape[-1]) / scale - (1 - 0.5 / scale))
    return np.broadcast_to(np.outer(line, line), shape)
