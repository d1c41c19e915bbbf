"""Weights of the authors' PyTorch release, in and out; the names are those of `torch_names`.

Only NumPy is used; values may be anything that `np.asarray` takes.
"""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from flax import traverse_util

from drn_jax.models import torch_names, variants
from drn_jax.models.torch_names import Entry, Path, Shape, TorchSettings

_LISTED = 20  # names that an error lists of each sort
_logger = logging.getLogger(__name__)


def from_torch(variant: str, state_dict: Mapping[str, Any]) -> dict[str, Any]:
    """Turns a PyTorch state dict into variables of the model.

    All names of the release are understood: classification files (C, D, and torchvision's names
    for DRN-A and ResNet), segmentation files (`base.N`, `seg`, `up`); those of pytorchcv too; with
    or without `module.` and the like before every name, also inside a training checkpoint's
    `state_dict`. Class count, task and width are those of the file; `torch_settings` gives them.

    Without `fc` or `seg` the variables have no head. Counters are left out, and what else no
    network uses is left out and logged: the projection in level 7 of C-58, and the frozen
    upsampling of segmentation files.

    Args:
        variant: one of `list_models()`. Some have equal files (B-26 and C-26, a ResNet and its
            DRN-A), so only the user can say which is meant.
        state_dict: name -> array, convolutions [out, in, k, k], classifier [n, in, 1, 1] or
            [n, in].

    Returns:
        {'params', 'batch_stats'}: nested dicts of new float32 NumPy arrays, kernels [k, k, in,
        out].

    Raises:
        ValueError: entries are missing, extra or of the wrong shape (all are listed, with the
            variants that the file fits), or hold numbers that are not finite.

    Example:
        >>> import jax
        >>> from drn_jax.models.networks import create_model
        >>> model = create_model('drn_d_22', num_classes=4, width=0.0625)
        >>> shapes = jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, 16, 16, 3)))
        >>> variables = jax.tree.map(lambda leaf: np.ones(leaf.shape), shapes)
        >>> state_dict = to_torch('drn_d_22', variables)
        >>> state_dict['layer3.0.conv1.weight'].shape
        (4, 2, 3, 3)
        >>> from_torch('drn_d_22', state_dict)['params']['level3']['block0']['conv1'][
        ...     'kernel'].shape
        (3, 3, 2, 4)

    Source: names as in the authors' PyTorch release and in torchvision.
    """
    state, unused = _plain(state_dict), []
    entries = _checked(variant, _shapes(state))
    state = _renamed(variant, state)
    variables: dict[Path, np.ndarray] = {}
    not_finite = []
    for entry in entries:
        if entry.name not in state:
            continue
        value = np.asarray(state[entry.name], np.float32)
        if entry.name.endswith('.running_var') and (value == np.inf).any():
            # A float16 file overflowed. The channel is constant either way, 1 / sqrt(var) being 0.
            value = np.minimum(value, np.finfo(np.float32).max)
            _logger.warning(
                '%s: %s holds infinity, taken as the largest float', variant, entry.name
            )
        if not np.isfinite(value).all():
            not_finite.append(entry.name)
        if entry.path:
            variables[entry.path] = _from_torch_layout(value)
        else:
            unused.append(entry.name)
    if not_finite:
        raise ValueError(
            f'the weights for {variant!r} hold numbers that are not finite in '
            f'{_some(not_finite)}; use an undamaged file'
        )
    up = state.get('up.weight')
    if up is not None and not np.array_equal(up, torch_names.bilinear(np.shape(up))):
        raise ValueError(
            'up.weight is not the bilinear kernel that the release freezes; learned '
            'upsampling has no place in this network'
        )
    if unused:
        _logger.warning(
            '%s: left out what the network does not use, %d in all: %s',
            variant,
            len(unused),
            _some(unused),
        )
    if ('params', 'head', 'kernel') not in variables:
        _logger.warning('%s: the weights hold no classifier; num_classes is 0', variant)
    return traverse_util.unflatten_dict(variables)


