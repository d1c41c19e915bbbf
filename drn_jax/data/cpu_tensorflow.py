"""TensorFlow, quiet and kept off every accelerator, for those are JAX's."""

import tensorflow as tf

for _kind in ('GPU', 'TPU'):
    tf.config.set_visible_devices([], _kind)
tf.get_logger().setLevel('ERROR')  # TFDS calls what TensorFlow calls deprecated

__all__ = ['tf']
