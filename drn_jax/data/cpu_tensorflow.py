"""TensorFlow, quiet and kept off every accelerator, for those are JAX's."""

import os

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')  # 2: errors only
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '0')  # it serves networks, and announces itself

import tensorflow as tf  # noqa: E402  (TensorFlow reads the environment when it is imported)

for _kind in ('GPU', 'TPU'):
    tf.config.set_visible_devices([], _kind)
tf.get_logger().setLevel('ERROR')  # TFDS calls what TensorFlow calls deprecated

__all__ = ['tf']
