"""Files of weights, read and written: PyTorch's `.pth` and `.safetensors`.

PyTorch is needed for `.pth` only, and imported only then.
"""

import argparse
import contextlib
import hashlib
import logging
import pathlib
import pickle
import pickletools
import re
import shutil
import tempfile
import warnings
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import IO, Any

import jax.numpy as jnp  # its import also teaches NumPy the type bfloat16
import numpy as np
import safetensors
import safetensors.numpy

from drn_jax import files, paths
from drn_jax.errors import InputError
from drn_jax.models import torch_names
from drn_jax.reporting import progress

SAFETENSORS = '.safetensors'
WRITTEN = ('.pth', '.pt', SAFETENSORS)  # suffixes that `write` knows
# In zip archives that are themselves files of weights: of torch.save, TorchScript and Keras.
_INSIDE = ('/data.pkl', '/constants.pkl', 'model.weights.h5')
# What training code puts beside a state dict: flags, paths, and numbers of NumPy, by all names.
_SCALAR = np.float64(0).__reduce__()[0]
_HARMLESS = (
    argparse.Namespace,
    np.dtype,
    *(type(np.dtype(kind)) for kind in ('float64', 'float32', 'int64')),
    *((_SCALAR, f'numpy.{core}.multiarray.scalar') for core in ('core', '_core')),
    *((pathlib.PurePosixPath, f'pathlib{module}.PosixPath') for module in ('', '._local')),
)
# More bytes than all networks have, and more of them for one of the archive than weights give.
_LARGE, _RATIO = 1 << 30, 4
_ADVICE = 'save it again with torch.save(model.state_dict(), FILE) where you can'
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
        content = _read_safetensors(inner) if _is_safetensors(inner) else _read_torch(inner)
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
    torch = None if file.suffix.lower() == SAFETENSORS else import_torch(file)
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
        raise _problem(file, f'cannot be written: {error.strerror}') from error


@contextlib.contextmanager
def unpacked(file: pathlib.Path) -> Iterator[pathlib.Path]:
    """Unpacks the one file of weights in a zip archive, for as long as the block runs.

    Args:
        file: an archive, or a file of weights, such as the zip archives that `torch.save` writes.

    Yields:
        The file of weights.

    Raises:
        InputError: the file is missing, empty or a web page; the archive is damaged, or holds
            no file of weights, several, or one outside of its folder.
    """
    check_readable(file)
    names = _names_in_zip(file)
    if names is None or any(name.endswith(_INSIDE) for name in names):
        yield file
        return
    inside = [
        name
        for name in names
        if name.lower().endswith(WRITTEN) and not name.startswith('__MACOSX/')
    ]
    if len(inside) != 1:
        found = f'{len(inside)} files of weights' if inside else 'no file of weights'
        raise _problem(
            file,
            f'is a zip archive that torch.save did not write, with {found}; '
            'unpack it and give one file',
        )
    (name,) = inside
    if name.startswith(('/', '\\')) or '..' in re.split(r'[/\\]', name):
        raise _problem(file, f'holds {name!r}, which lies outside of it; do not trust it')
    with tempfile.TemporaryDirectory(prefix='drn_jax_') as folder:
        target = pathlib.Path(folder, pathlib.PurePosixPath(name).name)
        try:
            with zipfile.ZipFile(file) as archive, archive.open(name) as source:
                size = archive.getinfo(name).file_size
                if size > max(_LARGE, _RATIO * file.stat().st_size):
                    raise _problem(
                        file,
                        f'would unpack to {size:,} bytes; do not trust it',
                    )
                with target.open('wb') as stream:
                    shutil.copyfileobj(source, stream)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as e:
            raise _problem(
                file, f'is a damaged or locked zip archive ({e}); download or copy it again'
            ) from e
        except OSError as error:
            raise InputError(
                f'{file} cannot be unpacked in {folder} ({error.strerror}); let TMPDIR name a '
                'directory with room',
                field='TMPDIR',
                path=folder,
            ) from error
        yield target


def digests(file: pathlib.Path) -> tuple[str, str]:
    """Returns SHA-1 and SHA-256 of a file, in hex."""
    sums = hashlib.sha1(usedforsecurity=False), hashlib.sha256()
    with file.open('rb') as stream:
        while chunk := stream.read(1 << 20):
            for digest in sums:
                digest.update(chunk)
    return sums[0].hexdigest(), sums[1].hexdigest()


