"""Which image files there are in a folder, without TensorFlow where it is local."""

import os
from typing import NamedTuple

from drn_jax import paths
from drn_jax.errors import InputError, some

# How files of images end, in small letters.
SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.gif', '.webp', '.tif', '.tiff', '.ppm', '.pgm')


class Found(NamedTuple):
    """What lies in a folder and those below.

    Attributes:
        images: paths below the folder, with '/', sorted.
        folders: the same, of folders.
        skipped: the same, of what is not looked at, folders with '/' at the end.
        remarks: a sentence without its end on what is skipped, where anything is.
    """

    images: list[str]
    folders: list[str]
    skipped: list[str]
    remarks: tuple[str, ...] = ()


def find_images(
    root: str | os.PathLike[str],
    *,
    layout: str = '',
    left_out: str | os.PathLike[str] | None = None,
) -> Found:
    """Finds the image files in a folder and in those below, and says what it skips.

    Images are the files that end in one of `SUFFIXES`, in capitals or not. Skipped are other files,
    files and folders that begin with a dot (`.ipynb_checkpoints`, `._x.jpg`), `__MACOSX`, and names
    that are no UTF-8. Links are followed, except to a folder that they lie in.

    Args:
        root: the folder, local or gs://.
        layout: 'SPLIT/CLASS/NAME' where paths below the root must have three parts, others are
            skipped; '' where any will do.
        left_out: a folder that is not looked into, and not counted as skipped.

    Raises:
        InputError: a folder cannot be listed.

    Example:
        >>> import pathlib, tempfile
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> (folder / 'b').mkdir()
        >>> for name in ('b/c.PNG', 'a.jpg', '._a.jpg'):
        ...     (folder / name).touch()
        >>> find_images(folder)[:3]
        (['a.jpg', 'b/c.PNG'], ['b'], ['._a.jpg'])
    """
    root, found = os.fspath(root), Found([], [], [])
    depth = layout.count('/') + 1 if layout else 0
    _search(root, '', depth, left_out and os.path.realpath(left_out), (), found)
    for names in (found.images, found.folders, found.skipped):
        names.sort()
    if not found.skipped:
        return found
    place = layout and f' at {layout}'
    remark = (
        f'what is hidden or no image{place} is skipped in {root}, {len(found.skipped)} in all: '
        f'{some(found.skipped)}'
    )
    return found._replace(remarks=(remark,))


def _search(folder, below, depth, left_out, above, found):
    """Adds what lies in a folder to `found`.

    Args:
        folder: its path.
        below: its path below the root, '' or with '/' at its end.
        depth: how many names images have below the root; 0: any number.
        left_out: see `find_images`, without links.
        above: paths of the folders that lead to this one, without links.
        found: `Found`.
    """
    level, above = below.count('/') + 1, (*above, os.path.realpath(folder))
    for name, is_folder in _entries(folder):
        path, shown = os.path.join(folder, name), name.encode(errors='backslashreplace').decode()
        hidden = is_hidden(name) or shown != name
        if is_folder and left_out and os.path.realpath(path) == left_out:
            continue
        if is_folder and not hidden and level != depth and not _leads_back(path, above):
            found.folders.append(below + name)
            _search(path, f'{below}{name}/', depth, left_out, above, found)
        elif is_folder or hidden or depth not in (0, level) or not is_image(name):
            found.skipped.append(below + shown + '/' * is_folder)
        else:
            found.images.append(below + name)


def _leads_back(path, above):
    """Returns whether a folder is a link to one in which it lies, or above that."""
    target = os.path.realpath(path) + os.sep if os.path.islink(path) else ''
    return bool(target) and any((real + os.sep).startswith(target) for real in above)


def _entries(folder):
    """Yields the names in a folder, and whether they are folders."""
    if folder.startswith(paths.CLOUD):
        from drn_jax.data.cpu_tensorflow import tf

        for name in filter(None, tf.io.gfile.listdir(folder)):
            yield name.rstrip('/'), name.endswith('/')
        return
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                yield entry.name, entry.is_dir()
    except OSError as error:
        raise InputError(
            f'{folder} cannot be listed ({error.strerror}); give a folder that can', path=folder
        ) from error


def is_hidden(name: str) -> bool:
    """Returns whether a file or folder is none of the user's, by its name."""
    return name.startswith('.') or name == '__MACOSX'


def is_image(path: str | os.PathLike[str]) -> bool:
    """Returns whether a file is named as an image.

    Example:
        >>> is_image('a/b.JPEG'), is_image('jpeg')
        (True, False)
    """
    return os.path.splitext(path)[1].lower() in SUFFIXES
