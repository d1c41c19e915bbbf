"""Checkpoints by name, from hubs and from files of weights: anything becomes a local directory.

What is not there yet is downloaded, checked, converted once, and kept in a cache: `$DRN_JAX_CACHE`,
else `drn_jax` in the user's cache directory.
"""

import contextlib
import hashlib
import logging
import os
import pathlib
import re
import shutil
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import filelock
from etils import epath

from drn_jax import paths
from drn_jax.checkpoints import (
    archives,
    conversion,
    downloads,
    hub,
    pretrained,
    torch_files,
    weight_files,
    weight_folders,
)
from drn_jax.errors import InputError, one_line
from drn_jax.reporting import progress

NAMED, HUB = 'pretrained:', 'hf:'
FORMAT = 2  # of what is kept; a change of it converts anew
_WARNINGS = 'warnings.txt'  # what conversion warned of, one a line
_logger = logging.getLogger(__name__)


def resolve(reference: str | os.PathLike) -> epath.Path:
    """Returns the directory of a checkpoint, which is made in the cache where it is none yet.

    Args:
        reference: `pretrained:NAME` of `list_pretrained`; `hf:ORGANIZATION/NAME` or
            `hf:ORGANIZATION/NAME@REVISION`, a repository of the Hugging Face hub with a
            `model.safetensors`; `https://...` or a local path of a file of weights, of several
            networks in it one as `FILE#ENTRY`; or a directory, local or gs://, which stays what it
            is.

    Raises:
        InputError: it names nothing, cannot be downloaded, is not the file that it should be, or
            holds no network.

    Example:
        model, variables = drn_jax.load('pretrained:drn_c_26')

    Source: the weights are those of `pretrained`.
    """
    text = os.fsdecode(reference)
    if text.startswith(NAMED):
        return _named(text.removeprefix(NAMED))
    if text.startswith(HUB):
        return _of_hub(text)
    if text.startswith(('https://', 'http://')):
        return _of_url(*text.partition('#')[::2])
    for name, entry in ((text, ''), text.rpartition('#')[::2]):
        if name and os.path.isfile(file := paths.directory(name)):
            return _of_file(pathlib.Path(file), entry)
    return paths.run_directory(text)


def _named(name: str) -> epath.Path:
    row = pretrained.lookup(name)

    @contextlib.contextmanager
    def convert() -> Iterator[conversion.Converted]:
        if '.pth' in row.url:
            torch_files.import_torch(row.url)  # raises now, not after the download
        with _downloaded(row.url) as file, archives.unpacked(file) as weights:
            found = weight_files.digests(weights)
            if row not in pretrained.by_digest(found):
                raise InputError(
                    f'it is not the file that {NAMED}{name} names: '
                    f'its SHA-1 begins with {found[0][:8]} and its SHA-256 with {found[1][:8]}, '
                    f'none with {row.digest[:8]}',
                    path=row.url,
                )
            yield conversion.convert(str(file), row.variant, stride_in=row.stride_in)

    return _kept(f'{name}-{row.digest[:8]}', convert)


def _of_url(url: str, entry: str) -> epath.Path:
    @contextlib.contextmanager
    def convert() -> Iterator[conversion.Converted]:
        with _downloaded(url) as file:
            with archives.unpacked(file) as weights:
                problem = weight_files.misnamed(weights)
            if problem:
                raise InputError(problem, path=url)
            yield conversion.convert(str(file), entry=entry)

    try:
        name = pathlib.PurePath(_name(url)).stem
    except ValueError as error:
        raise InputError(
            f'{url} is no address ({error}); give https://HOST/FILE', path=url
        ) from error
    return _kept(f'{name}-{_short(url)}', convert, entry)


def _of_file(file: pathlib.Path, entry: str) -> epath.Path:
    archives.check_readable(file)
    digest = weight_files.digests(file)[1]
    name = f'{_plain(file.stem)}-{digest[:12]}'

    def convert() -> AbstractContextManager[conversion.Converted]:
        return contextlib.nullcontext(conversion.convert(str(file), entry=entry))

    return _kept(name, convert, entry)


