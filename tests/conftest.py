"""Eight CPU devices for every test, so that sharded code meets more than one."""
import os

os.environ.setdefault('JAX_PLATFORMS', 'cpu')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')

import jax  # noqa: E402  (the platform is chosen before JAX is imported)

jax.config.update('jax_num_cpu_devices', 8)
