"""Several processes that train one network: how they find each other, and what they exchange."""

import contextlib
import json
import os
import re
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from drn_jax.distributed import accelerators
from drn_jax.errors import InputError, one_line

JOIN_SECONDS, SILENT_SECONDS = 300, 100
MOST_SECONDS = 10**6  # of either; JAX and timers have a limit too
NAMES = 100  # that each process tells the others of


@contextlib.contextmanager
def initialize(
    coordinator: str | None = None,
    processes: int | None = None,
    process: int | None = None,
    join_seconds: int = JOIN_SECONDS,
    silent_seconds: int = SILENT_SECONDS,
) -> Iterator[None]:
    """Joins the other processes of a run, where there are any; to be entered before JAX is used.

    They are those that the arguments name, or those that JAX finds where it runs: on a Cloud TPU,
    under Slurm or mpirun, or in an indexed job of Kubernetes. Elsewhere, and in a Python session
    that has used JAX already, the process is alone.

    Args:
        coordinator: 'HOST:PORT', a free port of the machine of process 0.
        processes: how many there are; alone, the number that is expected to be found, and 1 looks
            for no others.
        process: number of this one, from 0.
        join_seconds: how long to wait for the others.
        silent_seconds: when one of them has not been heard of for so long, JAX ends the others.

    Raises:
        InputError: some arguments are missing or out of range, no others or another number of them
            was found, or, later, what the processes compute together failed, as it does when one
            ends.

    Example:
        >>> with initialize(processes=1):
        ...     jax.process_count()
        1
    """
    _check(coordinator, processes, process)
    _check_times(join_seconds=join_seconds, silent_seconds=silent_seconds)
    if (
        processes != 1
        and not jax.distributed.is_initialized()
        and (coordinator or _can_be_searched(os.environ))
    ):
        _join(coordinator, processes, process, join_seconds, silent_seconds)
        if processes not in (None, jax.process_count()):
            raise InputError(
                f'{processes} processes were expected, but {jax.process_count()} '
                'found each other; start all of them with the same number',
                field='--processes',
            )
    elif processes not in (None, 1) and not jax.distributed.is_initialized():
        raise _no_others(processes)
    try:
        yield
    except Exception as error:
        if jax.process_count() == 1 or not is_runtime_error(error):
            raise
        raise InputError(
            f'the {jax.process_count()} processes cannot go on together '
            f'({one_line(error, short=True)}); see whether another one has ended, and start '
            'all of them again'
        ) from error


def name() -> str:
    """Names this process for messages, ' in process 1'; '' where it is alone."""
    if not jax.distributed.is_initialized() or jax.process_count() == 1:
        return ''
    return f' in process {jax.process_index()}'


def is_runtime_error(error: BaseException | None) -> bool:
    """Returns whether JAX's runtime raised an exception, as when a process ends, or its cause.

    Args:
        error: the exception; None is none.

    Example:
        >>> is_runtime_error(ValueError('UNKNOWN: Gloo AllGather failed'))
        True
        >>> is_runtime_error(ValueError('no'))
        False
    """
    while error is not None:
        # Where a computation is started rather than waited for, it is a ValueError.
        if isinstance(error, jax.errors.JaxRuntimeError) or re.match('[A-Z_]+: ', str(error)):
            return True
        error = error.__cause__ or error.__context__
    return False


def exit_now(status: int) -> None:
    """Ends this process at once; at a normal exit it would wait for the others, who wait for it.

    Args:
        status: the exit status.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def wait_for_all(what: str) -> None:
    """Waits until every process has called this with the same `what`."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(what)


def all_reduce_sum(numbers: Any) -> Any:
    """Adds up what every process has.

    Args:
        numbers: tree of integer arrays, of any shapes, which are the same in all processes.

    Returns:
        The tree with the sums, int64.

    Example:
        >>> all_reduce_sum({'examples': 2 ** 40})
        {'examples': np.int64(1099511627776)}
    """
    return jax.tree.map(lambda each: each.sum(0), all_gather(numbers))


def all_gather(numbers: Any) -> Any:
    """Returns what every process has, in their order.

    Args:
        numbers: see `all_reduce_sum`.

    Returns:
        The tree, int64, with an axis for the P processes before the others, [P, ...].
    """
    numbers = jax.tree.map(lambda each: np.asarray(each, np.int64), numbers)
    if jax.process_count() == 1:
        return jax.tree.map(lambda each: each[None], numbers)
    halves = jax.tree.map(lambda each: each[..., None].view(np.int32), numbers)  # JAX has 32 bits
    return jax.tree.map(
        lambda each: np.ascontiguousarray(each).view(np.int64)[..., 0],
        multihost_utils.process_allgather(halves),
    )


def all_gather_names(names: Iterable[str]) -> list[str]:
    """Returns the names that any process has, each once and sorted.

    Args:
        names: of this process; where there are others, they get the first `NAMES` of them.

    Example:
        >>> all_gather_names(['b.jpg', 'a.jpg'])
        ['a.jpg', 'b.jpg']
    """
    names = sorted(names)
    if jax.process_count() == 1:
        return names
    text = np.frombuffer(json.dumps(names[:NAMES]).encode(), np.uint8)
    lengths = all_gather(len(text))
    texts = all_gather(np.pad(text, (0, lengths.max() - len(text)))).astype(np.uint8)
    return sorted(
        {name for row, length in zip(texts, lengths) for name in json.loads(row[:length].tobytes())}
    )


