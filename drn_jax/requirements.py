"""Whether the installed libraries fit, said in one sentence before one of them fails in its own."""

import importlib.metadata
import pathlib
import sys

from packaging.requirements import Requirement

TOGETHER = ('jax', 'flax', 'optax', 'orbax-checkpoint')


def check() -> None:
    """Refuses versions of the libraries of `TOGETHER` that the package does not declare.

    A checkout that is not installed declares none.

    Raises:
        ImportError: there are some; it names them, and the command that installs others.
        SystemExit: the same, where the process is a command, which prints it without a traceback.
    """
    try:
        declared = importlib.metadata.requires('drn_jax') or []
    except importlib.metadata.PackageNotFoundError:
        return
    wanted = [each for each in map(Requirement, declared) if each.name in TOGETHER]
    wrong = [each for each in wanted if _is_unmet(each)]
    if not wrong:
        return
    others = ' '.join(f"'{each.name}{each.specifier}'" for each in wrong)
    message = (
        f'the installed {" and ".join(_found(each.name) for each in wrong)} '
        f'{"do" if wrong[1:] else "does"} not fit drn_jax; pip install {others}'
    )
    if sys.argv[0] == '-m' or pathlib.Path(sys.argv[0]).name == 'drn-jax':  # a command begins
        sys.exit(f'error: {message}')
    raise ImportError(message)


def _is_unmet(wanted: Requirement) -> bool:
    if wanted.marker and not wanted.marker.evaluate({'extra': ''}):
        return False
    version = _version(wanted.name)
    return not version or not wanted.specifier.contains(version, prereleases=True)


def _found(name: str) -> str:
    return f'{name} {_version(name) or "(none)"}'


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ''
