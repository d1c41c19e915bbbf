"""Eight CPU devices for every test, so that sharded code meets more than one; fast compilation."""

import os
import tempfile

# The processes that tests start inherit these.
os.environ.setdefault('JAX_PLATFORMS', 'cpu')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
# Most of the time goes into compiling: less of it, and nothing twice.
os.environ.setdefault('XLA_FLAGS', '--xla_backend_optimization_level=1')
_cache = tempfile.TemporaryDirectory(prefix='drn_jax_')
os.environ.setdefault('JAX_COMPILATION_CACHE_DIR', _cache.name)
os.environ.setdefault('JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS', '0.5')

import jax  # noqa: E402  (the platform is chosen before JAX is imported)
import pytest  # noqa: E402

jax.config.update('jax_num_cpu_devices', 8)

# Files that take minutes come first: of two processes none should be left with one of them at the
# end (`--no-loadscope-reorder` keeps this order).
LONG = ('test_kills.py', 'test_cloud.py', 'test_loop.py', 'test_processes.py', 'test_docs.py',
        'test_notebooks.py', 'test_gpu_programs.py', 'test_imagenet_commands.py')  # fmt: skip


def pytest_collection_modifyitems(items):
    """Puts the tests of `LONG` first."""
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))


@pytest.fixture(scope='session')
def digit_scenes_dir(tmp_path_factory):
    """The directory in which `digit_scenes` was built, once for all tests."""
    from drn_jax.data import digit_scenes  # noqa: F401  (importing it registers it with TFDS)
    from drn_jax.data.tfds_sources import PreparedSource  # takes seconds

    directory = tmp_path_factory.mktemp('digit_scenes')
    PreparedSource('digit_scenes', data_dir=str(directory))
    return directory