def check_shards(shards: int) -> None:
    """Refuses a number of shards of the training images that the processes do not divide.

    Raises:
        InputError: they do not.
    """
    if shards % jax.process_count():
        raise InputError(
            f'config.data.shards is {shards}, which {jax.process_count()} processes do not '
            f'divide; use a multiple of {jax.process_count()} (a run keeps the number that it was '
            'started with)',
            field='config.data.shards',
        )


def _check(coordinator, processes, process):
    """Refuses flags that do not go together."""
    if (coordinator is None) != (process is None) or coordinator and processes is None:
        raise InputError(
            '--coordinator=HOST:PORT, --processes=N and --process=I go together; '
            '--processes alone is the number that is expected',
            field='--processes',
        )
    if processes is not None and processes < 1:
        raise InputError(f'--processes is {processes}; it must be at least 1', field='--processes')
    if coordinator and not coordinator.rpartition(':')[2].isdigit():
        raise InputError(
            f'--coordinator={coordinator} has no port; give HOST:PORT', field='--coordinator'
        )
    if process is not None and not 0 <= process < processes:
        raise InputError(
            f'--process is {process}; {processes} processes are numbered from 0 to {processes - 1}',
            field='--process',
        )


def _check_times(**seconds):
    """Refuses times out of range: JAX ends the processes with pages of text then."""
    for flag, number in seconds.items():
        if not 1 <= number <= MOST_SECONDS:
            raise InputError(
                f'--{flag} is {number}; it must be at least 1 and at most {MOST_SECONDS}',
                field=f'--{flag}',
            )


def _can_be_searched(environment):
    """Returns whether JAX can look for others: not in pods of Kubernetes without an indexed job.

    Example:
        >>> _can_be_searched({}), _can_be_searched({'KUBERNETES_SERVICE_HOST': '10.0.0.1'})
        (True, False)
    """
    return 'KUBERNETES_SERVICE_HOST' not in environment or bool(
        environment.keys() & {'JOB_COMPLETION_INDEX', 'TPU_WORKER_ID'}
    )


def _no_others(processes):
    """Returns the error for other processes that are expected and not named."""
    return InputError(
        f'{processes or "several"} processes were expected, but nothing here names '
        'the others; give --coordinator=HOST:PORT and --process=I',
        field='--coordinator',
    )


def _local_devices(environment: Mapping[str, str]) -> list[int] | None:
    """Returns the accelerators to use: [] is all, None is one for each process of a host.

    Under Slurm, JAX takes one for each process even where the host has no other process.

    Example:
        >>> _local_devices({'SLURM_NTASKS': '2', 'SLURM_STEP_NUM_NODES': '2'})
        []
    """
    tasks, nodes = (environment.get(f'SLURM_{name}') for name in ('NTASKS', 'STEP_NUM_NODES'))
    return [] if tasks and tasks == nodes else None


def _join(coordinator, processes, process, join_seconds, silent_seconds):
    """Lets JAX find the other processes, and ends this one where that takes too long."""
    others = (
        'the other processes that the environment names'
        if not coordinator
        else ('the other processes' if process == 0 else f'process 0 at {coordinator}')
    )

    def give_up():
        # JAX itself would end the process too, with pages of text.
        print(
            f'error: {others} did not answer within {join_seconds} s; start all processes with '
            'the same --coordinator and --processes, or give a longer --join_seconds',
            file=sys.stderr,
        )
        exit_now(1)

    timer = threading.Timer(join_seconds, give_up)
    timer.daemon = True
    if accelerators.has_tpu():  # JAX's own choice, 8482, is none that Cloud TPUs open by default
        os.environ.setdefault('JAX_COORDINATOR_PORT', '8476')
    timer.start()
    try:
        named = {
            'coordinator_address': coordinator,
            'num_processes': processes,
            'process_id': process,
            'local_device_ids': [],
            'cluster_detection_method': 'deactivate',
        }
        jax.distributed.initialize(
            **(named if coordinator else {'local_device_ids': _local_devices(os.environ)}),
            initialization_timeout=join_seconds + 60,
            heartbeat_timeout_seconds=silent_seconds,
        )
        jax.devices()  # these are exchanged too
    except ValueError as error:  # there is nothing to join
        if processes or 'JAX_COORDINATOR_ADDRESS' in os.environ:
            raise _no_others(processes) from error
    except RuntimeError as error:
        if processes is None and 'before any JAX calls' in str(error):
            return  # a Python session that has used JAX; commands join before that
        raise InputError(
            f'{others} cannot be joined ({one_line(error, short=True)}); give '
            'a free port of process 0 as --coordinator=HOST:PORT',
            field='--coordinator',
        ) from error
    finally:
        timer.cancel()
