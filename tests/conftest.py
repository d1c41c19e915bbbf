"""Eight CPU devices for every test, so that sharded code meets more than one; fast compilation."""

import fcntl
import os
import tempfile
from importlib import metadata

# The processes that tests start inherit these.
os.environ.setdefault('JAX_PLATFORMS', 'cpu')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
# Most of the time goes into compiling: a fifth of it, and nothing twice.
FAST_COMPILATION = [
    '--xla_backend_optimization_level=0',
    '--xla_llvm_disable_expensive_passes=true',
    '--xla_cpu_parallel_codegen_split_count=1',
]
if metadata.version('jax').startswith('0.10.'):  # later ones do not know it
    FAST_COMPILATION.append('--xla_cpu_use_fusion_emitters=false')
os.environ.setdefault('XLA_FLAGS', ' '.join(FAST_COMPILATION))
# Threads of PyTorch wait for each other by spinning, which takes minutes where processes are many.
os.environ.setdefault('OMP_NUM_THREADS', '1')
_cache = tempfile.TemporaryDirectory(prefix='drn_jax_')
os.environ.setdefault('JAX_COMPILATION_CACHE_DIR', _cache.name)
os.environ.setdefault('JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS', '0')

import jax  # noqa: E402  (the platform is chosen before JAX is imported)
import pytest  # noqa: E402

jax.config.update('jax_num_cpu_devices', 8)

# Files that take long come first: no process should be left with one of them at the end
# (`--no-loadscope-reorder` keeps this order).
LONG = """
    kills gpu_programs processes cloud loop notebooks segmentation_commands against_pytorch parity
    plan imagenet_commands docs
""".split()


def pytest_collection_modifyitems(items):
    """Puts the tests of `LONG` first."""
    ranks = {f'test_{name}.py': rank for rank, name in enumerate(LONG)}
    items.sort(key=lambda item: ranks.get(item.path.name, len(ranks)))


@pytest.fixture(scope='session')
def digit_scenes_dir(tmp_path_factory):
    """The directory in which `digit_scenes` was built, once for the tests of all processes."""
    from drn_jax.data import digit_scenes  # noqa: F401  (importing it registers it with TFDS)
    from drn_jax.data.tfds_sources import PreparedSource  # takes seconds

    directory = tmp_path_factory.getbasetemp()
    if 'PYTEST_XDIST_WORKER' in os.environ:
        directory = directory.parent  # that of all processes
    directory /= 'digit_scenes'
    directory.mkdir(exist_ok=True)
    with open(directory / 'lock', 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        PreparedSource('digit_scenes', data_dir=str(directory))
    return directory
