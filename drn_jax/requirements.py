"""Whether the installed libraries fit, said in one sentence before one of them fails in its own."""

import importlib.metadata
import pathlib
import sys

from packaging.requirements import Requirement

TOGETHER = ('jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint')


def check() -> None:
    """Refuses versions of libraries of `TOGETHER` that the package or one of them does not take.

    A checkout that is not installed takes all.

    Raises:
        ImportError: there are some; it names them, and the command that installs others.
        SystemExit: the same, where the process is a command, which prints it without a traceback.
    """
    for owner in ('drn_jax', *TOGETHER):
        wrong = [each for each in _required_by(owner) if _is_unmet(each)]
        if wrong:
            break
    else:
        return
    others = ' '.join(f"'{each.name}{each.specifier}'" for each in wrong)
    message = (
        f'the installed {" and ".join(_found(each.name) for each in wrong)} '
        f'{"do" if wrong[1:] else "does"} not fit '
        f'{owner if owner == "drn_jax" else _found(owner)}; pip install {others}'
    )
    if sys.argv[0] == '-m' or pathlib.Path(sys.argv[0]).name == 'drn-jax':  # a command begins
        sys.exit(f'error: {message}')
    raise ImportError(message)


def _required_by(owner: str) -> list[Requirement]:
    """Reads what a package, with none of its extras, asks of the libraries of `TOGETHER`."""
    try:
        declared = importlib.metadata.requires(owner) or []
    except importlib.metadata.PackageNotFoundError:
        return []
    wanted = [Requirement(each) for each in declared if each.startswith(TOGETHER)]
    return [
        each
        for each in wanted
        if each.name in TOGETHER and (not each.marker or each.marker.evaluate({'extra': ''}))
    ]


def _is_unmet(wanted: Requirement) -> bool:
    version = _version(wanted.name)
    return not version or not wanted.specifier.contains(version, prereleases=True)


def _found(name: str) -> str:
    return f'{name} {_version(name) or "(none)"}'


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ''
