"""Weights under the names of the authors' PyTorch release, in and out, by rule.

Every entry of a state dict is derived from the table of `variants`: our
`level3/block0/conv1/kernel` is `layer3.0.conv1.weight` there, in a segmentation file
`base.5.0.conv1.weight`. Only NumPy is used; values may be anything that `np.asarray` takes.
"""
import logging
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from flax import traverse_util

from drn_jax.errors import InputError
from drn_jax.models import variants

Shape = tuple[int, ...]
Path = tuple[str, ...]

_HEADS = {'classification': 'fc', 'segmentation': 'seg'}
_LISTED = 20  # names that an error lists of each sort
_logger = logging.getLogger(__name__)


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


class TorchSettings(NamedTuple):
    """What a state dict tells about its model: arguments of `create_model`."""
    num_classes: int  # 0 where it has no classifier
    task: str
    width: float


class _Layer(NamedTuple):
    """A convolution and its batch normalization."""
    conv: variants.Conv
    path: Path  # of the convolution
    conv_name: str
    norm_name: str
    channels: int  # the table's count that the convolution gives, 0 if a shortcut or expanded
    used: bool = True


class _Entry(NamedTuple):
    """One array of a state dict and its place in our variables."""
    name: str
    shape: Shape  # in PyTorch's layout
    path: Path  # () where the release owns it and nothing uses it


def from_torch(variant: str, state_dict: Mapping[str, Any]) -> dict[str, Any]:
    """Turns a PyTorch state dict into variables of the model.

    All names of the release are understood: classification files (C, D, and torchvision's names
    for DRN-A and ResNet), segmentation files (`base.N`, `seg`, `up`), with or without `module.`
    before every name, also inside a training checkpoint's `state_dict`. Class count, task and
    width are those of the file; `torch_settings` gives them.

    Entries that no network uses are left out and logged: `num_batches_tracked`, the projection
    in level 7 of C-58, and the frozen upsampling of segmentation files.

    Args:
        variant: one of `list_models()`. Some have equal files (B-26 and C-26, a ResNet and its
            DRN-A), so only the user can say which is meant.
        state_dict: name -> array, convolutions [out, in, k, k], classifier [n, in, 1, 1] or
            [n, in].

    Returns:
        {'params', 'batch_stats'}: nested dicts of new float32 NumPy arrays, kernels [k, k, in,
        out].

    Raises:
        InputError: entries are missing, extra or of the wrong shape (all are listed, with the
            variants that the file fits), or hold numbers that are not finite.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from drn_jax.models.networks import create_model
        >>> model = create_model('drn_d_22', num_classes=4, width=0.0625)
        >>> variables = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 16, 16, 3)))
        >>> state_dict = to_torch('drn_d_22', variables)
        >>> state_dict['layer3.0.conv1.weight'].shape
        (4, 2, 3, 3)
        >>> from_torch('drn_d_22', state_dict)['params']['level3']['block0']['conv1'][
        ...     'kernel'].shape
        (3, 3, 2, 4)

    Source: names as in the authors' PyTorch release and in torchvision.
    """
    state, unused = _plain(state_dict)
    entries = _checked(variant, _shapes(state))
    variables: dict[Path, np.ndarray] = {}
    not_finite = []
    for entry in entries:
        if entry.name not in state:
            continue
        value = np.asarray(state[entry.name], np.float32)
        if not np.isfinite(value).all():
            not_finite.append(entry.name)
        if entry.path:
            variables[entry.path] = _from_torch_layout(value)
        else:
            unused.append(entry.name)
    if not_finite:
        raise InputError(f'the weights for {variant!r} hold numbers that are not finite in '
                         f'{_some(not_finite)}; use an undamaged file')
    up = state.get('up.weight')
    if up is not None and not np.array_equal(up, _bilinear(np.shape(up))):
        raise InputError('up.weight is not the bilinear kernel that the release freezes; learned '
                         'upsampling has no place in this network')
    if unused:
        _logger.warning('%s: left out %d entries that the network does not use: %s',
                        variant, len(unused), _some(unused))
    return traverse_util.unflatten_dict(variables)


