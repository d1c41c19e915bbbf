"""Objects of Google Cloud Storage: every call is one or few requests, and none waits for ever.

Credentials are Google's application default ones; where there are none, requests are anonymous,
which is enough for public data. `STORAGE_EMULATOR_HOST` names another server, as in Google's tools.
"""

import contextlib
import functools
import os
import pathlib
import time
import urllib.parse
from collections.abc import Callable, Iterable
from concurrent import futures
from typing import Any, TypeVar

from drn_jax.errors import InputError, one_line

CLOUD = 'gs://'
THREADS = 32
RETRY_SECONDS, FIRST_SECONDS = 40, 8  # how long what may pass is tried; where nothing ever worked
_SILENT_SECONDS = 10  # how long a connection may say nothing
_PASSING = (408, 429, 500, 502, 503, 504)  # statuses that may be others a little later
_SCOPE = 'https://www.googleapis.com/auth/devstorage.read_write'
_ROLES = 'the roles that docs/clusters.md names'

# TensorFlow, which reads data, would try for minutes what fails, and wait an hour for an answer. It
# looks here when it is imported.
for _name, _value in {
    'RETRY_CONFIG_INIT_DELAY_TIME_US': 200_000,
    'RETRY_CONFIG_MAX_RETRIES': 6,
    'REQUEST_CONNECTION_TIMEOUT_SECS': 5,
    'REQUEST_IDLE_TIMEOUT_SECS': 5,
}.items():
    os.environ.setdefault(f'GCS_{_name}', str(_value))
_answered: set[str] = set()  # buckets that did, once

_Item = TypeVar('_Item')
_Result = TypeVar('_Result')


class StorageError(InputError):
    """Cloud Storage refuses or does not answer; it says nothing of what is stored there."""


def is_cloud(path: str | os.PathLike[str]) -> bool:
    """Returns whether a path is one of Cloud Storage.

    Example:
        >>> is_cloud('gs://bucket/runs'), is_cloud('runs')
        (True, False)
    """
    return os.fspath(path).startswith(CLOUD)


def in_parallel(function: Callable[[_Item], _Result], items: Iterable[_Item]) -> list[_Result]:
    """Maps in `THREADS` threads: what takes long is the way to the storage.

    Example:
        >>> in_parallel(abs, [-1, 2, -3])
        [1, 2, 3]
    """
    with futures.ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(function, items))


def listing(folder: str | os.PathLike[str]) -> dict[str, str]:
    """Lists all objects below a folder, at any depth.

    Args:
        folder: 'gs://BUCKET/FOLDER'.

    Returns:
        {name below the folder: generation, which every change of the object changes}.

    Raises:
        StorageError: the bucket is missing, refuses or does not answer.
    """
    bucket, name = _split(folder)
    prefix, page = f'{name}/' if name else '', ''
    found: dict[str, str] = {}
    while True:
        query = {
            'prefix': prefix,
            'pageToken': page,
            'fields': 'items(name,generation),nextPageToken',
        }
        answer = _ask('GET', folder, f'/storage/v1/b/{bucket}/o', query).json()
        found |= {
            each['name'].removeprefix(prefix): each['generation']
            for each in answer.get('items', ())
        }
        page = answer.get('nextPageToken')
        if not page:
            break
    # What no file can be called: markers of folders, and what would lie outside.
    return {
        name: generation
        for name, generation in found.items()
        if not {'', '.', '..'} & set(name.split('/'))
    }


def holds_something(folder: str | os.PathLike[str]) -> bool:
    """Returns whether there is an object below a folder.

    Raises:
        StorageError: the bucket is missing, refuses or does not answer.
    """
    bucket, name = _split(folder)
    query = {'prefix': f'{name}/' if name else '', 'maxResults': 1, 'fields': 'items(name)'}
    return bool(_ask('GET', folder, f'/storage/v1/b/{bucket}/o', query).json().get('items'))


