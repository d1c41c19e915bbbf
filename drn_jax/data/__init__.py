"""Data sets through TFDS and tf.data: no JAX and no Flax here, NumPy arrays come out.

Importing this package imports TensorFlow, which takes seconds: floors above import it inside the
functions that need it. TensorFlow is kept off every accelerator, for those are JAX's.
"""

import os

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')  # 2: errors only
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '0')  # it serves networks, and announces itself

import tensorflow as tf  # noqa: E402  (TensorFlow reads the environment when it is imported)

for _kind in ('GPU', 'TPU'):
    tf.config.set_visible_devices([], _kind)
tf.get_logger().setLevel('ERROR')  # TFDS calls what TensorFlow calls deprecated

from drn_jax.data.label_maps import open_pairs  # noqa: E402
from drn_jax.data.pipeline import evaluation_batches, training_batches  # noqa: E402
from drn_jax.data.source import Source  # noqa: E402
from drn_jax.data.sources import is_there, open_source  # noqa: E402

__all__ = [
    'Source',
    'evaluation_batches',
    'is_there',
    'open_pairs',
    'open_source',
    'training_batches',
]
