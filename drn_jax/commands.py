"""What all commands share: flags, configurations from the command line, errors in one sentence."""

import argparse
import logging as python_logging
import os
import runpy
import shlex
import sys
import traceback

import ml_collections
from absl import flags, logging
from ml_collections import config_flags

from drn_jax.errors import InputError, Stopped

PROGRAMS = ('drn-jax', 'python -m drn_jax')  # the names of `drn_jax.cli`


class Parser(argparse.ArgumentParser):
    """A parser of command-line flags whose errors are one sentence.

    Flags of the form `--config.field=value` are left for `override`.

    Args:
        command: name of the module behind `python -m`.
        description: what the command does, shown by --help, with the name by which it was called;
            its line breaks are kept.
    """

    def __init__(self, command, description):
        prog = program(command)
        super().__init__(
            prog=prog,
            description=description.replace(f'python -m drn_jax.{command}', prog),
            allow_abbrev=False,
            formatter_class=argparse.RawTextHelpFormatter,
        )

    def error(self, message):
        raise InputError(f'{message}; {self.prog} --help lists the flags')


def add_process_flags(parser):
    """Adds the flags of commands that several processes run together: `processes.initialize`."""
    group = parser.add_argument_group(
        'several processes',
        'Found without flags on Cloud TPUs, under Slurm, mpirun, and in '
        'indexed jobs of\nKubernetes; elsewhere start the command once on every machine, with',
    )
    group.add_argument('--coordinator', metavar='HOST:PORT', help='a free port of process 0')
    group.add_argument('--processes', type=int, metavar='N', help='how many; 1: look for no others')
    group.add_argument('--process', type=int, metavar='I', help='which one this is, from 0')
    group.add_argument(
        '--join_seconds',
        type=int,
        default=300,
        metavar='S',
        help='how long to wait for the others (300)',
    )
    group.add_argument(
        '--silent_seconds',
        type=int,
        default=100,
        metavar='S',
        help='when one has not been heard of for so long, all end (100)',
    )


def initialize(given):
    """Enters the context `processes.initialize` with the flags of `add_process_flags`."""
    from drn_jax.distributed import processes  # after the flags: it imports JAX

    return processes.initialize(
        given.coordinator, given.processes, given.process, given.join_seconds, given.silent_seconds
    )


def load_config(path, overrides):
    """Runs a configuration file and lays flags over its fields.

    Args:
        path: a Python file with `get_config()`, perhaps `path:argument`.
        overrides: flags `--config.field=value`.

    Returns:
        The `ml_collections.ConfigDict`.

    Raises:
        InputError: there is no such file or field, or a value has the wrong type.
    """
    file, _, argument = path.partition(':')
    if not os.path.isfile(file):
        raise InputError(
            f'--config={path} is no file; the configurations lie in configs/, for '
            'example configs/digit_scenes.py'
        )
    try:
        get_config = runpy.run_path(file).get('get_config')
        if get_config is None:
            raise InputError(f'--config={path} has no get_config(); see configs/digit_scenes.py')
        config = get_config(argument) if argument else get_config()
    except InputError:
        raise
    except Exception as error:  # it is the user's code
        raise InputError(
            f'--config={path} does not run: {type(error).__name__}: {_one_line(error)}'
        ) from error
    return override(config, overrides)


def override(config, overrides):
    """Lays flags `--config.field=value` over a configuration.

    Args:
        config: the configuration.
        overrides: the flags.

    Returns:
        The configuration, changed.

    Raises:
        InputError: there is no such field, or a value has the wrong type.

    Example:
        >>> from drn_jax import recipes
        >>> override(recipes.classification(), ['--config.batch_size=512']).batch_size
        512
    """
    for flag in (word for word in overrides if word.startswith('-')):
        _check_field(flag.partition('=')[0].partition('config.')[2], config)
    values, argv = flags.FlagValues(), ['', *overrides]
    try:
        holder = config_flags.DEFINE_config_dict(
            'config', config, flag_values=values, sys_argv=argv
        )
        rest = values(argv)[1:]
    except (flags.Error, TypeError, ValueError) as error:
        raise InputError(_one_line(error)) from error
    if rest:
        raise InputError(f'{" ".join(rest)} is not understood; flags have the form --name=value')
    return holder.value


def _check_field(name, config):
    """Refuses a dotted name that is no field of a configuration, saying what there is."""
    parent = 'config'
    for part in name.split('.') if name else ():
        fields = list(config) if isinstance(config, ml_collections.ConfigDict) else []
        if part not in fields:
            raise InputError(
                f'{parent} has no field {part!r}; it has '
                f'{", ".join(fields) or "none"}, explained in drn_jax/recipes.py'
            )
        config, parent = config[part], f'{parent}.{part}'


def _one_line(error):
    return ' '.join(str(error).split())


def run(main):
    """Runs a command: `main(argv)` with the flags of this process.

    Ends the process with status 0, or after printing an `InputError` as one line with status 1, or
    `Stopped` with status 143.
    Other exceptions are defects and keep their traceback. Where others have been joined, it ends
    without waiting for them.
    """
    logging.use_absl_handler()
    logging.set_verbosity(logging.ERROR)  # libraries warn of what users cannot change
    # Of a save that fails it shows all writes that failed, with traces, after the one sentence.
    python_logging.getLogger('asyncio').setLevel(python_logging.CRITICAL)
    show_warnings()
    try:
        main(sys.argv[1:])
    except InputError as error:
        print(f'error{_which_process()}: {error}', file=sys.stderr)
        _end(1)
    except Stopped as reason:
        print(reason, file=sys.stderr)
        _end(143)
    except KeyboardInterrupt:
        print('interrupted', file=sys.stderr)
        _end(130)
    except Exception:
        if not _which_process():
            raise
        traceback.print_exc()
        _end(1)


def _which_process():
    """Names this process where it has joined others."""
    processes = sys.modules.get('drn_jax.distributed.processes')
    return processes.name() if processes else ''


def _end(status):
    if _which_process():
        sys.modules['drn_jax.distributed.processes'].exit_now(status)
    sys.exit(status)


def show_warnings():
    """Prints what the package logs as plain lines, `warning: ...`, without absl's prefix."""
    logger, handler = python_logging.getLogger('drn_jax'), python_logging.StreamHandler()
    handler.setFormatter(python_logging.Formatter('warning: %(message)s'))
    logger.setLevel(python_logging.WARNING)
    logger.addHandler(handler)
    logger.propagate = False


def program(command):
    """Returns the name by which a command was called.

    Args:
        command: name of its module.

    Returns:
        'drn-jax VERB' or 'python -m drn_jax VERB', as `drn_jax.cli` leaves it in `sys.argv`, or
        else the call of the module.

    Example:
        >>> program('plan')
        'python -m drn_jax.plan'
    """
    called = sys.argv[0]
    via_cli = called.startswith(tuple(f'{name} ' for name in PROGRAMS))
    return called if via_cli else f'python -m drn_jax.{command}'


def command_line(command, argv):
    """Returns the command line as one would type it again."""
    return shlex.join([*program(command).split(), *argv])
