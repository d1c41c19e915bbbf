"""The names and shapes of the authors' PyTorch release, derived from the table of `variants`.

Our `level3/block0/conv1/kernel` is `layer3.0.conv1.weight` there, and in a segmentation file
`base.5.0.conv1.weight`. What others call it is turned into the release's name first: pytorchcv's
`features.stage3.unit1.body.conv1.conv.weight`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
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


_TORCHVISION = _Naming(
    ('conv1', 'bn1', 'relu', 'maxpool', *(f'layer{i}' for i in range(1, 5))),
    ('conv1', 'bn1'),
    first_level=3,
    head_dims=2,
)
_RELEASE_C = _Naming(
    ('conv1', 'bn1', 'relu', *(f'layer{i}' for i in range(1, 9))),
    ('conv1', 'bn1'),
    first_level=1,
    head_dims=4,
)
_RELEASE_D = _Naming(
    tuple(f'layer{i}' for i in range(9)), ('layer0.0', 'layer0.1'), first_level=1, head_dims=4
)
_NAMINGS = {
    'resnet': _TORCHVISION,
    'drn_a': _TORCHVISION,
    'drn_b': _RELEASE_C,
    'drn_c': _RELEASE_C,
    'drn_d': _RELEASE_D,
}


class TorchSettings(NamedTuple):
    """What a state dict tells about its model: arguments of `create_model`."""

    num_classes: int  # 0 where it has no classifier
    task: str
    width: float


class Entry(NamedTuple):
    """One array of a state dict and where it lies in our variables."""

    name: str
    shape: Shape  # in PyTorch's layout
    path: Path  # () where the release owns it and nothing uses it


class _Layer(NamedTuple):
    """A convolution with its batch normalization."""

    conv: variants.Conv
    parent: Path  # what holds both, in our parameters
    conv_name: str  # in the release
    norm_name: str
    channels: int  # of its level, where the convolution has as many outputs; else 0
    pytorchcv: str  # what holds both there, as `conv` and `bn`
    used: bool = True


def entries(row: variants.Variant, num_classes: int, task: str) -> Iterator[Entry]:
    """Yields every array of a state dict, in the release's order.

    Args:
        row: the variant.
        num_classes: 0 leaves out the classifier.
        task: a key of `HEADS`.

    Yields:
        The entries, also those that the release owns and never uses.

    Example:
        >>> first, *_, last = entries(variants.lookup('drn_a_50'), 1000, 'classification')
        >>> first
        Entry(name='conv1.weight', shape=(64, 3, 7, 7), path=('params', 'stem', 'conv', 'kernel'))
        >>> last
        Entry(name='fc.bias', shape=(1000,), path=('params', 'head', 'bias'))
    """
    for layer in _layers(row, task):
        conv, norm = layer.conv, (*layer.parent, layer.conv.norm_name)
        kernel = (conv.outputs, conv.inputs, conv.kernel_size, conv.kernel_size)
        for name, shape, path in (
            (f'{layer.conv_name}.weight', kernel, ('params', *layer.parent, conv.name, 'kernel')),
            (f'{layer.norm_name}.weight', kernel[:1], ('params', *norm, 'scale')),
            (f'{layer.norm_name}.bias', kernel[:1], ('params', *norm, 'bias')),
            (f'{layer.norm_name}.running_mean', kernel[:1], ('batch_stats', *norm, 'mean')),
            (f'{layer.norm_name}.running_var', kernel[:1], ('batch_stats', *norm, 'var')),
        ):
            yield Entry(name, shape, path if layer.used else ())
    if num_classes:
        head = HEADS[task]
        dims = 4 if task == 'segmentation' else _NAMINGS[row.family].head_dims
        yield Entry(
            f'{head}.weight', (num_classes, row.outputs, 1, 1)[:dims], ('params', 'head', 'kernel')
        )
        yield Entry(f'{head}.bias', (num_classes,), ('params', 'head', 'bias'))
        if task == 'segmentation':
            yield Entry('up.weight', (num_classes, 1, 2 * row.stride, 2 * row.stride), ())


def settings(row: variants.Variant, shapes: Mapping[str, Shape]) -> TorchSettings:
    """Reads class count, task and width off the names and shapes of a state dict.

    Args:
        row: the variant at width 1.
        shapes: name -> shape; what does not belong to the variant is passed over.

    Returns:
        The settings of the model that most of the arrays belong to.

    Example:
        >>> settings(variants.lookup('resnet_18'), {'conv1.weight': (16, 3, 7, 7),
        ...                                         'fc.weight': (10, 128)})
        TorchSettings(num_classes=10, task='classification', width=0.25)
    """
    numbered = any(name.startswith(('base.', 'seg.')) for name in shapes)
    task = 'segmentation' if numbered else 'classification'
    head = shapes.get(f'{HEADS[task]}.weight') or shapes.get(f'{HEADS[task]}.bias') or (0,)
    return TorchSettings(head[0], task, _width(row, shapes, task))


_WRAPPED = re.compile(r'^(?:(?:module|_orig_mod|model|backbone)\.)+')  # by those who trained it
_COUNTERS = ('num_batches_tracked', 'n_averaged', 'total_ops', 'total_params')


def is_counter(name: str) -> bool:
    """Returns whether an entry counts steps or operations, and is no weight of any network.

    Example:
        >>> is_counter('module.bn1.num_batches_tracked'), is_counter('bn1.weight')
        (True, False)
    """
    return name.rpartition('.')[2] in _COUNTERS


def bare(name: str) -> str:
    """Takes off what wrappers of a network put before its names.

    Example:
        >>> bare('module._orig_mod.model.conv1.weight')
        'conv1.weight'
    """
    return _WRAPPED.sub('', name)


def released(row: variants.Variant, names: Iterable[str]) -> dict[str, str]:
    """Finds the release's names of those of pytorchcv.

    Args:
        row: the variant.
        names: of a state dict.

    Returns:
        The release's name of each; a name that pytorchcv does not give stays.

    Example:
        >>> released(variants.lookup('drn_c_26'), ['features.stage4.unit7.body.conv1.bn.bias'])
        {'features.stage4.unit7.body.conv1.bn.bias': 'layer7.0.bn1.bias'}

    Source: pytorchcv 0.0.74, whose fourth stage of a DRN holds levels 4 to 8.
    """
    names = list(names)
    known = {'output': HEADS['classification']}
    if any(name.startswith('features.') for name in names):
        for layer in _layers(row, 'classification'):
            known |= {f'{layer.pytorchcv}.conv': layer.conv_name}
            known |= {f'{layer.pytorchcv}.bn': layer.norm_name}
    split = {name: name.rpartition('.') for name in names}
    return {
        name: f'{known[parent]}.{last}' if parent in known else name
        for name, (parent, _, last) in split.items()
    }


def bilinear(shape: Shape) -> np.ndarray:
    """Makes the frozen weight `up.weight`, with which the release enlarges s times.

    w[.., i, j] = (1 - |i / s - c|) * (1 - |j / s - c|) with c = 1 - 1 / (2 * s).

    Args:
        shape: [classes, 1, 2s, 2s].

    Returns:
        The kernel, float32 of that shape.

    Example:
        >>> bilinear((1, 1, 4, 4))[0, 0, 0].tolist()
        [0.0625, 0.1875, 0.1875, 0.0625]

    Source: the transposed convolution of the authors' segmentation code.
    """
    scale = shape[-1] / 2
    line = 1 - np.abs(np.arange(shape[-1]) / scale - (1 - 0.5 / scale))
    return np.array(np.broadcast_to(np.outer(line, line), shape), np.float32, order='C')


def _width(row: variants.Variant, shapes: Mapping[str, Shape], task: str) -> float:
    """Finds the width w for which round(w * c) is the state dict's count for all c of the table.

    A layer that has n channels instead of c allows (n - 1/2) / c <= w <= (n + 1/2) / c. The w is
    taken on which most layers agree, so that one misshapen array stays one.
    """
    counts = [
        (layer.channels, shapes[f'{layer.conv_name}.weight'][:1])
        for layer in _layers(row, task)
        if layer.channels and f'{layer.conv_name}.weight' in shapes
    ]
    bounds = [((n - 0.5) / c, (n + 0.5) / c) for c, first in counts for n in first]
    if not bounds:
        return 1.0
    low = max((low for low, _ in bounds), key=lambda w: sum(a <= w < b for a, b in bounds))
    width = (low + min(b for a, b in bounds if a <= low < b)) / 2
    return width if width * row.stem.channels > 0.5 else 1.0  # else a variant without channels


def _layers(row: variants.Variant, task: str) -> Iterator[_Layer]:
    """Yields every convolution with its names, in the release's order."""
    naming = _NAMINGS[row.family]
    for layer in _classification_layers(row, naming):
        if task == 'segmentation':
            layer = layer._replace(
                conv_name=_numbered(layer.conv_name, naming),
                norm_name=_numbered(layer.norm_name, naming),
            )
        yield layer


