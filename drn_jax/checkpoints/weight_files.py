"""Files of weights, read and written: PyTorch's `.pth` and `.safetensors`.

PyTorch is needed for `.pth` only, and imported only then.
"""

import hashlib
import logging
import pathlib
import re
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp  # its import also teaches NumPy the type bfloat16
import numpy as np
import safetensors
import safetensors.numpy

from drn_jax import files, paths
from drn_jax.checkpoints import torch_files
from drn_jax.checkpoints.archives import SAFETENSORS, SUFFIXES, file_error, unpacked
from drn_jax.checkpoints.torch_files import ADVICE
from drn_jax.errors import InputError
from drn_jax.models import torch_names
from drn_jax.reporting import progress

_logger = logging.getLogger(__name__)


def read(path: str, entry: str = '') -> dict[str, np.ndarray]:
    """Reads the state dict in a file of weights, without running anything that the file holds.

    A file whose name ends in `.safetensors` is read by the safetensors library, any other by
    PyTorch: what `torch.save` writes and wrote in 2017, a state dict or a training checkpoint that
    has one for an entry. Of several, `state_dict` or the first that is no average (EMA) is taken,
    and a warning logged that says so. The authors' file names end in the first eight hex digits of
    the file's SHA-256, as in `drn_c_26-ddedf421.pth`; where they differ, that is logged too.

    Args:
        path: the file, a local one.
        entry: which state dict in the file; '': see above.

    Returns:
        Name -> array, float32 whatever the file's precision, without counters. For `from_torch`,
        which also takes `module.` off.

    Raises:
        InputError: there is no such file, it is no state dict or a damaged one, it asks for code
            to be run, or it needs PyTorch and PyTorch is missing.

    Example:
        variables = drn_jax.from_torch('drn_c_26', read('drn_c_26-ddedf421.pth'))
    """
    file = pathlib.Path(path)
    with unpacked(file) as inner:
        if problem := misnamed(inner):
            _logger.warning('%s', problem)
        content = _read_safetensors(inner) if _is_safetensors(inner) else torch_files.read(inner)
        return _arrays(file, _entry(file, content, entry))


def write(path: str, state_dict: Mapping[str, np.ndarray]) -> None:
    """Writes a state dict to a new file; there is never half of one under its name.

    Args:
        path: the file, a local one; `.safetensors`, or `.pth` or `.pt`, which PyTorch's
            `load_state_dict(torch.load(path))` takes.
        state_dict: what `to_torch` gives.

    Raises:
        InputError: the file exists or cannot be written, its name ends otherwise, or it needs
            PyTorch and PyTorch is missing.

    Example:
        >>> import tempfile
        >>> path = tempfile.mkdtemp() + '/tiny.safetensors'
        >>> write(path, {'fc.bias': np.zeros(3, np.float32)})
        >>> read(path)
        {'fc.bias': array([0., 0., 0.], dtype=float32)}
    """
    file = check_new(path)
    torch = None if file.suffix.lower() == SAFETENSORS else torch_files.import_torch(file)
    # safetensors writes an array's memory as it lies, whatever its strides.
    arrays = {name: np.asarray(value, order='C') for name, value in state_dict.items()}
    try:
        with files.replacing(file) as partial, partial.open('wb') as stream:
            if torch is None:
                stream.write(safetensors.numpy.save(arrays, metadata={'format': 'pt'}))
            else:
                tensors = {name: torch.from_numpy(value) for name, value in arrays.items()}
                torch.save(OrderedDict(tensors), stream)
    except OSError as error:
        raise file_error(file, f'cannot be written: {error.strerror}') from error


def digests(file: pathlib.Path) -> tuple[str, str]:
    """Returns SHA-1 and SHA-256 of a file, in hex."""
    sums = hashlib.sha1(usedforsecurity=False), hashlib.sha256()
    with file.open('rb') as stream:
        while chunk := stream.read(1 << 20):
            for digest in sums:
                digest.update(chunk)
    return sums[0].hexdigest(), sums[1].hexdigest()


def check_new(path: str) -> pathlib.Path:
    """Refuses a file that `write` would refuse for its name, and returns its path.

    Raises:
        InputError: the file exists or is not local, or its name ends in none of `SUFFIXES`.
    """
    file = paths.local(path, '--output')
    if file.suffix.lower() not in SUFFIXES:
        raise file_error(
            path,
            f'does not end in {", ".join(SUFFIXES[:-1])} or {SUFFIXES[-1]}, '
            'which choose the format; name the file so',
        )
    if file.exists():
        raise file_error(path, 'exists and is not overwritten; remove it or name another file')
    return file


