"""Places that users name: local ones, and those of Google Cloud Storage."""

import os
import pathlib
import re
import urllib.parse

from etils import epath

from drn_jax.buckets import CLOUD
from drn_jax.errors import InputError, as_input_error

_PATTERNS = '[]*?{}\\'
# Also what is left of gs:// or s3:// where a slash or the colon was forgotten.
_SCHEME = re.compile(r'[A-Za-z][A-Za-z0-9+.-]*:/|gs:|gs//', re.IGNORECASE)


def directory(path: str | os.PathLike, flag: str = '') -> epath.Path:
    """Opens the directory that a user named, without looking whether it is there.

    `gs://` stays as it is. Everything else is local: made absolute, `~` is the home directory and
    `file://` is left out.

    Args:
        path: what was given: str or path-like.
        flag: the flag or setting that it was given with, for the error.

    Returns:
        `epath.Path`, absolute.

    Raises:
        InputError: it is empty, misspelt (`gs:/bucket`) or lies in a storage that is not supported.

    Example:
        >>> directory('gs://bucket/runs/'), directory('file:///runs/a'), directory('/runs/../a')
        (PosixGPath('gs://bucket/runs'), PosixGPath('/runs/a'), PosixGPath('/a'))
        >>> directory('s3://bucket/a', '--workdir')
        Traceback (most recent call last):
        ...
        drn_jax.errors.InputError: --workdir=s3://bucket/a is in a storage that is not supported; \
give a local directory, or one of Google Cloud Storage as gs://BUCKET/FOLDER
    """
    text = os.fsdecode(path)
    given = f'{flag}={text}' if flag else text
    with as_input_error(field=flag, path=text):
        if not text:
            raise ValueError(f'{flag or "the directory"} is empty; name a directory')
        _check_text(text, flag)
        if text.startswith(CLOUD):
            _check_cloud(text, given)
            return epath.Path(text)
        local = epath.Path(os.path.abspath(_local(text, given)))
        if '://' in str(local):  # for epath /gs/bucket is another name of gs://bucket
            raise ValueError(
                f'{given} lies in a folder of the name {local.parts[1]!r} that is taken '
                f'for {local}; give a directory in another folder'
            )
        return local


def run_directory(path: str | os.PathLike, flag: str = '') -> epath.Path:
    """Opens the directory of a run or a checkpoint, as `directory` does.

    Orbax takes some characters for patterns: what it saves there can never be read again.

    Raises:
        InputError: as `directory`; or it holds one of these.

    Example:
        >>> run_directory('/runs/a[1]', '--workdir')
        Traceback (most recent call last):
        ...
        drn_jax.errors.InputError: --workdir=/runs/a[1] holds [ and ], which Orbax takes for a \
pattern; give a directory without any of [ ] * ? { } \\
    """
    found = directory(path, flag)
    if bad := [character for character in _PATTERNS if character in str(found)]:
        text = os.fsdecode(path)
        raise InputError(
            f'{flag}{"=" if flag else ""}{text} holds {" and ".join(bad)}, which Orbax takes for a '
            f'pattern; give a directory without any of {" ".join(_PATTERNS)}',
            field=flag,
            path=text,
        )
    return found


def local(path: str | os.PathLike, flag: str = '') -> pathlib.Path:
    """Returns the path of a file or directory that must be local; it need not be there.

    `~` becomes the home directory, and `file://` is left out.

    Args:
        path: what was given.
        flag: the flag that it was given with, for the error.

    Raises:
        InputError: it is empty, or lies in a storage such as `gs://`.

    Example:
        >>> local('runs/it', '--output')
        PosixPath('runs/it')
        >>> local('gs://bucket/it', '--output')
        Traceback (most recent call last):
        ...
        drn_jax.errors.InputError: --output=gs://bucket/it is not local; give a local path, and \
copy it yourself
    """
    text = os.fsdecode(path)
    given = f'{flag}={text}' if flag else text
    with as_input_error(field=flag, path=text):
        if not text:
            raise ValueError(f'{flag or "the path"} is empty; name a local one')
        if not text.startswith('file:') and ('://' in text or _SCHEME.match(text)):
            raise ValueError(f'{given} is not local; give a local path, and copy it yourself')
        _check_text(text, flag)
        return pathlib.Path(_local(text, given))


def cache() -> pathlib.Path:
    """Returns where downloads and compiled programs are kept; it need not be there.

    It is `$DRN_JAX_CACHE`, else `drn_jax` in the user's cache directory.

    Example:
        >>> import unittest.mock
        >>> with unittest.mock.patch.dict(os.environ, DRN_JAX_CACHE='/data/kept'):
        ...     cache()
        PosixPath('/data/kept')
    """
    if given := os.environ.get('DRN_JAX_CACHE'):
        return pathlib.Path(given).expanduser().absolute()
    user = os.environ.get('XDG_CACHE_HOME') or pathlib.Path.home() / '.cache'
    return pathlib.Path(user) / 'drn_jax'


def _check_text(text, flag):
    """Refuses bytes that are no text, which reports and libraries cannot name."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f'{flag or "the path"} {ascii(text)} is no UTF-8; rename it, or give another'
        ) from error


def _check_cloud(text, given):
    """Refuses places in Cloud Storage that the libraries do not understand, or differently."""
    bucket, _, name = text.removeprefix(CLOUD).partition('/')
    if not bucket:
        raise ValueError(f'{given} names no bucket; give gs://BUCKET/FOLDER')
    if '..' in name.split('/') or set('?#') & set(text):
        raise ValueError(
            f"{given} holds '..', '?' or '#', which cannot be used in Cloud Storage; "
            'give gs://BUCKET/FOLDER without them'
        )


def _local(text, given):
    """Returns a local path without `file://` and `~`."""
    if text.startswith(('file:///', 'file://localhost/')):
        return urllib.parse.unquote('/' + text.removeprefix('file://').partition('/')[2])
    if text.startswith('file:'):
        raise ValueError(f'{given} is no absolute path; give file:///DIR, or the path alone')
    scheme = _SCHEME.match(text)
    if scheme and scheme[0].lower().startswith('gs'):
        raise ValueError(
            f'{given} is misspelt; Cloud Storage is gs://BUCKET/FOLDER, and a local '
            f'directory of this name ./{text}'
        )
    if scheme or '://' in text:
        raise ValueError(
            f'{given} is in a storage that is not supported; give a local '
            'directory, or one of Google Cloud Storage as gs://BUCKET/FOLDER'
        )
    home = os.path.expanduser(text)
    if home.startswith('~'):
        raise ValueError(
            f'{given} is the home directory of a user who does not exist; give '
            f'another directory, or ./{text} for a local one of this name'
        )
    return home
