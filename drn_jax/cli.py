"""All commands under one name: `drn-jax VERB`, which is also `python -m drn_jax VERB`."""

import ast
import collections
import difflib
import functools
import importlib
import pkgutil
import platform
import sys
from collections.abc import Sequence

from drn_jax import commands
from drn_jax.errors import InputError, one_line

VERBS = {  # and the modules that do what they say
    'train': 'main',
    'evaluate': 'evaluate',
    'predict': 'predict',
    'judge': 'judge',
    'convert': 'convert',
    'export': 'export',
    'publish': 'publish',
    'plan': 'plan',
    'prepare': 'prepare',
    'check-data': 'check_data',
    'figures': 'figures',
}
HELP, VERSION = ('--help', '-h'), '--version'


def run(program: str = 'drn-jax') -> None:
    """Runs what the command line of this process says, and ends as `commands.run` does.

    Args:
        program: how this process was called, one of `commands.PROGRAMS`.
    """
    commands.run(functools.partial(main, program=program))


def main(argv: Sequence[str], program: str = 'drn-jax') -> None:
    """Runs the command of a verb, lists the verbs, or says what is installed.

    Args:
        argv: a verb and its flags, '--version', or '--help' or nothing for the list.
        program: how this process was called, one of `commands.PROGRAMS`; commands name themselves
            with it.

    Raises:
        InputError: there is no such verb, or its command cannot do what the flags say.
    """
    verb, *flags = argv or HELP
    if verb in HELP:
        print(overview(program))
    elif verb == VERSION:
        print(versions())
    elif verb not in VERBS:
        (nearest,) = difflib.get_close_matches(verb, [*VERBS, HELP[0], VERSION], 1, cutoff=0)
        raise InputError(
            f'{verb!r} is no verb of {program}; the nearest is {nearest}, '
            f'and {program} alone lists all'
        )
    else:
        module = importlib.import_module(f'drn_jax.{VERBS[verb]}')
        sys.argv = [f'{program} {verb}', *flags]
        module.main(flags)


def overview(program: str) -> str:
    """Lists the verbs, with the first line of their modules, which are not imported for it."""
    lines = [f'  {verb:12}{first_sentence(module)}' for verb, module in VERBS.items()]
    return '\n'.join(
        [
            f'usage: {program} VERB [FLAGS]',
            '',
            *lines,
            '',
            f'{program} VERB --help explains a verb and its flags;',
            f'{program} {VERSION} says what is installed, and which devices there are.',
        ]
    )


def first_sentence(module: str) -> str:
    """Reads the first line of a command's module.

    Example:
        >>> first_sentence('predict')
        'Shows what a trained network answers to photographs of your own.'
    """
    source = pkgutil.get_data('drn_jax', f'{module}.py') or b''
    return (ast.get_docstring(ast.parse(source)) or '').partition('\n')[0]


def versions() -> str:
    """Says which versions and devices there are, on a line each."""
    import flax
    import jax
    import jaxlib

    import drn_jax

    try:
        kinds = collections.Counter(device.device_kind for device in jax.devices())
        devices = ', '.join(f'{number} x {kind}' for kind, number in kinds.items())
    except RuntimeError as error:  # what JAX raises where a platform cannot be used
        devices = f'none ({one_line(error, short=True)})'
    modules = (drn_jax, jax, jaxlib, flax)
    return '\n'.join(
        [
            *(f'{module.__name__} {module.__version__}' for module in modules),
            f'Python {platform.python_version()}',
            f'devices: {devices}',
        ]
    )
