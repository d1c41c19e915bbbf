"""Files from the web: whole or not there, and gone on with where a download ended early."""

import http.client
import os
import pathlib
import string
import urllib.error
import urllib.parse
import urllib.request
from http.client import HTTPResponse

from drn_jax.errors import InputError, one_line
from drn_jax.files import PARTIAL
from drn_jax.reporting import progress

_CHUNK = 1 << 20
_SECONDS = 30  # without a byte
_MIRROR = 'DRN_JAX_MIRROR'


def offline() -> bool:
    """Returns whether the network is not to be used: DRN_JAX_OFFLINE is set, and not to 0."""
    return os.environ.get('DRN_JAX_OFFLINE', '0') not in ('', '0')


def mirror() -> str | None:
    """Returns the address that replaces the host of all others, DRN_JAX_MIRROR, if it is set.

    Raises:
        InputError: it is no address.
    """
    given = os.environ.get(_MIRROR)
    if given and not given.startswith(('http://', 'https://')):
        raise InputError(
            f'{_MIRROR}={given} is no address; give http://HOST or https://HOST', field=_MIRROR
        )
    return given.rstrip('/') if given else None


def mirrored(url: str) -> str:
    """Returns an address, on the mirror where there is one.

    Example:
        >>> import unittest.mock
        >>> with unittest.mock.patch.dict(os.environ, DRN_JAX_MIRROR='http://mirror:8000/weights/'):
        ...     mirrored('https://host/a/b.pth?v=2')
        'http://mirror:8000/weights/a/b.pth?v=2'
    """
    host = mirror()
    parts = urllib.parse.urlsplit(url)
    return host + parts._replace(scheme='', netloc='').geturl() if host else url


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
    url = urllib.parse.quote(mirrored(url), safe=string.punctuation)  # blanks, letters of languages
    by_hand = f'or place the file by hand as {file}'
    if offline():
        raise InputError(
            f'{url} is not in the cache, and DRN_JAX_OFFLINE is set; leave that out, {by_hand}',
            path=url,
        )
    partial, tag = file.with_name(file.name + PARTIAL), file.with_name(file.name + '.etag')
    try:
        answer, done = _open(url, partial, tag)
    except urllib.error.HTTPError as error:
        error.close()
        reason = str(error.reason).partition('\n')[0]
        login = ' (a login or a consent to a license may be needed)' * (error.code in (401, 403))
        raise InputError(
            f'{url} was answered with {error.code} {reason}{login}; give another address, '
            f'{by_hand}',
            path=url,
        ) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = one_line(getattr(error, 'reason', error))
        raise InputError(
            f'{url} cannot be reached ({reason}); try again, {by_hand}', path=url
        ) from error
    with answer:
        total = done + int(answer.headers.get('Content-Length') or 0)
        if not done:  # no tag beside a part of another file
            partial.unlink(missing_ok=True)
            tag.write_text(answer.headers.get('ETag') or answer.headers.get('Last-Modified') or '')
        broken = _write(answer, partial, done, total, file.name)
    here = partial.stat().st_size
    if broken or here < total:
        reason = f' ({broken})' if broken else ''
        of_all = f' of {total:,}' if total else ''
        raise InputError(
            f'{url} ended early{reason}, after {here:,}{of_all} bytes; '
            'the same command goes on with it',
            path=url,
        )
    partial.replace(file)
    tag.unlink()


def _open(url: str, partial: pathlib.Path, tag: pathlib.Path) -> tuple[HTTPResponse, int]:
    """Asks for what is missing of a file.

    Returns:
        The answer, and the number of bytes that lie before it in the file: 0 where the server has
        another file by now, or sends all of it anyway.
    """
    known = tag.read_text() if partial.exists() and tag.exists() else ''
    if known:
        start = partial.stat().st_size
        try:
            answer = _ask(url, {'Range': f'bytes={start}-', 'If-Range': known})
        except urllib.error.HTTPError as error:  # 416: nothing is missing, or it is shorter now
            error.close()
        else:
            if answer.status != 206:
                return answer, 0
            if answer.headers.get('Content-Range', '').startswith(f'bytes {start}-'):
                return answer, start
            answer.close()
    return _ask(url, {}), 0


def _ask(url: str, headers: dict[str, str]) -> HTTPResponse:
    request = urllib.request.Request(url, headers={'User-Agent': 'drn_jax', **headers})
    return urllib.request.urlopen(request, timeout=_SECONDS)


def _write(
    answer: HTTPResponse, partial: pathlib.Path, done: int, total: int, name: str
) -> str | None:
    """Writes an answer behind what is there, MiB by MiB; returns why it broke off, if it did."""
    with (
        partial.open('ab') as stream,
        progress.Progress(-(-total // _CHUNK), done // _CHUNK, f'{name}: MiB') as bar,
    ):
        while True:
            try:
                chunk = answer.read(_CHUNK)
            except (OSError, http.client.HTTPException) as error:  # of the network
                return one_line(error)
            if not chunk:
                return None
            stream.write(chunk)
            bar.update()
