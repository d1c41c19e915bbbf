"""What the processors of this machine can multiply."""

import functools
import pathlib
import re

_CPUINFO = pathlib.Path('/proc/cpuinfo')
BFLOAT16 = 'avx512_bf16'  # products of bfloat16
AMX_INT8 = 'amx_int8'  # products of matrices of int8


@functools.cache
def instructions(cpu: pathlib.Path = _CPUINFO) -> frozenset[str]:
    """Returns the names of the instructions of an x86-64 processor.

    Args:
        cpu: where the system says what it has.

    Returns:
        As Linux names them, such as 'avx512_bf16'; none of another processor or system.

    Example:
        >>> 'amx_quantum' in instructions()
        False
    """
    text = cpu.read_text() if cpu.exists() else ''
    flags = re.search(r'^flags\s*:(.*)', text, re.MULTILINE)
    return frozenset(flags[1].split()) if flags else frozenset()


def lacks(*names: str, cpu: pathlib.Path = _CPUINFO) -> bool:
    """Returns whether this is known to be an x86-64 processor with none of some instructions.

    Args:
        names: of the instructions.
        cpu: as `instructions` takes it.

    Example:
        >>> lacks('fpu')  # every x86-64 processor has it; of others nothing is known
        False
    """
    known = instructions(cpu)
    return bool(known) and known.isdisjoint(names)
