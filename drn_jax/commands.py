"""What all commands share: flags, configurations from the command line, errors in one sentence."""

import argparse
import contextlib
import hashlib
import logging as python_logging
import os
import pathlib
import platform
import re
import runpy
import shlex
import sys
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import ml_collections
from absl import logging

from drn_jax import buckets, fields, paths
from drn_jax.distributed import accelerators
from drn_jax.errors import InputError, Stopped, one_line
from drn_jax.overrides import override

MOST_COMPILED = 2 << 30  # bytes of compiled programs that are kept
PROGRAMS = ('drn-jax', 'python -m drn_jax')  # the names of `drn_jax.cli`


class Parser(argparse.ArgumentParser):
    """A parser of command-line flags whose errors are one sentence.

    Flags of the form `--config.field=value` are left for `override`.

    Args:
        command: name of the module behind `python -m`.
        description: what the command does, shown by --help, with the name by which it was called;
            its line breaks are kept.
        most_used: names of fields that --help explains, as `fields.lines`, by the heading of each
            group.

    Example:
        >>> parser = Parser('prepare', 'Prepares.', {'most used fields': ['data.data_dir']})
        >>> given, overrides = parser.parse_overridable_args(['--config.seed=1'])
        >>> overrides
        ['--config.seed=1']
    """

    def __init__(
        self, command: str, description: str, most_used: Mapping[str, Sequence[str]] | None = None
    ):
        prog = program(command)
        super().__init__(
            prog=prog,
            description=description.replace(f'python -m drn_jax.{command}', prog),
            epilog=f'Downloads and compiled programs are kept in {paths.cache()} (DRN_JAX_CACHE).',
            allow_abbrev=False,
            formatter_class=argparse.RawTextHelpFormatter,
        )
        self.add_argument(
            '--help_fields',
            action=_FieldsHelp,
            nargs=0,
            help='list all fields of configurations, with defaults, and exit',
        )
        for heading, names in (most_used or {}).items():
            self.add_argument_group(heading, fields.lines(names))

    def error(self, message: str) -> NoReturn:
        """Raises an InputError, where argparse would end the process."""
        flags = re.findall(r'--\w+', message)  # argparse names the wrong one first
        raise InputError(f'{message}; {self.prog} --help lists the flags', field=(*flags, '')[0])

    def parse_overridable_args(self, argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
        """Reads a command line; what is no flag may stand between flags.

        Returns:
            The flags, and a list of those of the form --config.field=value.

        Raises:
            InputError: a flag is unknown or has a wrong value.
        """
        given, rest = self.parse_known_intermixed_args(argv)
        overrides = [flag for flag in rest if flag.startswith('--config.')]
        if unknown := [flag for flag in rest if flag not in overrides]:
            self.error(f'{" ".join(unknown)} is not understood')
        return given, overrides


def add_config_flag(
    parser: argparse.ArgumentParser,
    help: str = 'configuration of the run, such as configs/drn_c_26.py',
) -> None:
    """Adds --config, as `load_config` takes it; `help` says what it is for."""
    parser.add_argument('--config', required=True, metavar='FILE', help=help)


def add_checkpoint_flags(parser: argparse.ArgumentParser) -> None:
    """Adds --checkpoint and --step, as `checkpoints.open` takes them."""
    parser.add_argument(
        '--checkpoint',
        required=True,
        metavar='DIR',
        help='working directory of a run, its checkpoint folder or one step;\n'
        'pretrained:NAME, of those that convert --list prints; hf:ORGANIZATION/NAME;\n'
        'https://...; or a file of weights',
    )
    add_offline_flag(parser)
    parser.add_argument(
        '--step',
        type=int,
        metavar='N',
        help='step of it (default: the best by validation, else the latest)',
    )


def add_offline_flag(parser: argparse.ArgumentParser) -> None:
    """Adds --offline, with which no checkpoint is downloaded."""
    parser.add_argument(
        '--offline', action=_Offline, nargs=0, help='download nothing, as with DRN_JAX_OFFLINE=1'
    )


def add_dtype_flag(parser: argparse.ArgumentParser, default: str = 'as in training') -> None:
    """Adds --dtype; `default` says what holds without it."""
    parser.add_argument(
        '--dtype', choices=('float32', 'bfloat16'), help=f'of activations (default: {default})'
    )


def add_photograph_flags(parser: argparse.ArgumentParser) -> None:
    """Adds photographs of one's own, --output and --overwrite."""
    parser.add_argument(
        'images', nargs='*', metavar='IMAGE_OR_FOLDER', help='photographs, and folders of them'
    )
    parser.add_argument('--output', required=True, metavar='DIR', help='where results go, local')
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='write into a directory that is not empty; files of the same names\n'
        'are replaced, others stay',
    )


