"""Data sets through TFDS and tf.data: no JAX and no Flax here, NumPy arrays come out.

The names below import TensorFlow when they are first used, which takes seconds; `batch_specs` and
`image_files` do without. Modules here take TensorFlow from `cpu_tensorflow`.
"""

import importlib
from typing import Any

_MODULES = {
    'Source': 'source',
    'evaluation_batches': 'pipeline',
    'is_there': 'catalog',
    'open_pairs': 'pair_source',
    'open_source': 'catalog',
    'training_batches': 'pipeline',
}


def __getattr__(name: str) -> Any:
    """Imports a public name from its module."""
    if name not in _MODULES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(importlib.import_module(f'{__name__}.{_MODULES[name]}'), name)
