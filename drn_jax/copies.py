"""Folders that are written and read here: local ones, and local copies of those of Cloud Storage.

What goes to Cloud Storage is written in a temporary folder first, and only whole files travel:
each takes one request, all of them go at the same time, and libraries meet a local disk.
"""

import atexit
import contextlib
import fcntl
import functools
import pathlib
import shutil
import tempfile
from collections.abc import Collection, Sequence

from etils import epath

from drn_jax import buckets
from drn_jax.errors import InputError

_PREFIX, _LOCK = 'drn_jax_copies_', '.lock'
_generations: dict[epath.Path, str] = {}  # of the objects that are here, by their local files


def local(path: epath.Path) -> epath.Path:
    """Returns the local place of a folder or file: itself, or where its copy lies or may be made.

    Example:
        >>> local(epath.Path('/runs/a'))
        PosixGPath('/runs/a')
    """
    if not buckets.is_cloud(path):
        return path
    return epath.Path(_root()) / str(path).removeprefix(buckets.CLOUD)


def fetch(
    path: epath.Path, without: Collection[str] = (), only: Collection[str] = ()
) -> epath.Path:
    """Makes the local copy of a folder what the folder is now.

    Args:
        path: the folder; a local one is its own copy.
        without: names of folders and files, at any depth, that are not needed.
        only: names of which every path that is needed has one; () is any.

    Returns:
        `local(path)`.

    Raises:
        buckets.StorageError: the storage refuses or does not answer.
        InputError: there is no room here.
    """
    here = local(path)
    if here == path:
        return here
    there = {here / name: generation for name, generation in buckets.listing(path).items()}
    for file in [file for file in list(_generations) if here in file.parents and file not in there]:
        del _generations[file]
        file.unlink(missing_ok=True)

    def wanted(file):
        parts = set(file.relative_to(here).parts)
        return not parts & set(without) and (not only or parts & set(only))

    def download(file):
        buckets.download(path / file.relative_to(here), pathlib.Path(file))
        _generations[file] = there[file]

    missing = [file for file in there if wanted(file) and _generations.get(file) != there[file]]
    try:
        if there:
            here.mkdir(parents=True, exist_ok=True)
        buckets.in_parallel(download, missing)
    except OSError as error:
        raise InputError(
            f'{path} cannot be copied to {here} ({error.strerror}); let TMPDIR name a directory '
            'with room',
            path=here,
        ) from error
    return here


def publish(path: epath.Path, names: Sequence[str] = (), last: str = '') -> None:
    """Brings the local copy of a folder to where it belongs; of a local folder nothing is to do.

    Args:
        path: the folder.
        names: files in it; () is all that there are.
        last: one that comes when the others are there.

    Raises:
        buckets.StorageError: the storage refuses or does not answer.
    """
    here = local(path)
    if here == path:
        return

    def upload(name):
        generation = buckets.upload(path / name, pathlib.Path(here / name))
        _generations[here / name] = str(generation)

    buckets.in_parallel(upload, [name for name in names or files(here) if name != last])
    if last:
        upload(last)


def files(folder: epath.Path) -> list[str]:
    """Returns the sorted names of the files below a local folder, such as 'variables/_METADATA'."""
    root = pathlib.Path(folder)
    return sorted(file.relative_to(root).as_posix() for file in root.rglob('*') if file.is_file())


def folders(path: epath.Path) -> list[str]:
    """Returns the sorted names of the folders in a folder."""
    if buckets.is_cloud(path):
        return sorted({name.partition('/')[0] for name in buckets.listing(path) if '/' in name})
    return sorted(entry.name for entry in path.iterdir() if entry.is_dir())


def remove(path: epath.Path, first: Sequence[str]) -> None:
    """Removes a folder, here and in Cloud Storage.

    Args:
        path: the folder.
        first: files that go before the others; a folder without them is taken for unfinished.
    """
    here = local(path)
    for name in first:
        if here != path:
            buckets.delete(path / name)
        (here / name).unlink(missing_ok=True)
    if here != path:
        buckets.in_parallel(lambda name: buckets.delete(path / name), buckets.listing(path))
    drop(path)
    if here == path:
        path.rmtree(missing_ok=True)


def drop(path: epath.Path) -> None:
    """Removes the local copy of a folder of Cloud Storage, and no local folder."""
    here = local(path)
    if here != path:
        for file in [file for file in list(_generations) if here in file.parents]:
            del _generations[file]
        here.rmtree(missing_ok=True)


def move(path: epath.Path, target: epath.Path, first: Sequence[str]) -> None:
    """Moves a folder; in Cloud Storage it is whole at one of the two places at any time.

    Args:
        path: the folder.
        target: where, a path of the same storage; nothing is there.
        first: see `remove`.
    """
    if not buckets.is_cloud(path):
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
        return
    buckets.in_parallel(
        lambda name: buckets.copy(path / name, target / name), buckets.listing(path)
    )
    remove(path, first)


def exists(path: epath.Path) -> bool:
    """Returns whether there is a folder that holds something, or a local file."""
    return buckets.holds_something(path) if buckets.is_cloud(path) else path.exists()


@functools.cache
def _root() -> pathlib.Path:
    """Makes the folder of this process's copies; those of processes that were killed go."""
    for old in pathlib.Path(tempfile.gettempdir()).glob(f'{_PREFIX}*/{_LOCK}'):
        with contextlib.suppress(OSError), old.open('w') as lock:  # in use, or of another user
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(old.parent)
    root = pathlib.Path(tempfile.mkdtemp(prefix=_PREFIX))
    lock = (root / _LOCK).open('w')
    fcntl.flock(lock, fcntl.LOCK_EX)
    atexit.register(lock.close)
    atexit.register(shutil.rmtree, root, ignore_errors=True)  # before that
    return root
