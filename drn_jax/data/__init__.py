"""Data sets through TFDS and tf.data: no JAX and no Flax here, NumPy arrays come out.

The names below import TensorFlow when they are first used, which takes seconds; `batch_specs`,
`image_files` and `image_folders` do without. Modules here take TensorFlow from `cpu_tensorflow`.
"""

import importlib
import os
from typing import Any

# TensorFlow reads them when it is imported, which Cloud Storage may do before anything here.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')  # 2: errors only
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '0')  # it serves networks, and announces itself

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
