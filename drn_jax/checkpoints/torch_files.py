"""What `torch.save` wrote, read by PyTorch, which runs nothing that a file holds."""

import argparse
import pathlib
import pickle
import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterator
from typing import IO, Any

import numpy as np

from drn_jax.checkpoints.archives import file_error, names_in_zip

# What training code puts beside a state dict: flags, paths, and numbers of NumPy, by all names.
_SCALAR = np.float64(0).__reduce__()[0]
_HARMLESS = (
    argparse.Namespace,
    np.dtype,
    *(type(np.dtype(kind)) for kind in ('float64', 'float32', 'int64')),
    *((_SCALAR, f'numpy.{core}.multiarray.scalar') for core in ('core', '_core')),
    *((pathlib.PurePosixPath, f'pathlib{module}.PosixPath') for module in ('', '._local')),
)
ADVICE = 'save it again with torch.save(model.state_dict(), FILE) where you can'


def read(file: pathlib.Path) -> Any:
    """Returns what a file holds, on the CPU.

    Args:
        file: of PyTorch, zip or of 2017.

    Raises:
        InputError: it is damaged, a program, or asks for code to be run; or PyTorch is missing.
    """
    torch = import_torch(file)
    if any(name.endswith('/constants.pkl') for name in names_in_zip(file) or ()):
        raise file_error(file, f'is a TorchScript program and no state dict; {ADVICE}')
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # whatever they warn of ends in an error below
            # By its name torch.load would choose a format too.
            with file.open('rb') as stream, torch.serialization.safe_globals(_HARMLESS):
                return torch.load(stream, map_location='cpu', weights_only=True)
    except Exception as error:  # damaged files raise anything: KeyError, EOFError, OSError, ...
        names = _refused(file, error) if isinstance(error, pickle.UnpicklingError) else []
        if names:
            raise file_error(
                file,
                f'is refused, because to read it PyTorch would have to load and call '
                f'{" and ".join(map(repr, names))}; nothing was run; {ADVICE}',
            ) from error
        raise file_error(
            file, 'is incomplete, damaged or not what torch.save writes; download or copy it again'
        ) from error


def import_torch(file: str | pathlib.Path) -> Any:
    """Returns PyTorch.

    Args:
        file: that needs it, for errors.

    Raises:
        InputError: it is missing, or too old to read without running what files hold.
    """
    try:
        import torch
    except ImportError as error:
        raise file_error(
            file,
            'needs PyTorch, which is not installed: pip install '
            "'drn_jax[torch]', or use a .safetensors file",
        ) from error
    if torch.__version__ < (2, 6):
        raise file_error(
            file,
            f'needs PyTorch 2.6 or newer, where weights_only keeps files from '
            f'running code, not {torch.__version__}: pip install -U torch',
        )
    return torch


def _refused(file: pathlib.Path, error: pickle.UnpicklingError) -> list[str]:
    """Names functions and classes for which PyTorch refused a file, up to five."""
    found = re.search(r'GLOBAL (\S+) w', str(error))
    # PyTorch does not get as far as a name in pickles of a protocol that it does not read.
    return [found[1]] if found else list(dict.fromkeys(_names_in_pickles(file)))[:5]


def _names_in_pickles(file: pathlib.Path) -> Iterator[str]:
    try:
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                for name in archive.namelist():
                    if name.endswith('/data.pkl'):
                        yield from _globals(archive.open(name))
        else:
            with file.open('rb') as stream:
                for _ in range(5):  # a 2017 file: two numbers, the system, the content, its keys
                    yield from _globals(stream)
    except (ValueError, RuntimeError, zipfile.BadZipFile):
        return  # the file ends early or is damaged


def _globals(stream: IO[bytes]) -> Iterator[str]:
    """Yields the functions and classes that a pickle names, found without running it."""
    strings: list[str] = []
    memo: dict[Any, str] = {}
    for code, argument, _ in pickletools.genops(stream):
        if code.name in ('GLOBAL', 'INST'):
            yield str(argument).replace(' ', '.')
        elif code.name == 'STACK_GLOBAL':  # takes the last two strings
            yield '.'.join(strings[-2:])
        elif code.name == 'MEMOIZE':
            memo[len(memo)] = strings[-1] if strings else ''
        elif code.name in ('BINGET', 'LONG_BINGET'):
            strings.append(memo.get(argument, ''))
        elif isinstance(argument, str):
            strings.append(argument)
