"""SHA-256 sums of a checkpoint's files: they tell a whole step from a damaged one."""

import hashlib
import json
from collections.abc import Collection, Iterator

from etils import epath

from drn_jax import files

FILE = 'MANIFEST.json'
_CHUNK = 1 << 20


def write(path: epath.PathLike) -> None:
    """Writes the manifest of a step that is committed; the step counts as finished from here on.

    Args:
        path: folder of the step. Its files, at any depth, are listed with their sums in
            `MANIFEST.json`, in place of an earlier one.

    Example:
        >>> import tempfile
        >>> folder = epath.Path(tempfile.mkdtemp())
        >>> _ = (folder / 'data').write_text('abc')
        >>> write(folder)
        >>> list(json.loads((folder / FILE).read_text()))
        ['data']
    """
    path = epath.Path(path)
    text = _text({name: _sha256(path / name) for name in sorted(_files(path))})
    with files.replacing(path / FILE) as partial:
        partial.write_text(text)


def exists(path: epath.PathLike) -> bool:
    """Returns whether a step was finished; its files may have changed since."""
    return (epath.Path(path) / FILE).exists()


def problem(path: epath.PathLike, without: Collection[str] = ()) -> str | None:
    """Finds what is wrong with a step, by reading all of its files.

    Args:
        path: folder of the step.
        without: names of items, such as 'optimizer', whose files are not looked at.

    Returns:
        What is missing or has changed; None where all of it is as it was written. A file that came
        later is no damage.

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
    path = epath.Path(path)
    try:
        if not exists(path):
            return 'it was not finished'
        text = (path / FILE).read_text()
        sums = json.loads(text)
        # Every change of the text must be noticed, also one that leaves the same meaning.
        if not isinstance(sums, dict) or not sums or _text(sums) != text:
            return f'{FILE} is not what was written'
        for name, wanted in sums.items():
            if name.split('/')[0] in without:
                continue
            if not (path / name).exists():
                return f'{name} is missing'
            if _sha256(path / name) != wanted:
                return f'{name} is not what was written'
    except (ValueError, UnicodeDecodeError):
        return f'{FILE} is not what was written'
    except OSError as error:
        return f'it cannot be read ({error.strerror or error})'
    return None


def _files(path: epath.Path, prefix: str = '') -> Iterator[str]:
    """Yields the files below a folder, the manifest left out, as 'variables/params'."""
    for entry in path.iterdir():
        if entry.is_dir():
            yield from _files(entry, f'{prefix}{entry.name}/')
        elif not (prefix == '' and entry.name.startswith(FILE)):
            yield prefix + entry.name


def _sha256(path: epath.Path) -> str:
    digest = hashlib.sha256()
    with path.open('rb') as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _text(sums: dict[str, str]) -> str:
    return json.dumps(sums, indent=1) + '\n'
