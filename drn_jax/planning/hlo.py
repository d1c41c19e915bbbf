"""Reading compiled programs: instructions, operations with estimated cycles, and collectives."""

import math
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

COLLECTIVES = ('all-reduce', 'all-gather', 'reduce-scatter', 'all-to-all', 'collective-permute')
AUGMENTATION, OTHER = 'augmentation', 'other'

_BYTES = {'pred': 1, 'bf16': 2, 'c64': 8, 'c128': 16}  # of other types, the number in the name
_ARRAY = re.compile(r'\b(pred|bf16|c64|c128|[suf]\d+)\w*\[([\d,]*)\]')
_INSTRUCTION = re.compile(r'\s+(?:ROOT )?%?([\w.-]+) = (.*)')
_CALLED = re.compile(r'(?:calls|body|to_apply|branch_computations)=\{?([%\w., -]+)')


class Operation(NamedTuple):
    """An operation for which the compiler estimates cycles; several ones are fused to one.

    Attributes:
        name: in the program, such as 'fusion.12'.
        level: 'stem', 'level1', ..., 'head', 'augmentation' or 'other'.
        backward: whether it belongs to the gradient.
        what: the rest of its scope, such as 'block0/conv1'.
        cycles: over all repetitions in a step.
    """

    name: str
    level: str
    backward: bool
    what: str
    cycles: int


class Collective(NamedTuple):
    """An exchange between chips.

    Attributes:
        kind: one of `COLLECTIVES`.
        bytes: of what each chip has in the end (of reduce-scatter, in the beginning).
        group: chips that exchange with each other; 0 is all.
        repetitions: how often in a step.
        level: as in `Operation`.
    """

    kind: str
    bytes: int
    group: int
    repetitions: int
    level: str