def _classification_layers(row: variants.Variant, naming: _Naming) -> Iterator[_Layer]:
    (conv,) = row.stem.expand().convs
    stem = 'features.init_block.conv' if row.stem.pooled else 'features.init_block'
    yield _Layer(conv, ('stem',), *naming.stem, row.stem.channels, stem)
    stage = unit = 0
    for level, blocks in row.expand():
        if row.stem.pooled or level.number <= 4:  # pytorchcv counts resolutions
            stage, unit = stage + 1, 0
        parent = f'layer{level.number - naming.first_level + 1}'
        for i, block in enumerate(blocks):
            unit += 1
            theirs = f'features.stage{stage}.unit{unit}'
            for j, conv in enumerate(block.convs):
                if len(block.convs) == 1:  # plain levels are lists: convolution, norm, ReLU, ...
                    names = f'{parent}.{3 * i}', f'{parent}.{3 * i + 1}', f'{theirs}.body'
                else:
                    names = (
                        f'{parent}.{i}.conv{j + 1}',
                        f'{parent}.{i}.bn{j + 1}',
                        f'{theirs}.body.conv{j + 1}',
                    )
                channels = level.channels if j == 0 else 0
                yield _Layer(conv, (level.name, block.name), *names[:2], channels, names[2])
            if block.projection:
                path = (level.name, block.name, 'shortcut')
                names = (
                    f'{parent}.{i}.downsample.0',
                    f'{parent}.{i}.downsample.1',
                    f'{theirs}.identity_conv',
                )
                yield _Layer(block.projection, path, *names[:2], 0, names[2], block.residual)


def _numbered(name: str, naming: _Naming) -> str:
    child, *rest = name.split('.')
    return '.'.join(('base', str(naming.children.index(child)), *rest))
