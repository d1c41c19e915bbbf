"""Compiling in a process of its own, which a failed check of a compiler ends."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence

from drn_jax.errors import InputError

_IN_CHILD = 'DRN_JAX_IN_CHILD'


def is_child() -> bool:
    """Says whether this process is one that `run` started."""
    return _IN_CHILD in os.environ


def end_with_parent() -> None:
    """Lets this process, which `run` started, end soon after the one that started it has ended."""

    def watch() -> None:
        while str(os.getppid()) == os.environ[_IN_CHILD]:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def run(arguments: Sequence[str], environment: Mapping[str, str], compiler: str, what: str) -> None:
    """Runs Python in a process of its own; what it prints is printed.

    Args:
        arguments: of Python.
        environment: variables of the process, besides those of this one.
        compiler: its name and version, for the errors.
        what: is compiled, for the errors.

    Raises:
        InputError: the process ended with one, or the compiler ended it.
        SystemExit: it failed in another way; its traceback is printed.
    """
    child = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, **environment, _IN_CHILD: str(os.getpid())},
        stderr=subprocess.PIPE,
        text=True,
    )
    lines = child.stderr.splitlines()
    for line in lines:
        if line.startswith('warning: '):
            print(line, file=sys.stderr)
    if child.returncode < 0:
        raise InputError(aborted(child.returncode, child.stderr, compiler, what))
    if errors := [line for line in lines if line.startswith('error: ')]:
        raise InputError(errors[-1].removeprefix('error: '))
    if failed := re.findall(r'^jax.errors.JaxRuntimeError: (.*)', child.stderr, re.MULTILINE):
        raise InputError(f'{compiler} does not compile {what}: {failed[-1]}')
    if child.returncode:
        print(child.stderr, file=sys.stderr)
        sys.exit(child.returncode)


def aborted(returncode: int, stderr: str, compiler: str, what: str) -> str:
    """Says in a sentence that a compiler ended its process, or that something else did.

    Args:
        returncode: of the process, below 0.
        stderr: what it printed.
        compiler, what: as in `run`.

    Example:
        >>> aborted(-6, 'F0000 tiling.cc:627] Check failed: a == b (16 vs. 32)', 'it', 'drn_c_26')
        'it ended (signal 6) while it compiled drn_c_26: Check failed: a == b (16 vs. 32); another \
version may compile it'
        >>> aborted(-9, '', 'it', 'drn_c_26')
        'it was ended by SIGKILL while it compiled drn_c_26, as where memory runs out'
    """
    if returncode == -signal.SIGKILL:
        return f'{compiler} was ended by SIGKILL while it compiled {what}, as where memory runs out'
    if returncode in (-signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP):
        return f'{compiler} was ended by {signal.Signals(-returncode).name}'
    reasons = re.findall(r'^F\d{4}.*?\] (.*)|(Check failed:.*)', stderr, re.MULTILINE)
    reason = f': {max(reasons[0]).strip()}' if reasons else ''
    return (
        f'{compiler} ended (signal {-returncode}) while it compiled {what}{reason}; another '
        'version may compile it'
    )
