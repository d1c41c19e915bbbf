"""Files from the web: whole or not there, and gone on with where a download ended early."""

import http.client
import os
import pathlib
import urllib.error
import urllib.parse
import urllib.request

from drn_jax.errors import InputError
from drn_jax.files import PARTIAL
from drn_jax.reporting import progress

_CHUNK = 1 << 20
_SECONDS = 30  # without a byte


def offline() -> bool:
    """Returns whether the network is not to be used: DRN_JAX_OFFLINE is set, and not to 0."""
    return os.environ.get('DRN_JAX_OFFLINE', '0') not in ('', '0')


def mirrored(url: str) -> str:
    """Returns an address on the mirror, where DRN_JAX_MIRROR names one: it replaces the host.

    Example:
        >>> import unittest.mock
        >>> with unittest.mock.patch.dict(os.environ, DRN_JAX_MIRROR='http://mirror:8000/weights/'):
        ...     mirrored('https://host/a/b.pth')
        'http://mirror:8000/weights/a/b.pth'
    """
    mirror = os.environ.get('DRN_JAX_MIRROR')
    return mirror.rstrip('/') + urllib.parse.urlsplit(url).path if mirror else url


def download(url: str, file: pathlib.Path) -> None:
    """Downloads a file, which is there when all of it is.

    What came of an earlier download that ended early lies beside it, under a name that ends in
    `.partial`, and is gone on with if the server still has the same file.

    Args:
        url: http or https; on the mirror if there is one.
        file: where to, in a folder that is there.

    Raises:
        InputError: the network is not to be used, the server cannot be reached or does not have
            it, or the download ended early.
        OSError: the file cannot be written.
    """
    url = mirrored(url)
    by_hand = f'or place the file by hand as {file}'
    if offline():
        raise InputError(
            f'{url} is not in the cache, and DRN_JAX_OFFLINE is set; leave that out, {by_hand}',
            path=url,
        )
    partial, tag = file.with_name(file.name + PARTIAL), file.with_name(file.name + '.etag')
    try:
        with urllib.request.urlopen(_request(url, partial, tag), timeout=_SECONDS) as answer:
            done = partial.stat().st_size if answer.status == 206 else 0
            tag.write_text(answer.headers.get('ETag') or '')
            total = done + int(answer.headers.get('Content-Length') or 0)
            _write(answer, partial, done, total, file.name)
    except urllib.error.HTTPError as error:
        error.close()
        raise InputError(
            f'{url} was answered with {error.code} {error.reason}; give another address, {by_hand}',
            path=url,
        ) from error
    except (urllib.error.URLError, TimeoutError, ConnectionError, http.client.HTTPException) as e:
        raise InputError(
            f'{url} cannot be reached ({getattr(e, "reason", None) or e!r}); try again, {by_hand}',
            path=url,
        ) from e
    if partial.stat().st_size < total:
        raise InputError(
            f'{url} ended early, after {partial.stat().st_size:,} of {total:,} bytes; '
            'the same command goes on with it',
            path=url,
        )
    partial.replace(file)
    tag.unlink()


def _request(url, partial, tag):
    """Returns the request for a file, or for the rest of it where a part is known to be its."""
    request = urllib.request.Request(url, headers={'User-Agent': 'drn_jax'})
    if partial.exists() and tag.exists() and (known := tag.read_text()):
        request.add_header('Range', f'bytes={partial.stat().st_size}-')
        request.add_header('If-Range', known)  # all of it, where the file is another by now
    return request


def _write(answer, partial, done, total, name):
    """Writes an answer behind what is there, MiB by MiB."""
    with (
        partial.open('r+b' if done else 'wb') as stream,
        progress.Progress(-(-total // _CHUNK), done // _CHUNK, f'{name}: MiB') as bar,
    ):
        stream.seek(done)
        while chunk := answer.read(_CHUNK):
            stream.write(chunk)
            bar.update()