def _problem(file: str | pathlib.Path, text: str) -> InputError:
    """Returns the error that says something of a file."""
    return InputError(f'{file} {text}', path=file)


def check_new(path: str) -> pathlib.Path:
    """Refuses a file that `write` would refuse for its name, and returns its path.

    Raises:
        InputError: the file exists or is not local, or its name ends in none of `WRITTEN`.
    """
    file = paths.local(path, '--output')
    if file.suffix.lower() not in WRITTEN:
        raise _problem(
            path,
            f'does not end in {", ".join(WRITTEN[:-1])} or {WRITTEN[-1]}, '
            'which choose the format; name the file so',
        )
    if file.exists():
        raise _problem(path, 'exists and is not overwritten; remove it or name another file')
    return file


def check_readable(file: pathlib.Path) -> None:
    """Refuses what holds no weights whatever its format.

    Raises:
        InputError: it is missing, a directory, empty, not to be opened, a pointer of git-lfs, or a
            web page.
    """
    if file.is_dir():
        raise _problem(file, 'is a directory; give one file, .pth or .safetensors')
    if not file.exists():
        raise _problem(file, 'does not exist; give a file of weights, .pth or .safetensors')
    try:
        with file.open('rb') as stream:
            start = stream.read(1024)
    except OSError as error:
        raise _problem(file, f'cannot be opened: {error.strerror}') from error
    if not start:
        raise _problem(file, 'is empty; download or copy it again')
    if start.startswith(b'version https://git-lfs.github.com/'):
        raise _problem(file, 'is a pointer of git-lfs and not the file; fetch it with git lfs pull')
    if re.match(rb'(\xef\xbb\xbf)?\s*<(!doctype|html|\?xml)', start, re.IGNORECASE):
        raise _problem(
            file,
            'is a web page and no file of weights; open it in a browser to '
            'see what the server answered, and download the file itself',
        )


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
        raise _problem(
            file,
            f'is incomplete, damaged or no safetensors file ({error}); download or copy it again',
        ) from error
    except (AttributeError, TypeError) as error:  # an element type that NumPy does not have
        raise _problem(
            file,
            f'holds a type of numbers that NumPy does not have ({error}); '
            'save it as float32, float16 or bfloat16',
        ) from error


def _read_torch(file: pathlib.Path) -> Any:
    torch = import_torch(file)
    if any(name.endswith('/constants.pkl') for name in _names_in_zip(file) or ()):
        raise _problem(file, f'is a TorchScript program and no state dict; {_ADVICE}')
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # whatever they warn of ends in an error below
            # By its name torch.load would choose a format too.
            with file.open('rb') as stream, torch.serialization.safe_globals(_HARMLESS):
                return torch.load(stream, map_location='cpu', weights_only=True)
    except Exception as error:  # damaged files raise anything: KeyError, EOFError, OSError, ...
        names = _refused(file, error) if isinstance(error, pickle.UnpicklingError) else []
        if names:
            raise _problem(
                file,
                f'is refused, because to read it PyTorch would have to load and call '
                f'{" and ".join(map(repr, names))}; nothing was run; {_ADVICE}',
            ) from error
        raise _problem(
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
        raise _problem(
            file,
            'needs PyTorch, which is not installed: pip install '
            "'drn_jax[torch]', or use a .safetensors file",
        ) from error
    if torch.__version__ < (2, 6):
        raise _problem(
            file,
            f'needs PyTorch 2.6 or newer, where weights_only keeps files from '
            f'running code, not {torch.__version__}: pip install -U torch',
        )
    return torch


def _names_in_zip(file: pathlib.Path) -> list[str] | None:
    """Names what a zip archive holds; None where the file is none."""
    with file.open('rb') as stream:
        if stream.read(4) != b'PK\x03\x04':
            return None
    try:
        with zipfile.ZipFile(file) as archive:
            return archive.namelist()
    except zipfile.BadZipFile as error:
        raise _problem(
            file, 'is an incomplete or damaged zip archive; download or copy it again'
        ) from error


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
        raise _problem(file, f'holds a {type(content).__name__} instead of a state dict; {_ADVICE}')
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
        raise _problem(
            file,
            f'is no state dict: {len(others)} of its {len(arrays)} entries are '
            f'not a name with an array of floating-point numbers '
            f'({", ".join(others[:3])}{more}); {_ADVICE}',
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
