"""What the processors of this machine can multiply."""

import functools
import pathlib
import re


@functools.cache
def instructions(cpu: pathlib.Path = pathlib.Path('/proc/cpuinfo')) -> frozenset[str]:
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