def to_torch(variant: str, variables: Mapping[str, Any],
             task: str = 'classification') -> dict[str, np.ndarray]:
    """Turns variables of the model into a state dict that the PyTorch release loads.

    The inverse of `from_torch`, bit for bit. What the release owns besides is written too, so
    that its strict loading finds every name: zeros for the unused projection of C-58 and, for
    segmentation, the frozen bilinear kernel.

    Args:
        variant: one of `list_models()`.
        variables: {'params', 'batch_stats'} of a model of this variant, of any width.
        task: 'classification' gives the names of classification files, 'segmentation' those of
            segmentation files; the variables of both have the same structure.

    Returns:
        Name -> new float32 NumPy array, in the order of the release.

    Raises:
        InputError: the variables are of another variant, or the task is unknown.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from drn_jax.models.networks import create_model
        >>> model = create_model('drn_c_26', num_classes=4, width=0.0625)
        >>> variables = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 16, 16, 3)))
        >>> list(to_torch('drn_c_26', variables, task='segmentation'))[-3:]
        ['seg.weight', 'seg.bias', 'up.weight']

    Source: names as in the authors' PyTorch release and in torchvision.
    """
    if task not in _HEADS:
        raise InputError(f'task {task!r} is unknown; known: {", ".join(_HEADS)}')
    collections = {name: variables.get(name, {}) for name in ('params', 'batch_stats')}
    flat = traverse_util.flatten_dict(collections)
    bias = flat.get(('params', 'head', 'bias'))
    row = variants.lookup(variant)
    entries = list(_entries(row, 0 if bias is None else len(bias), task))
    paths = {entry.path for entry in entries if entry.path}
    problems = _problems(missing=map('/'.join, paths - flat.keys()),
                         extra=map('/'.join, flat.keys() - paths))
    if problems:
        raise InputError(f'the variables do not fit {variant!r}: {problems}; '
                         'name the variant that they were made for')
    state = {entry.name: _to_torch_layout(flat[entry.path], len(entry.shape))
             for entry in entries if entry.path}
    whole = {}
    for entry in _checked(variant, _shapes(state)):
        fixed = _bilinear(entry.shape) if entry.name == 'up.weight' else np.zeros(entry.shape)
        whole[entry.name] = state.get(entry.name, fixed.astype(np.float32))
    return whole


def torch_settings(variant: str, state_dict: Mapping[str, Any]) -> TorchSettings:
    """Finds class count, task and width of the model that a state dict belongs to.

    Args:
        variant: one of `list_models()`.
        state_dict: as for `from_torch`.

    Returns:
        The settings; `create_model(variant, **settings._asdict())` takes the weights.

    Raises:
        InputError: the state dict does not fit the variant.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from drn_jax.models.networks import create_model
        >>> model = create_model('drn_a_18', num_classes=4, width=0.25)
        >>> variables = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 16, 16, 3)))
        >>> torch_settings('drn_a_18', to_torch('drn_a_18', variables))
        TorchSettings(num_classes=4, task='classification', width=0.25)
    """
    shapes = _shapes(_plain(state_dict)[0])
    _checked(variant, shapes)
    return _settings(variants.lookup(variant), shapes)