def repository(reference: str) -> tuple[str, str | None]:
    """Returns the parts of `hf:ORGANIZATION/NAME@REVISION`: repository and revision, or None.

    Raises:
        InputError: it is no such reference.

    Example:
        >>> repository('hf:timm/resnet50.a1_in1k'), repository('hf:me/it@v2')
        (('timm/resnet50.a1_in1k', None), ('me/it', 'v2'))
    """
    parts = re.fullmatch(rf'{HUB}([\w.-]+/[\w.-]+)(?:@([\w./-]+))?', reference)
    if not parts:
        raise InputError(
            f'{reference} is no repository; give {HUB}ORGANIZATION/NAME or '
            f'{HUB}ORGANIZATION/NAME@REVISION',
            path=reference,
        )
    return parts[1], parts[2]


def _of_hub(reference: str) -> epath.Path:
    name, revision = repository(reference)
    with _writing(paths.cache() / 'hub' / 'any'):
        folder = hub.fetch(name, revision, paths.cache() / 'hub')
    if weight_folders.exists(epath.Path(folder)):
        return epath.Path(folder)
    file, variant = hub.weights(folder, reference)
    name = f'{name.replace("/", "--")}-{folder.name[:12]}'
    return _kept(name, lambda: contextlib.nullcontext(conversion.convert(str(file), variant)))


def _kept(
    name: str, convert: Callable[[], AbstractContextManager[conversion.Converted]], entry: str = ''
) -> epath.Path:
    """Returns a folder of the cache, which is made once, by one process of many.

    What conversion warns of is told whenever the folder is used.
    """
    entry = _plain(f'-{entry}' * bool(entry))
    folder = paths.cache() / 'checkpoints' / f'{name}{entry}-{FORMAT}'
    if not folder.exists():
        with _writing(folder), _locked(folder.with_name(f'{folder.name}.lock')):
            if not folder.exists():  # another process may have made it by now
                partial = folder.with_name(f'{folder.name}.partial')
                shutil.rmtree(partial, ignore_errors=True)
                with _warnings() as lines, convert() as converted:
                    partial.mkdir()
                    weight_folders.write(epath.Path(partial), converted)
                    if lines:
                        (partial / _WARNINGS).write_text('\n'.join(lines))
                    partial.rename(folder)
                progress.say(f'kept in {folder}')
                return epath.Path(folder)
    if (folder / _WARNINGS).exists():
        for line in (folder / _WARNINGS).read_text().splitlines():
            _logger.warning('%s', line)
    return epath.Path(folder)


@contextlib.contextmanager
def _warnings() -> Iterator[list[str]]:
    """Collects what the package warns of."""
    lines: list[str] = []

    def collect(record: logging.LogRecord) -> bool:
        lines.append(one_line(Warning(record.getMessage())))
        return False

    handler, logger = logging.Handler(logging.WARNING), logging.getLogger('drn_jax')
    handler.addFilter(collect)
    logger.addHandler(handler)
    try:
        yield lines
    finally:
        logger.removeHandler(handler)


@contextlib.contextmanager
def _locked(file: pathlib.Path) -> Iterator[None]:
    """Waits for other processes, and says so."""
    lock = filelock.FileLock(file)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        progress.say(f'waiting for another process, which holds {file}')
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def _downloaded(url: str) -> Iterator[pathlib.Path]:
    """Downloads a file, unless it was placed there by hand, and removes it after use.

    A damaged file goes too: the next try should not meet it again. It stays where it is not to
    blame, as where the disk is full, PyTorch is missing, or it fits several variants.
    """
    file = paths.cache() / 'downloads' / f'{_short(url)}-{_name(url)}'
    file.parent.mkdir(parents=True, exist_ok=True)
    if not file.exists():
        downloads.download(url, file)
    try:
        yield file
    except InputError as error:
        if error.field or isinstance(error.__cause__, ImportError):
            raise
        file.unlink()
        raise InputError(
            f'what {downloads.mirrored(url)} gave cannot be used and was removed: {error}',
            path=error.path,
        ) from error
    file.unlink()


def _name(url: str) -> str:
    """Returns a name for the file behind an address."""
    path = urllib.parse.unquote(urllib.parse.urlsplit(url).path)
    return _plain(path.rpartition('/')[2]) or 'file'


def _plain(name: str) -> str:
    """Returns a name that every file system takes."""
    return re.sub(r'[^\w.-]', '_', name)[-100:]


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@contextlib.contextmanager
def _writing(folder: pathlib.Path) -> Iterator[None]:
    """Makes the folder above, and says which cache cannot be written, and why."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise InputError(
            f'the cache {paths.cache()} cannot be written ({error.strerror or error}); make room '
            'or rights for it, or name another directory with DRN_JAX_CACHE',
            path=paths.cache(),
        ) from error
