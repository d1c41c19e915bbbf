"""What keeps two runs out of one directory, and a run that was killed out of nobody's way."""

import contextlib
import fcntl
import json
import os
import pathlib
import socket
import threading
import time
import uuid
from typing import Any, Protocol

from etils import epath

from drn_jax import buckets
from drn_jax.errors import InputError
from drn_jax.reporting import progress

FILE = 'lock'
BEAT_SECONDS, LEASE_SECONDS = 10.0, 45.0


class Lock(Protocol):
    """A directory that is this run's until `close`."""

    def check(self) -> None:
        """Raises InputError where it no longer is."""

    def close(self) -> None:
        """Leaves it to others."""


def acquire(workdir: epath.Path) -> Lock:
    """Keeps other runs out of a directory, which is made if needed, for as long as this one lives.

    Locally the file `lock` is locked. In Cloud Storage it is an object that is written anew every
    `BEAT_SECONDS`; where that has not happened for `LEASE_SECONDS`, the run that made it is gone.

    Args:
        workdir: the directory of the run.

    Raises:
        InputError: another run is in it, or it cannot be written.

    Example:
        >>> import tempfile
        >>> folder = epath.Path(tempfile.mkdtemp())
        >>> lock = acquire(folder)
        >>> acquire(folder)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        drn_jax.errors.InputError: /... is in use by another run; wait for it, stop it, or give \
another --workdir
        >>> lock.close()
        >>> acquire(folder).close()
    """
    return _Lease(workdir) if buckets.is_cloud(workdir) else _LockedFile(workdir)


class _LockedFile:
    """A lock of the operating system: it ends with the process, however that ends."""

    def __init__(self, workdir: epath.Path):
        try:
            with contextlib.suppress(FileExistsError):  # a file: opening the next one says more
                workdir.mkdir(parents=True, exist_ok=True)
            self._file = open(workdir / FILE, 'w')
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                self._file.close()
                raise
        except BlockingIOError as error:
            raise _in_use(workdir) from error
        except OSError as error:
            raise InputError(
                f'{workdir} cannot be written ({error.strerror}); give another --workdir',
                path=workdir,
            ) from error

    def check(self) -> None:
        """Does nothing: a process cannot lose it."""

    def close(self) -> None:
        """Unlocks the file."""
        self._file.close()


class _Lease:
    """An object that one process writes anew again and again."""

    def __init__(self, workdir: epath.Path):
        self._workdir, self._path = workdir, workdir / FILE
        self._owner = {'id': uuid.uuid4().hex, **_process(os.getpid())}
        self._content = (json.dumps(self._owner) + '\n').encode()
        self._generation = self._take()
        self._writing, self._closed = threading.Lock(), threading.Event()
        threading.Thread(target=self._beat, name='lease', daemon=True).start()

    def check(self) -> None:
        """Writes it anew.

        Raises:
            InputError: another run has taken the directory, as this one was silent for too long.
            buckets.StorageError: the storage refuses or does not answer.
        """
        with self._writing:
            generation = buckets.upload(self._path, self._content, self._generation)
            if generation is None:
                found = buckets.read(self._path)
                if found and found[0] != self._content:  # else it was removed, or an answer lost
                    raise _in_use(self._workdir)
                generation = found[1] if found else self._take()
            self._generation = generation

    def close(self) -> None:
        """Removes it."""
        self._closed.set()
        with self._writing, contextlib.suppress(buckets.StorageError):  # it ends by itself
            buckets.delete(self._path, self._generation)

    def _take(self) -> str:
        """Writes it where there is none, or one of a run that is gone; returns its generation."""
        replaced, seen, since = '0', '', time.monotonic()
        while True:
            generation = buckets.upload(self._path, self._content, replaced)
            if generation is not None:
                return generation
            found = buckets.read(self._path)
            if found is None:
                replaced = '0'
                continue
            if found[0] == self._content:
                return found[1]
            alive = _is_alive(found[0])
            if alive or seen and found[1] != seen:
                raise _in_use(self._workdir)
            if alive is None and not seen:
                seen, since = found[1], time.monotonic()
                progress.say(
                    f'{self._workdir} was in use by another run, which may have ended: waiting for '
                    f'{LEASE_SECONDS:.0f} s whether it shows itself'
                )
            if alive is None and time.monotonic() - since < LEASE_SECONDS:
                time.sleep(BEAT_SECONDS / 4)
            else:
                replaced = found[1]

    def _beat(self):
        while not self._closed.wait(BEAT_SECONDS):
            with contextlib.suppress(InputError):  # the next save checks it, too
                self.check()


def _process(pid: int) -> dict[str, Any]:
    """Describes a process of this machine, so that another one of the same number differs.

    Raises:
        OSError: there is none, or it has ended.
    """
    fields = pathlib.Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()
    if fields[0] in 'ZX':
        raise ProcessLookupError(f'{pid} has ended and was not waited for')
    boot = pathlib.Path('/proc/sys/kernel/random/boot_id').read_text().strip()
    machine = f'{socket.gethostname()} {boot} {os.readlink("/proc/self/ns/pid")}'
    return {'machine': machine, 'pid': pid, 'start': fields[19]}


def _is_alive(content: bytes) -> bool | None:
    """Returns whether the process that wrote a lease lives; None: it is one of another machine."""
    try:
        owner = json.loads(content)
        if owner['machine'] != _process(os.getpid())['machine']:
            return None
        return {**_process(owner['pid']), 'id': owner['id']} == owner
    except (ValueError, LookupError, TypeError):
        return None
    except OSError:
        return False


def _in_use(workdir: epath.Path) -> InputError:
    return InputError(
        f'{workdir} is in use by another run; wait for it, stop it, or give another --workdir',
        path=workdir,
    )