def _plain(state_dict: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Bare names -> values, and the names of the counters that were left out."""
    if isinstance(state_dict, Mapping):
        state_dict = state_dict.get('state_dict', state_dict)
    if not isinstance(state_dict, Mapping):
        raise InputError(f'a state dict maps names to arrays, {type(state_dict).__name__} does '
                         'not; give what the release saves')
    state, counters = {}, []
    for name, value in state_dict.items():
        if name.endswith('.num_batches_tracked'):
            counters.append(name)
        else:
            state[name.removeprefix('module.')] = value
    return state, counters


def _shapes(state: Mapping[str, Any]) -> dict[str, Shape]:
    return {name: tuple(np.shape(value)) for name, value in state.items()}


def _checked(variant: str, shapes: Mapping[str, Shape]) -> list[_Entry]:
    """The entries of a state dict of these shapes, or the error that lists what differs."""
    entries, problems = _compare(variant, shapes)
    if problems:
        fitting = [name for name in variants.list_models() if not _compare(name, shapes)[1]]
        advice = f'it fits {" and ".join(fitting)}, name the one you mean' if fitting else (
            'it fits no other variant either')
        raise InputError(f'the state dict does not fit {variant!r}, {advice}: {problems}')
    return entries


def _compare(variant: str, shapes: Mapping[str, Shape]) -> tuple[list[_Entry], str]:
    """The entries that the variant should have, and in words how the shapes differ from them."""
    settings = _settings(variants.lookup(variant), shapes)
    entries = list(_entries(variants.lookup(variant, settings.width), settings.num_classes,
                            settings.task))
    return entries, _problems(
        missing=(e.name for e in entries if e.path and e.name not in shapes),
        extra=shapes.keys() - {e.name for e in entries},
        misshapen=(f'{e.name} is {_x(shapes[e.name])} instead of {_x(e.shape)}'
                   for e in entries if shapes.get(e.name, e.shape) != e.shape))


def _problems(**names: Iterable[str]) -> str:
    """In words: `missing 2 (a, b), extra 1 (c)`; '' where there are none."""
    sorts = ((sort, sorted(found)) for sort, found in names.items())
    return ', '.join(f'{sort} {len(found)} ({_some(found)})' for sort, found in sorts if found)


def _some(names: list[str]) -> str:
    more = len(names) - _LISTED
    return ', '.join(names[:_LISTED]) + (f' and {more} more' if more > 0 else '')


def _x(shape: Shape) -> str:
    return 'x'.join(map(str, shape)) or 'a single number'


def _settings(row: variants.Variant, shapes: Mapping[str, Shape]) -> TorchSettings:
    task = 'segmentation' if any(name.startswith(('base.', 'seg.')) for name in shapes) \
        else 'classification'
    head = shapes.get(f'{_HEADS[task]}.weight') or shapes.get(f'{_HEADS[task]}.bias')
    return TorchSettings(head[0] if head else 0, task, _width(row, shapes, task))


def _width(row: variants.Variant, shapes: Mapping[str, Shape], task: str) -> float:
    """The width w for which round(w * c) gives the state dict's count for every c of the table.

    For each c the most frequent count is taken, so that one misshapen array stays one.
    """
    counts: dict[int, Counter[int]] = defaultdict(Counter)
    for layer in _layers(row, task):
        shape = shapes.get(f'{layer.conv_name}.weight')
        if layer.channels and shape and shape[0]:
            counts[layer.channels][shape[0]] += 1
    found = [(c, counter.most_common(1)[0][0]) for c, counter in counts.items()]
    low = max(((count - 0.5) / c for c, count in found), default=math.inf)
    high = min(((count + 0.5) / c for c, count in found), default=math.inf)
    return (low + high) / 2 if low < high else 1.0


def _entries(row: variants.Variant, num_classes: int, task: str) -> Iterator[_Entry]:
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
            yield _Entry(name, shape, path if layer.used else ())
    if num_classes:
        head = _HEADS[task]
        dims = 4 if task == 'segmentation' else _NAMINGS[row.family].head_dims
        yield _Entry(f'{head}.weight', (num_classes, row.outputs, 1, 1)[:dims],
                     ('params', 'head', 'kernel'))
        yield _Entry(f'{head}.bias', (num_classes,), ('params', 'head', 'bias'))
        if task == 'segmentation':
            yield _Entry('up.weight', (num_classes, 1, 2 * row.stride, 2 * row.stride), ())


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


def _from_torch_layout(value: np.ndarray) -> np.ndarray:
    """[out, in, k, k] or [out, in] -> [k, k, in, out]; vectors stay."""
    if value.ndim == 2:
        value = value[:, :, None, None]
    axes = (2, 3, 1, 0) if value.ndim == 4 else range(value.ndim)
    return np.array(value.transpose(*axes), order='C')


def _to_torch_layout(value: Any, dims: int) -> np.ndarray:
    """[k, k, in, out] -> [out, in, k, k], or [out, in] for two dimensions; vectors stay."""
    value = np.asarray(value, np.float32)
    axes = (3, 2, 0, 1) if value.ndim == 4 else range(value.ndim)
    value = np.array(value.transpose(*axes), order='C')
    return value[:, :, 0, 0] if dims == 2 else value


def _bilinear(shape: Shape) -> np.ndarray:
    """The release's frozen kernel [classes, 1, 2s, 2s] that enlarges s times, bilinearly."""
    scale = shape[-1] / 2
    line = 1 - np.abs(np.arange(shape[-1]) / scale - (1 - 0.5 / scale))
    return np.broadcast_to(np.outer(line, line), shape)