def to_torch(
    variant: str, variables: Mapping[str, Any], task: str = 'classification'
) -> dict[str, np.ndarray]:
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
        ValueError: the variables are of another variant, or the task is unknown.

    Example:
        >>> import jax
        >>> from drn_jax.models.networks import create_model
        >>> model = create_model('drn_c_26', num_classes=4, width=0.0625)
        >>> shapes = jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, 16, 16, 3)))
        >>> variables = jax.tree.map(lambda leaf: np.ones(leaf.shape), shapes)
        >>> list(to_torch('drn_c_26', variables, task='segmentation'))[-3:]
        ['seg.weight', 'seg.bias', 'up.weight']

    Source: names as in the authors' PyTorch release and in torchvision.
    """
    if task not in torch_names.HEADS:
        raise ValueError(f'task {task!r} is unknown; known: {", ".join(torch_names.HEADS)}')
    collections = {name: variables.get(name, {}) for name in ('params', 'batch_stats')}
    flat = traverse_util.flatten_dict(collections)
    bias = flat.get(('params', 'head', 'bias'))
    row = variants.lookup(variant)
    entries = list(torch_names.entries(row, 0 if bias is None else len(bias), task))
    paths = {entry.path for entry in entries if entry.path}
    problems = _problems(
        missing=map('/'.join, paths - flat.keys()), extra=map('/'.join, flat.keys() - paths)
    )
    if problems:
        raise ValueError(
            f'the variables do not fit {variant!r}: {problems}; '
            'name the variant that they were made for'
        )
    state = {
        entry.name: _to_torch_layout(flat[entry.path], len(entry.shape))
        for entry in entries
        if entry.path
    }
    return {
        entry.name: state[entry.name] if entry.path else _unused(entry)
        for entry in _checked(variant, _shapes(state))
    }


def torch_settings(variant: str, state_dict: Mapping[str, Any]) -> TorchSettings:
    """Finds class count, task and width of the model that a state dict belongs to.

    Args:
        variant: one of `list_models()`.
        state_dict: as for `from_torch`.

    Returns:
        The settings; `create_model(variant, **settings._asdict())` takes the weights.

    Raises:
        ValueError: the state dict does not fit the variant.

    Example:
        >>> import jax
        >>> from drn_jax.models.networks import create_model
        >>> model = create_model('drn_a_18', num_classes=4, width=0.25)
        >>> shapes = jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, 16, 16, 3)))
        >>> variables = jax.tree.map(lambda leaf: np.ones(leaf.shape), shapes)
        >>> torch_settings('drn_a_18', to_torch('drn_a_18', variables))
        TorchSettings(num_classes=4, task='classification', width=0.25)
    """
    shapes = _shapes(_plain(state_dict))
    _checked(variant, shapes)
    return torch_names.settings(variants.lookup(variant), _renamed(variant, shapes))


def fitting_variants(state_dict: Mapping[str, Any]) -> list[str]:
    """Finds the variants that a state dict fits: several where their files are equal.

    Args:
        state_dict: as for `from_torch`.

    Returns:
        Names that `from_torch` takes it for, sorted; none where it fits no variant.

    Raises:
        ValueError: it is no state dict.

    Example:
        >>> import jax
        >>> from drn_jax.models.networks import create_model
        >>> model = create_model('drn_c_26', num_classes=4, width=0.0625)
        >>> shapes = jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, 16, 16, 3)))
        >>> variables = jax.tree.map(lambda leaf: np.ones(leaf.shape), shapes)
        >>> fitting_variants(to_torch('drn_c_26', variables))
        ['drn_b_26', 'drn_c_26']
    """
    return _fitting(_shapes(_plain(state_dict)))


def _fitting(shapes: Mapping[str, Shape]) -> list[str]:
    return [name for name in variants.list_models() if not _compare(name, shapes)[1]]


def _renamed(variant: str, state: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a state with the release's names."""
    names = torch_names.released(variants.lookup(variant), state)
    return {names[name]: value for name, value in state.items()}