def misnamed(file: pathlib.Path) -> str | None:
    """Says where the digits that end a published file's name are not those of its content.

    Eight decimal digits are more likely a date.
    """
    named = re.search(r'-(?=\d*[a-f])([0-9a-f]{8})\.pth$', file.name)
    if not named:
        return None
    sha1, sha256 = digests(file)
    if sha1.startswith(named[1]) or sha256.startswith(named[1]):
        return None
    return (
        f'{file} is not the file that its name says: its SHA-256 begins with {sha256[:8]} and its '
        f'SHA-1 with {sha1[:8]}, not {named[1]}; it is damaged, or was changed or renamed'
    )


def _is_safetensors(file: pathlib.Path) -> bool:
    """Tells a format by what the file begins with; where it begins with neither, by its name."""
    with file.open('rb') as stream:
        start = stream.read(9)
    if start[8:] == b'{':  # behind the length of the header
        return True
    if start.startswith(b'PK\x03\x04') or re.match(rb'\x80[\x02-\x05]', start):  # zip, or pickle
        return False
    return file.suffix.lower() == SAFETENSORS


def _read_safetensors(file: pathlib.Path) -> Mapping[str, Any]:
    try:
        return safetensors.numpy.load_file(file)
    except safetensors.SafetensorError as error:
        raise file_error(
            file,
            f'is incomplete, damaged or no safetensors file ({error}); download or copy it again',
        ) from error
    except (AttributeError, TypeError) as error:  # an element type that NumPy does not have
        raise file_error(
            file,
            f'holds a type of numbers that NumPy does not have ({error}); '
            'save it as float32, float16 or bfloat16',
        ) from error


def _entry(file: pathlib.Path, content: Any, entry: str) -> Any:
    """Returns what a file holds, or the entry of it that is a state dict."""
    entries = content if isinstance(content, Mapping) else {}
    found = [
        name for name, value in entries.items() if isinstance(name, str) and _is_state_dict(value)
    ]
    if 'state_dict' not in found and _is_state_dict(content):
        found = []
    if entry:
        if entry not in found:
            held = f'it holds {", ".join(found)}' if found else 'it holds one without a name'
            raise InputError(f'{file} holds no state dict {entry!r}; {held}', field='--entry')
        return content[entry]
    if not found:
        return entries.get('state_dict', content)
    taken = min(found, key=lambda name: (name != 'state_dict', 'ema' in name.lower()))
    if len(found) == 1:
        progress.say(f'{file}: taken: {taken}, the network in it')
    else:
        _logger.warning(
            '%s holds several networks, %s: %s was taken; --entry of convert, or #NAME behind the '
            'file where it is a checkpoint, chooses another',
            file,
            ', '.join(found),
            taken,
        )
    return content[taken]


def _is_state_dict(value: Any) -> bool:
    return isinstance(value, Mapping) and any(getattr(each, 'ndim', 0) for each in value.values())


def _arrays(file: pathlib.Path, content: Any) -> dict[str, np.ndarray]:
    """Returns a state dict of a file as arrays."""
    if not isinstance(content, Mapping):
        raise file_error(
            file, f'holds a {type(content).__name__} instead of a state dict; {ADVICE}'
        )
    arrays = {
        name: _array(value)
        for name, value in content.items()
        if not (isinstance(name, str) and torch_names.is_counter(name))
    }
    others = [
        f'{name} ({_kind(content[name])})'
        for name, value in arrays.items()
        if value is None or not isinstance(name, str)
    ]
    if others:
        more = ', ...' if others[3:] else ''
        raise file_error(
            file,
            f'is no state dict: {len(others)} of its {len(arrays)} entries are '
            f'not a name with an array of floating-point numbers '
            f'({", ".join(others[:3])}{more}); {ADVICE}',
        )
    return {name: value for name, value in arrays.items() if value is not None}


def _kind(value: Any) -> str:
    return str(getattr(value, 'dtype', type(value).__name__))


def _array(value: Any) -> np.ndarray | None:
    """Returns a tensor or array as float32, a counter as it is, None for anything else."""
    if not isinstance(value, np.ndarray):
        try:
            value = value.detach()
            value = (value.float() if value.is_floating_point() else value).numpy()
        except (AttributeError, RuntimeError, TypeError):  # no tensor, or a sparse or quantized one
            return None
    if jnp.issubdtype(value.dtype, jnp.floating):
        return value.astype(np.float32, copy=False)
    return value if value.dtype == np.int64 else None
