"""The CUDA compiler, which needs no GPU: where it lies, and work in a process that has it.

JAX is noisy where its packages are installed and no GPU is, and a failed check of the compiler ends
the process. So they lie in a folder of their own, which only child processes look into.
"""

import os
import pathlib
import shutil
import sys
import sysconfig
from collections.abc import Sequence
from importlib import metadata

import jax
from jax.experimental import topologies

import drn_jax
from drn_jax.errors import InputError, one_line
from drn_jax.planning import children, gpus

FOLDER = 'DRN_JAX_CUDA_COMPILER'  # environment variable; by default the folder lies in the venv
PARTS = ('plugin', 'pjrt')
ASSEMBLER = 'nvidia-cuda-nvcc-cu12==12.8.93'  # ptxas of all cards; that of CUDA 13 knows no V100
# Without a card there is nothing to measure, by which the compiler would choose.
OPTIONS: dict[str, str | bool] = {'xla_gpu_autotune_level': '0'}


def install_command() -> str:
    """Returns the command that installs the compiler of the installed JAX.

    Example:
        >>> install_command().startswith('pip install --upgrade --no-deps --target ')
        True
    """
    packages = ' '.join(f'jax-cuda12-{part}=={jax.__version__}' for part in PARTS)
    folder = _default_folder()
    return f'pip install --upgrade --no-deps --target {folder} {packages} {ASSEMBLER}'


def find() -> str:
    """Finds the folder of the compiler.

    Returns:
        It; '' where the compiler is installed like other packages.

    Raises:
        InputError: there is none, or that of another version of JAX.
    """
    versions: dict[str, str] = {}
    for folder in (_default_folder(), ''):
        for toolkit in ('12', '13'):
            found = [_version(f'jax-cuda{toolkit}-{part}', folder) for part in PARTS]
            if found == [jax.__version__] * 2 and _has_assembler(folder):
                return folder
            versions |= {version: folder for version in found if version}
    versions.pop(jax.__version__, '')  # it lacks something
    if versions:
        version, folder = versions.popitem()
        raise InputError(
            f'the CUDA compiler{f" in {folder}" if folder else ""} is that of jax {version}, but '
            f'jax {jax.__version__} is installed, whose compiler comes with {install_command()}',
            path=folder,
        )
    raise InputError(
        'the CUDA compiler is not installed whole, which needs no GPU and comes with '
        f'{install_command()} (190 MB)'
    )


def devices_of(cluster: gpus.Cluster) -> Sequence[jax.Device]:
    """Returns the GPUs of a cluster as the compiler knows them, in a process that has it.

    Args:
        cluster: hosts and their GPUs.

    Returns:
        Devices for which one can compile; nothing runs on them.

    Raises:
        InputError: what is installed as the compiler is none.
    """
    try:
        return topologies.get_topology_desc(
            cluster.name.partition(':')[0],
            'cuda',
            target_config=gpus.target_config(cluster.card),
            topology=f'1x{cluster.hosts}x{cluster.per_host}',
        ).devices
    except Exception as error:  # of several kinds
        folder = find()
        raise InputError(
            f'the CUDA compiler{f" in {folder}" if folder else ""} cannot be used '
            f'({one_line(error, short=True)}); {install_command()} brings it anew',
            path=folder,
        ) from error


def child_environment() -> dict[str, str]:
    """Returns the variables of a process that has the compiler.

    Raises:
        InputError: there is none.
    """
    package = str(pathlib.Path(drn_jax.__file__).parent.parent)
    places = [find(), package, os.environ.get('PYTHONPATH', '')]
    return {
        'PYTHONPATH': os.pathsep.join(filter(None, places)),
        'JAX_PLATFORMS': 'cpu',
        'JAX_SKIP_CUDA_CONSTRAINTS_CHECK': '1',
    }


def run_child(arguments: Sequence[str], what: str) -> None:
    """Runs Python in a process that has the compiler, as `children.run`.

    Args:
        arguments: of Python.
        what: is compiled, for the error.

    Raises:
        InputError: there is no compiler, or as that says.
        SystemExit: as that says.
    """
    try:
        compiler = f'the CUDA compiler of jax {jax.__version__}'
        children.run(arguments, child_environment(), compiler, what)
    except InputError as error:
        if 'ptxas' not in str(error):
            raise
        raise InputError(f'{error}; {install_command()} brings one') from error


def _default_folder() -> str:
    return os.environ.get(FOLDER) or os.path.join(sys.prefix, 'cuda_compiler')


def _has_assembler(folder: str) -> bool:
    """Says whether XLA finds ptxas: beside the compiler, or that of a CUDA toolkit."""
    own = pathlib.Path(folder or sysconfig.get_path('purelib'), 'nvidia/cuda_nvcc/bin/ptxas')
    return (
        own.exists()
        or shutil.which('ptxas') is not None
        or pathlib.Path('/usr/local/cuda/bin/ptxas').exists()
    )


def _version(package: str, folder: str) -> str:
    """Returns the version of a package in a folder, or installed if that is ''; '' without it."""
    places = [folder] if folder else sys.path
    return next((each.version for each in metadata.distributions(name=package, path=places)), '')