def read(path: str | os.PathLike[str]) -> tuple[bytes, str] | None:
    """Reads an object.

    Returns:
        Its bytes and its generation; None where there is none.

    Raises:
        StorageError: the bucket refuses or does not answer.
    """
    answer = _ask('GET', path, _object(path), {'alt': 'media'}, allowed=(404,))
    return (
        None if answer.status_code == 404 else (answer.content, answer.headers['x-goog-generation'])
    )


def download(path: str | os.PathLike[str], target: pathlib.Path) -> None:
    """Copies an object to a local file, in place of an earlier one; folders above it are made.

    Raises:
        StorageError: it is missing, or the bucket refuses or does not answer.
        OSError: the file cannot be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)

    def save(answer):
        with target.open('wb') as file:
            for chunk in answer.iter_content(1 << 20):
                file.write(chunk)

    _ask('GET', path, _object(path), {'alt': 'media'}, take=save)


def upload(
    path: str | os.PathLike[str], content: bytes | pathlib.Path, replaced: str | None = None
) -> str | None:
    """Writes an object, whole or not at all.

    Args:
        path: where.
        content: its bytes, or the local file that holds them.
        replaced: the generation that it takes the place of, '0' for none; None: of any.

    Returns:
        Its generation; None where another one than `replaced` was there, which stays.

    Raises:
        StorageError: the bucket is missing, refuses or does not answer.
        OSError: the file cannot be read.
    """
    bucket, name = _split(path)
    query = {'uploadType': 'media', 'name': name, 'fields': 'generation'}
    query |= {'ifGenerationMatch': replaced} if replaced is not None else {}
    url = f'/upload/storage/v1/b/{bucket}/o'
    allowed = () if replaced is None else (412,)
    answer = _ask('POST', path, url, query, content=content, allowed=allowed)
    return None if answer.status_code == 412 else answer.json()['generation']


def delete(path: str | os.PathLike[str], generation: str | None = None) -> None:
    """Deletes an object, or only a certain generation of it, where it is there.

    Raises:
        StorageError: the bucket refuses or does not answer.
    """
    query = {'ifGenerationMatch': generation} if generation is not None else {}
    _ask('DELETE', path, _object(path), query, allowed=(404, 412))


def copy(path: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """Copies an object within Cloud Storage.

    Raises:
        StorageError: it is missing, or the bucket refuses or does not answer.
    """
    url = f'{_object(path)}/rewriteTo{_object(target).removeprefix("/storage/v1")}'
    query: dict[str, str] = {}
    while not (answer := _ask('POST', path, url, query).json()).get('done', True):
        query = {'rewriteToken': answer['rewriteToken']}


def problem(error: BaseException | None) -> str | None:
    """Finds what TensorFlow says of Cloud Storage in an exception or its causes; None: nothing.

    Args:
        error: the exception; TensorFlow's are no OSError.

    Returns:
        One sentence.
    """
    while error is not None:
        kinds = {kind.__name__ for kind in type(error).__mro__}
        if 'OpError' in kinds and CLOUD in str(error):
            said = ValueError(
                str(error).split('}} ')[-1]
            )  # without the place in TensorFlow's graph
            return (
                f'Cloud Storage cannot be used ({one_line(said, short=True)}); see that the '
                f'place is there, that the account has {_ROLES} and that the network works'
            )
        error = error.__cause__ or error.__context__
    return None


@functools.cache
def _session() -> Any:
    """Returns what sends requests, with credentials where there are some, and the address."""
    import google.auth.exceptions
    import google.auth.transport.requests
    import requests.adapters

    base = os.environ.get('STORAGE_EMULATOR_HOST')
    session = requests.Session()
    if not base:
        base = 'https://storage.googleapis.com'
        try:
            credentials, _ = google.auth.default([_SCOPE])
            session = google.auth.transport.requests.AuthorizedSession(credentials)
        except google.auth.exceptions.DefaultCredentialsError:
            pass  # public data needs none
    for scheme in ('http://', 'https://'):
        session.mount(scheme, requests.adapters.HTTPAdapter(pool_maxsize=THREADS))
    return session, base if '://' in base else f'http://{base}'


def _ask(
    method: str,
    path: str | os.PathLike[str],
    url: str,
    query: dict[str, Any],
    content: bytes | pathlib.Path = b'',
    allowed: tuple[int, ...] = (),
    take: Callable[[Any], Any] | None = None,
) -> Any:
    """Asks until there is an answer that stays, or for so long.

    Args:
        method, url, query: what is asked.
        path: what it is about.
        content: what is sent.
        allowed: statuses of errors that are answers, too.
        take: reads the answer; None reads it into memory.
    """
    import google.auth.exceptions
    import requests

    bucket, _ = _split(path)
    seconds = RETRY_SECONDS if bucket in _answered else FIRST_SECONDS
    until, pause = time.monotonic() + seconds, 0.5
    while True:
        try:
            session, base = _session()
            with _opened(content) as data:
                answer = session.request(
                    method,
                    base + url,
                    params=query,
                    data=data,
                    timeout=min(_SILENT_SECONDS, seconds / 2),
                    stream=take is not None,
                )
            if answer.ok and take:
                take(answer)
            if answer.ok or answer.status_code in allowed:
                _answered.add(bucket)
                return answer
            trouble = f'{answer.status_code} {answer.reason}'
            if answer.status_code not in _PASSING:
                raise _refusal(path, answer)
        except (requests.RequestException, google.auth.exceptions.TransportError) as error:
            trouble = one_line(error, short=True)
        except google.auth.exceptions.GoogleAuthError as error:
            raise _refusal(path, None) from error
        if time.monotonic() + pause > until:
            raise StorageError(
                f'{path} does not answer ({trouble}); see that the network and Cloud Storage '
                'work, then give the same command again',
                path=path,
            )
        time.sleep(pause)
        pause *= 2


def _opened(content: bytes | pathlib.Path) -> contextlib.AbstractContextManager[Any]:
    """Opens what is sent; an empty file would be sent in chunks, without a length."""
    if isinstance(content, bytes) or not content.stat().st_size:
        return contextlib.nullcontext(content if isinstance(content, bytes) else b'')
    return content.open('rb')


def _refusal(path: str | os.PathLike[str], answer: Any) -> StorageError:
    """Returns the error of an answer that will stay the same; None: the credentials do not work."""
    bucket, _ = _split(path)
    status = answer.status_code if answer is not None else 401
    if status == 401:
        text = (
            'cannot be used without credentials that work; renew them, on a machine of your own '
            'with gcloud auth application-default login'
        )
    elif status == 403:
        text = f'may not be used by this account; give it {_ROLES} on gs://{bucket}'
    elif status == 404:
        text = (
            f'is not there; see that gs://{bucket} exists and is spelled so (runs make folders, '
            'no buckets)'
        )
    else:
        text = 'cannot be used; see that the name is right'
    said = f' ({status} {_said(answer)})' if answer is not None else ''
    return StorageError(f'{path} {text}{said}', path=path)


def _said(answer: Any) -> str:
    """Returns what the storage says of an error, or its kind."""
    try:
        text = answer.json()['error']['message']
    except (ValueError, LookupError, TypeError):
        text = ''
    return one_line(ValueError(text or answer.reason), short=True)


def _split(path: str | os.PathLike[str]) -> tuple[str, str]:
    """Returns the bucket, and the name in it, of a path."""
    bucket, _, name = os.fspath(path).removeprefix(CLOUD).partition('/')
    return bucket, name.strip('/')


def _object(path: str | os.PathLike[str]) -> str:
    bucket, name = _split(path)
    return f'/storage/v1/b/{bucket}/o/{urllib.parse.quote(name, safe="")}'