def _plain(state_dict: Mapping[str, Any]) -> dict[str, Any]:
    """Returns {bare name: value} without counters."""
    if isinstance(state_dict, Mapping):
        state_dict = state_dict.get('state_dict', state_dict)
    if not isinstance(state_dict, Mapping):
        raise ValueError(
            f'a state dict maps names to arrays, {type(state_dict).__name__} does '
            'not; give what the release saves'
        )
    return {
        torch_names.bare(name): value
        for name, value in state_dict.items()
        if not torch_names.is_counter(name)
    }


def _shapes(state: Mapping[str, Any]) -> dict[str, Shape]:
    return {name: tuple(np.shape(value)) for name, value in state.items()}


def _checked(variant: str, shapes: Mapping[str, Shape]) -> list[Entry]:
    """Returns the entries of a state dict of these shapes; a ValueError lists what differs."""
    entries, problems = _compare(variant, shapes)
    if problems:
        fitting = _fitting(shapes)
        advice = (
            f'it fits {" and ".join(fitting)}, name the one you mean'
            if fitting
            else ('it fits no other variant either')
        )
        raise ValueError(f'the state dict does not fit {variant!r}, {advice}: {problems}')
    return entries


def _compare(variant: str, shapes: Mapping[str, Shape]) -> tuple[list[Entry], str]:
    """Returns the entries that the variant has, and in words how the shapes differ from them."""
    shapes = _renamed(variant, shapes)
    classes, task, width = torch_names.settings(variants.lookup(variant), shapes)
    entries = list(torch_names.entries(variants.lookup(variant, width), classes, task))
    return entries, _problems(
        missing=(e.name for e in entries if e.path and e.name not in shapes),
        extra=shapes.keys() - {e.name for e in entries},
        misshapen=(
            f'{e.name} is {_x(shapes[e.name])} instead of {_x(e.shape)}'
            for e in entries
            if shapes.get(e.name, e.shape) != e.shape
        ),
    )


def _problems(**names: Iterable[str]) -> str:
    """Says in words: `missing 2 (a, b), extra 1 (c)`; '' where there are none."""
    sorts = ((sort, sorted(found)) for sort, found in names.items())
    return ', '.join(f'{sort} {len(found)} ({_some(found)})' for sort, found in sorts if found)


def _some(names: list[str]) -> str:
    more = len(names) - _LISTED
    return ', '.join(names[:_LISTED]) + (f' and {more} more' if more > 0 else '')


def _x(shape: Shape) -> str:
    return 'x'.join(map(str, shape)) or 'a single number'


def _unused(entry: Entry) -> np.ndarray:
    if entry.name == 'up.weight':
        return torch_names.bilinear(entry.shape)
    return np.zeros(entry.shape, np.float32)


def _from_torch_layout(value: np.ndarray) -> np.ndarray:
    """[out, in, k, k] or [out, in] -> [k, k, in, out]; vectors stay."""
    if value.ndim == 2:
        value = value[:, :, None, None]
    if value.ndim == 4:  # in two passes over long runs, which take a third of the time of one
        outputs, *others = value.shape
        value = np.ascontiguousarray(value.reshape(outputs, -1).T)
        value = value.reshape(*others, outputs).transpose(1, 2, 0, 3)
    return np.array(value, order='C')


def _to_torch_layout(value: Any, dims: int) -> np.ndarray:
    """[k, k, in, out] -> [out, in, k, k], or [out, in] for two dimensions; vectors stay."""
    value = np.asarray(value, np.float32)
    if value.ndim == 4:
        value = value.transpose(3, 2, 0, 1)
        value = value[:, :, 0, 0] if dims == 2 else value
    return np.array(value, order='C')