class Array(NamedTuple):
    """An array of a program: its dtype as XLA calls it, such as 'bf16', and its shape."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """Returns how many bytes it takes."""
        width = _BYTES.get(self.dtype) or max(int(re.findall(r'\d+', self.dtype)[0]) // 8, 1)
        return math.prod(self.shape) * width


class Instruction(NamedTuple):
    """A line of a program: name, type of the result, operation, and all that follows the type."""

    name: str
    type: str
    opcode: str
    rest: str

    @property
    def arrays(self) -> list[Array]:
        """Returns the arrays of its result: one, or those of a tuple."""
        return [
            Array(dtype, tuple(map(int, filter(None, dims.split(',')))))
            for dtype, dims in _ARRAY.findall(self.type)
        ]

    @property
    def operands(self) -> list[str]:
        """Returns the names of what it reads."""
        return re.findall(r'%([\w.-]+)', self.rest.partition(')')[0])

    def found(self, pattern: str) -> str:
        """Returns what the group of a pattern matches first in `rest`, or ''."""
        match = re.search(pattern, self.rest)
        return match[1] if match else ''


def read(text: str) -> tuple[list[Operation], list[Collective]]:
    """Reads the text of a compiled program.

    Loops are counted as often as they run, where that is a constant, else once.

    Args:
        text: of an optimized HLO module, as `jax.stages.Compiled.as_text` gives it.

    Returns:
        Its operations with estimated cycles, and its exchanges between chips.
    """
    computations, entry = split(text)
    operations, collectives = [], []
    for instruction, times in run(computations, entry):
        level, backward, what = scope(instruction.found(r'op_name="([^"]*)"'))
        cycles = int(instruction.found(r'"estimated_cycles":"(\d+)"') or 0)
        if cycles:
            operations.append(Operation(instruction.name, level, backward, what, times * cycles))
        kind = instruction.opcode.removesuffix('-start')
        if kind in COLLECTIVES:
            collectives.append(
                Collective(
                    kind, _exchanged(instruction, kind), _group(instruction.rest), times, level
                )
            )
    return operations, collectives


def scope(op_name: str) -> tuple[str, bool, str]:
    """Finds the place of an operation in the network from the name that JAX gave it.

    Args:
        op_name: the scopes that it was traced in, with slashes between them.

    Returns:
        `Operation.level`, `.backward` and `.what`.

    Example:
        >>> scope('jit(step)/transpose(jvp(Network))/Network.levels/level3/block0/conv1/'
        ...       'conv1._product/conv_general_dilated')
        ('level3', True, 'block0/conv1/conv_general_dilated')
        >>> scope('jit(step)/augmentation/reduce_sum')
        ('augmentation', False, 'reduce_sum')
    """
    parts = [part for part in op_name.split('/') if '._' not in part]
    backward = any(part.startswith('transpose(') for part in parts)
    for i, part in enumerate(parts):
        if re.fullmatch(rf'stem|level\d+|head|{AUGMENTATION}', part):
            return part, backward, '/'.join(parts[i + 1 :])
    return OTHER, backward, '/'.join(parts[1:])


def split(text: str) -> tuple[dict[str, list[Instruction]], str]:
    """Splits a module into its computations, {name: instructions}, and names the entry."""
    found: dict[str, list[Instruction]] = {}
    entry = name = ''
    for line in text.splitlines():
        head = re.match(r'(ENTRY )?%?([\w.-]+) .*\{$', line)
        if head and not line.startswith('HloModule'):
            name = head[2]
            found[name] = []
            entry = name if head[1] else entry
        elif name and (match := _INSTRUCTION.match(line)):
            kind, rest = _type_and_rest(match[2])
            found[name].append(Instruction(match[1], kind, rest.partition('(')[0], rest))
    return found, entry


def _type_and_rest(text: str) -> tuple[str, str]:
    """Splits what follows '=' into the type, perhaps a tuple of types, and the rest."""
    depth = 0
    for i, letter in enumerate(text):
        depth += (letter in '({') - (letter in ')}')
        if letter == ' ' and depth == 0:
            return text[:i], text[i + 1 :]
    return text, ''


def run(
    computations: dict[str, list[Instruction]], name: str, times: int = 1
) -> Iterator[tuple[Instruction, int]]:
    """Yields the instructions of a computation, and of those that it calls, with their number."""
    for instruction in computations.get(name, ()):
        yield instruction, times
        repeated = times * _repetitions(computations, instruction)
        for called in _CALLED.findall(instruction.rest):
            for other in re.findall(r'%?([\w.-]+)', called.partition(' ')[0]):
                if instruction.opcode in ('while', 'call', 'conditional', 'async-start'):
                    yield from run(computations, other, repeated)
                elif instruction.opcode == 'fusion':  # its estimate covers what is inside
                    yield from (
                        (inner, n)
                        for inner, n in run(computations, other, times)
                        if inner.opcode.removesuffix('-start') in COLLECTIVES
                    )


def _repetitions(computations: dict[str, list[Instruction]], instruction: Instruction) -> int:
    """Returns how often a loop runs: JAX's loops over arrays count from 0 to a constant."""
    if instruction.opcode != 'while':
        return 1
    known = instruction.found(r'"known_trip_count":\{"n":"(\d+)"')
    condition: Sequence[Instruction] = computations.get(
        instruction.found(r'condition=%?([\w.-]+)'), ()
    )
    ends = [
        int(end)
        for each in condition
        if each.type.startswith('s32[]') and (end := each.found(r'^constant\((\d+)\)'))
    ]
    return int(known) if known else ends[0] if len(ends) == 1 else 1


def _exchanged(instruction: Instruction, kind: str) -> int:
    """Computes `Collective.bytes`."""
    sizes = [array.bytes for array in instruction.arrays]
    if kind == 'reduce-scatter':
        return sum(sizes) * max(_group(instruction.rest), 1)
    # What begins one of these names operand, result and more.
    alone = instruction.opcode.endswith('-start') and kind != 'all-reduce'
    return max(sizes, default=0) if alone else sum(sizes)


def _group(rest: str) -> int:
    """Reads how many chips exchange with each other, of the three ways in which that is written."""
    if axes := re.search(r'replica_groups=mesh\[([^\]]*)\] \{([^}]*)\}', rest):
        sizes = dict(re.findall(r"'(\w+)'=(\d+)", axes[1]))
        return math.prod(int(sizes[name]) for name in re.findall(r"'(\w+)'", axes[2]))
    if table := re.search(r'replica_groups=\[(\d+),(\d+)\]', rest):
        return int(table[2])
    if lists := re.search(r'replica_groups=\{\{([\d,]+)\}', rest):
        return len(lists[1].split(','))
    return 2 if 'source_target_pairs' in rest else 0
