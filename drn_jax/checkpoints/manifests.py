"""SHA-256 sums of a checkpoint's files: they tell a whole step from a damaged one."""

import hashlib
import json
from collections.abc import Collection

from etils import epath

from drn_jax import copies, files
from drn_jax.errors import InputError

FILE = 'MANIFEST.json'
_CHUNK = 1 << 20


def write(path: epath.PathLike) -> None:
    """Writes the manifest of a step that is committed; the step counts as finished from here on.

    Args:
        path: folder of the step. Its files, at any depth, are listed with their sums in
            `MANIFEST.json`, in place of an earlier one. One of Cloud Storage gets the files of its
            local copy, see `copies`.

    Raises:
        buckets.StorageError: the storage refuses or does not answer.

    Example:
        >>> import tempfile
        >>> folder = epath.Path(tempfile.mkdtemp())
        >>> _ = (folder / 'data').write_text('abc')
        >>> write(folder)
        >>> list(json.loads((folder / FILE).read_text()))
        ['data']
    """
    path = epath.Path(path)
    here = copies.local(path)
    names = [name for name in copies.files(here) if not name.startswith(FILE)]
    _write(here, {name: _sha256(here / name) for name in names})
    copies.publish(path, last=FILE)


def add(path: epath.PathLike, name: str) -> None:
    """Adds a file to the manifest of a step; what has happened to the others since still shows.

    Args:
        path: folder of the step.
        name: of the file in it, which has been written there, or in its local copy.

    Raises:
        InputError: the manifest has changed.
        buckets.StorageError: the storage refuses or does not answer.

    Example:
        >>> import tempfile
        >>> folder = epath.Path(tempfile.mkdtemp())
        >>> _ = (folder / 'data').write_text('abc')
        >>> write(folder)
        >>> _ = (folder / 'data').write_text('abd'), (folder / 'more').write_text('d')
        >>> add(folder, 'more')
        >>> problem(folder)
        'data is not what was written'
    """
    path = epath.Path(path)
    here = copies.local(path)
    sums = _read(here)
    if sums is None:
        raise InputError(f'{path / FILE} is not what was written', path=path)
    _write(here, sums | {name: _sha256(here / name)})
    copies.publish(path, [name], last=FILE)


def exists(path: epath.PathLike) -> bool:
    """Returns whether a step was finished; its files may have changed since."""
    return (epath.Path(path) / FILE).exists()


def problem(path: epath.PathLike, without: Collection[str] = ()) -> str | None:
    """Finds what is wrong with a step, by reading all of its files.

    Args:
        path: folder of the step; of one in Cloud Storage a local copy is made.
        without: names of items, such as 'optimizer', whose files are not looked at.

    Returns:
        What is missing or has changed; None where all of it is as it was written. A file that came
        later is no damage.

    Raises:
        buckets.StorageError: the storage refuses or does not answer, which is no damage.

    Example:
        >>> import tempfile
        >>> folder = epath.Path(tempfile.mkdtemp())
        >>> _ = (folder / 'data').write_text('abc')
        >>> problem(folder)
        'it was not finished'
        >>> write(folder)
        >>> problem(folder)
        >>> _ = (folder / 'data').write_text('abd')
        >>> problem(folder)
        'data is not what was written'
    """
    path = copies.fetch(epath.Path(path), without)
    try:
        if not exists(path):
            return 'it was not finished'
        sums = _read(path)
        if sums is None:
            return f'{FILE} is not what was written'
        for name, wanted in sums.items():
            if name.split('/')[0] in without:
                continue
            if not (path / name).exists():
                return f'{name} is missing'
            if _sha256(path / name) != wanted:
                return f'{name} is not what was written'
    except OSError as error:
        return f'it cannot be read ({error.strerror or error})'
    return None


def _read(path: epath.Path) -> dict[str, str] | None:
    """Reads a manifest; None: every change of its text counts, also one that means the same."""
    try:
        text = (path / FILE).read_text()
        sums = json.loads(text)
    except ValueError:
        return None
    return sums if isinstance(sums, dict) and sums and _text(sums) == text else None


def _write(path: epath.Path, sums: dict[str, str]) -> None:
    with files.replacing(path / FILE) as partial:
        partial.write_text(_text(sums))


def _sha256(path: epath.Path) -> str:
    digest = hashlib.sha256()
    with path.open('rb') as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _text(sums: dict[str, str]) -> str:
    return json.dumps(dict(sorted(sums.items())), indent=1) + '\n'