class _Offline(argparse.Action):
    """Keeps this process from downloading."""

    def __call__(self, *_: Any) -> None:
        os.environ['DRN_JAX_OFFLINE'] = '1'


class _FieldsHelp(argparse.Action):
    """Prints the table of fields and ends."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        print(fields.lines())
        parser.exit()


def add_process_flags(parser: argparse.ArgumentParser) -> None:
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


def initialize(given: argparse.Namespace) -> contextlib.AbstractContextManager[None]:
    """Returns the context `processes.initialize` with the flags of `add_process_flags`.

    Raises:
        InputError: where it is entered, as that says.
    """
    from drn_jax.distributed import processes  # after the flags: it imports JAX

    return processes.initialize(
        given.coordinator, given.processes, given.process, given.join_seconds, given.silent_seconds
    )


def load_config(path: str, overrides: Sequence[str]) -> ml_collections.ConfigDict:
    """Runs a configuration file and lays flags over its fields.

    Args:
        path: a Python file with `get_config()`, perhaps `path:argument`.
        overrides: flags `--config.field=value`.

    Returns:
        The configuration.

    Raises:
        InputError: there is no such file or field, the file does not run, or a value has the wrong
            type or is out of range.
    """
    scheme = 'file://' * path.startswith('file://')
    file, _, argument = path.removeprefix(scheme).partition(':')
    file = str(paths.local(scheme + file, '--config'))
    if not os.path.isfile(file):
        raise InputError(
            f'--config={path} is no file; the configurations lie in configs/, for '
            'example configs/digit_scenes.py',
            field='--config',
        )
    try:
        get_config = runpy.run_path(file).get('get_config')
        if get_config is None:
            raise InputError(
                f'--config={path} has no get_config(); see configs/digit_scenes.py',
                field='--config',
            )
        config = get_config(argument) if argument else get_config()
        if not isinstance(config, ml_collections.ConfigDict):
            raise InputError(
                f'get_config() of --config={path} returns {type(config).__name__}; let it return a '
                'configuration of drn_jax.recipes',
                field='--config',
            )
    except InputError:
        raise
    except Exception as error:  # it is the user's code
        if wrong := re.search(r'[Kk]ey "(\w+)" does not exist', str(error)):
            raise fields.unknown(wrong[1]) from error
        raise InputError(
            f'--config={path} does not run: {type(error).__name__}: {one_line(error)}',
            field='--config',
        ) from error
    config = override(config, overrides)
    fields.check(config)
    return config


def run(main: Callable[[list[str]], Any]) -> None:
    """Runs a command: `main(argv)` with the flags of this process.

    An `InputError` is printed as one line and ends the process with status 1, `Stopped` with status
    143, Ctrl-C with 130. Other exceptions are defects and keep their traceback. One of several
    processes ends without waiting for the others.

    Args:
        main: the command; its result is not used.
    """
    logging.use_absl_handler()
    logging.set_verbosity(logging.ERROR)  # libraries warn of what users cannot change
    # Of a save that fails these show all writes that failed, with traces, and it is raised too.
    python_logging.getLogger('asyncio').setLevel(python_logging.CRITICAL)
    logging.get_absl_logger().addFilter(lambda record: '/orbax/' not in record.pathname)
    sys.unraisablehook = _tell_of_unraisable
    show_warnings()
    if not {'--help', '-h'} & {*sys.argv}:
        keep_compiled()  # which imports JAX
    accelerators.keep_missing_quiet()
    try:
        for given in sys.argv[1:]:
            if not given.encode(errors='ignore').decode() == given:
                shown = given.encode(errors='backslashreplace').decode()
                raise InputError(f'{shown} is no UTF-8; rename the file or folder')
        main(sys.argv[1:])
    except InputError as error:
        print(f'error{_process_name()}: {error}', file=sys.stderr)
        _end(1)
    except Stopped as reason:
        print(reason, file=sys.stderr)
        # What sent the signal may not wait for the seconds that it takes to take all apart.
        sys.modules['drn_jax.distributed.processes'].exit_now(143)
    except KeyboardInterrupt:
        print('interrupted', file=sys.stderr)
        _end(130)
    except Exception as error:
        if said := buckets.problem(error):
            print(f'error{_process_name()}: {said}', file=sys.stderr)
            _end(1)
        if not _process_name():
            raise
        traceback.print_exc()
        _end(1)


def _tell_of_unraisable(args: Any) -> None:
    """Prints what nobody can catch, but for what TensorStore answers after a save has failed."""
    if str(args.exc_value) != 'Event loop is closed':
        sys.__unraisablehook__(args)


def _process_name() -> str:
    """Names this process where it is one of several, as `processes.name`, and imports nothing."""
    processes = sys.modules.get('drn_jax.distributed.processes')
    return processes.name() if processes else ''


def _end(status: int) -> NoReturn:
    """Ends this process, and where it is one of several does not wait for the others."""
    if _process_name():
        sys.modules['drn_jax.distributed.processes'].exit_now(status)
    sys.exit(status)


def keep_compiled() -> None:
    """Keeps compiled programs for the next start, where JAX_COMPILATION_CACHE_DIR is not set.

    They lie in the cache of `paths`, by machine: what was compiled for one CPU may not run on
    another. The oldest go when there are more than `MOST_COMPILED` bytes. Where they cannot be
    written, nothing is said.
    """
    if 'JAX_COMPILATION_CACHE_DIR' in os.environ:
        return
    import jax

    with contextlib.suppress(OSError):
        cpu = pathlib.Path('/proc/cpuinfo').read_text()
        features = re.findall(r'^(?:flags|Features|model name)\s*:.*', cpu, re.MULTILINE)
        machine = f'{platform.machine()} {sorted(set(features))}'.encode()
        folder = paths.cache() / 'compiled' / hashlib.sha256(machine).hexdigest()[:12]
        folder.mkdir(parents=True, exist_ok=True)
        jax.config.update('jax_compilation_cache_dir', str(folder))
        jax.config.update('jax_compilation_cache_max_size', MOST_COMPILED)
        # JAX would keep what takes a second, and compile the rest of a prediction every time.
        jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.1)
        warnings.filterwarnings('ignore', 'Error (read|writ)ing persistent compilation cache')


def show_warnings() -> None:
    """Prints what the package logs as plain lines, `warning: ...`, without absl's prefix."""
    logger, handler = python_logging.getLogger('drn_jax'), python_logging.StreamHandler()
    handler.setFormatter(python_logging.Formatter('warning: %(message)s'))
    logger.setLevel(python_logging.WARNING)
    logger.addHandler(handler)
    logger.propagate = False


def program(command: str) -> str:
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


def command_line(command: str, argv: Sequence[str]) -> str:
    """Returns the command line as one would type it again.

    Args:
        command: name of its module.
        argv: its flags.

    Example:
        >>> command_line('plan', ['--config=my file.py'])
        "python -m drn_jax.plan '--config=my file.py'"
    """
    return shlex.join([*program(command).split(), *argv])
