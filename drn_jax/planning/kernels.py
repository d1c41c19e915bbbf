"""Reading programs for GPUs: their kernels, with operations and bytes counted from shapes."""

import math
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from drn_jax.models import variants
from drn_jax.planning import hlo
from drn_jax.planning.hlo import Array, Instruction

FORWARD, WEIGHT_GRADIENT, INPUT_GRADIENT = 'convolution', 'weight gradient', 'input gradient'
FUSED = {'kNone': 'convolution + bias', 'kRelu': 'convolution + bias + relu'}
PLAIN = 'convolution without cuDNN'
PRODUCT, LOOP_PRODUCT = 'product', 'product in a loop'
REDUCTION, ELEMENTWISE = 'reduction', 'elementwise'

_CUDNN = {
    '__cudnn$convForward': FORWARD,
    '__cudnn$convBackwardFilter': WEIGHT_GRADIENT,
    '__cudnn$convBackwardInput': INPUT_GRADIENT,
}
CUDNN_KINDS = (*_CUDNN.values(), *FUSED.values())
_FUSED_CALL = '__cudnn$convBiasActivationForward'
# What starts no kernel: names for arrays, and calls whose kernels are those of what is called.
_NO_KERNEL = {
    *('parameter', 'constant', 'get-tuple-element', 'tuple', 'bitcast', 'after-all', 'while'),
    *('call', 'conditional', 'async-start', 'async-update', 'async-done', 'fusion-done'),
    *('copy-done', 'partition-id', 'replica-id', 'opt-barrier', 'add-dependency'),
}
_PARTIAL = ('slice', 'dynamic-slice', 'gather')  # they read only what they give
SMALL = 1e8  # operations for which it does not matter where they are computed


class Kernel(NamedTuple):
    """What a GPU starts as one.

    Attributes:
        name: in the program, such as 'cudnn-conv.12'.
        level, backward, what: as in `hlo.Operation`.
        kind: `FORWARD`, `WEIGHT_GRADIENT`, `INPUT_GRADIENT` or one of `FUSED`, by cuDNN; `PLAIN`;
            `PRODUCT` (by Triton or cuBLAS), `LOOP_PRODUCT`; `REDUCTION`; `ELEMENTWISE`; or what a
            custom call is called.
        window: height and width of a convolution's kernel; () for others.
        dtype: of the factors: 'bf16', 'f32', or 'tf32' for float32 rounded to TF32, as is the
            default; '' where nothing is multiplied and summed.
        operands, results: arrays read and written.
        operations: of convolutions and products, a multiplication and an addition being two.
        bytes: read and written.
        repetitions: how often in a step.
    """

    name: str
    level: str
    backward: bool
    what: str
    kind: str
    window: tuple[int, ...]
    dtype: str
    operands: tuple[Array, ...]
    results: tuple[Array, ...]
    operations: int
    bytes: int
    repetitions: int

    @property
    def layer(self) -> str:
        """Returns the path of its layer, such as 'level3/block0/conv1'."""
        return f'{self.level}/{self.what}'.rpartition('/')[0]


def read(text: str) -> list[Kernel]:
    """Reads the kernels of a compiled program.

    Loops are counted as often as they run, where that is a constant, else once.

    Args:
        text: of an optimized HLO module, as `jax.stages.Compiled.as_text` gives it for a GPU.

    Returns:
        Its kernels, in their order.
    """
    computations, entry = hlo.split(text)
    by_name = {each.name: each for body in computations.values() for each in body}
    found = []
    for instruction, times in hlo.run(computations, entry):
        is_collective = re.sub('-(start|done)$', '', instruction.opcode) in hlo.COLLECTIVES
        if instruction.opcode not in _NO_KERNEL and not is_collective:
            found.append(_kernel(instruction, times, computations, by_name))
    return found


def total_operations(text: str) -> int:
    """Counts the operations of convolutions and products in a compiled program."""
    return sum(each.operations * each.repetitions for each in read(text))


def oversized(kernels: Iterable[Kernel], variant: variants.Variant) -> list[Kernel]:
    """Finds convolutions with a larger kernel than their layer has.

    Such is the weight gradient of a dilated convolution where the compiler makes it a convolution
    with a kernel as large as the map.

    Args:
        kernels: of a program.
        variant: the network.
    """
    sizes = {'stem/conv': variant.stem.expand().convs[0].kernel_size}
    for level, blocks in variant.expand():
        for block in blocks:
            for conv in block.convs:
                sizes[f'{level.name}/{block.name}/{conv.name}'] = conv.kernel_size
            if block.projection:
                path = f'{level.name}/{block.name}/shortcut/conv'
                sizes[path] = block.projection.kernel_size
    return [each for each in kernels if max(each.window, default=0) > sizes.get(each.layer, 0)]


def warnings(kernels: list[Kernel], variant: variants.Variant, dtype: str) -> list[str]:
    """Says which kernels are likely to be slow.

    Args:
        kernels: of a program.
        variant: the network.
        dtype: compute dtype of the network, 'float32' or 'bfloat16'.

    Returns:
        A sentence for each reason and level.
    """
    large = oversized(kernels, variant)
    reasons: dict[str, set[str]] = {}
    for kernel in kernels:
        size = ' x '.join(map(str, kernel.window))
        if kernel in large:
            reason = f'{kernel.kind} with a kernel of {size}, larger than any of the layer'
        elif kernel.kind == PLAIN:
            reason = f'convolution of {size} that cuDNN does not compute'
        elif kernel.kind == LOOP_PRODUCT and kernel.operations > SMALL:
            reason = 'matrix product outside the tensor cores'
        elif kernel.window and dtype == 'bfloat16' and kernel.dtype != 'bf16':
            reason = 'convolutions in float32, not in bfloat16'
        else:
            continue
        reasons.setdefault(f'{kernel.level}: {reason}', set()).add(kernel.layer)
    return [f'{reason} ({len(layers)} of its layers)' for reason, layers in sorted(reasons.items())]


def _kernel(
    instruction: Instruction,
    times: int,
    computations: dict[str, list[Instruction]],
    by_name: dict[str, Instruction],
) -> Kernel:
    body = [instruction]
    if instruction.opcode.startswith('fusion'):
        body = computations[instruction.found(r'calls=%?([\w.-]+)')]
    inside = list(_inside(body, computations))
    products = [each for each in inside if _is_product(each)]
    operands = {name: by_name[name] for name in instruction.operands if name in by_name}
    results = body[-1].arrays
    if instruction.opcode == 'custom-call':
        results = results[:1]  # the second is memory to work in
    reads = _bytes_read(instruction, body, operands)
    level, backward, what = hlo.scope(instruction.found(r'op_name="([^"]*)"'))
    return Kernel(
        instruction.name,
        level,
        backward,
        what,
        _kind(instruction, inside, products),
        max(map(_window, products), default=()),
        _dtype(products[0], by_name) if products else '',
        tuple(array for each in operands.values() for array in each.arrays),
        tuple(results),
        sum(_operations(each, by_name) for each in products),
        reads + _bytes_written(body[-1], {each.name: each for each in body} | operands, results),
        times,
    )


def _inside(
    body: list[Instruction], computations: dict[str, list[Instruction]]
) -> Iterator[Instruction]:
    """Yields the instructions of a computation and of the fusions in it."""
    for each in body:
        yield each
        if each.opcode == 'fusion' and len(body) > 1:
            yield from _inside(computations[each.found(r'calls=%?([\w.-]+)')], computations)


def _target(instruction: Instruction) -> str:
    return instruction.found(r'custom_call_target="([^"]*)"')


def _is_product(instruction: Instruction) -> bool:
    return instruction.opcode in ('dot', 'convolution') or _target(instruction).startswith(
        ('__cudnn$conv', '__cublas')
    )


def _kind(instruction: Instruction, inside: list[Instruction], products: list[Instruction]) -> str:
    target = _target(instruction)
    if target == _FUSED_CALL:
        return FUSED.get(instruction.found(r'"activation_mode":"(\w+)"'), FORWARD)
    if target:
        return PRODUCT if target.startswith('__cublas') else _CUDNN.get(target, target)
    if any(each.opcode == 'convolution' for each in products):
        return PLAIN
    if products:
        return PRODUCT if 'kind=kCustom' in instruction.rest else LOOP_PRODUCT
    return REDUCTION if any(each.opcode == 'reduce' for each in inside) else ELEMENTWISE


def _window(product: Instruction) -> tuple[int, ...]:
    """Reads the kernel of a convolution; () of a matrix product."""
    size = product.found(r'window=\{size=([\dx]+)')
    if not size and product.found(r'(dim_labels)='):
        return (1, 1)
    return tuple(map(int, size.split('x'))) if size else ()


def _dtype(product: Instruction, by_name: dict[str, Instruction]) -> str:
    dtype = by_name[product.operands[0]].arrays[0].dtype
    exact = product.found(r'(?i)operand_precision[^}\]]*(highest)')
    return 'tf32' if dtype == 'f32' and not exact else dtype


def _operations(product: Instruction, by_name: dict[str, Instruction]) -> int:
    """Counts multiplications and additions of a product, from shapes alone.

    Of a convolution these are, whichever of three arrays is the result, two for every position of
    the output and every number of the kernel, but that a number belongs to one output channel.
    """
    first, second, result = (
        by_name[product.operands[0]].arrays[0].shape,
        by_name[product.operands[1]].arrays[0].shape,
        product.arrays[0].shape,
    )
    labels = product.found(r'dim_labels=\w+_(\w+)->')
    if not labels:
        contracted = product.found(r'lhs_contracting_dims=\{([\d,]*)\}') or product.found(
            r'"lhs_contracting_dimensions":\[([^\]]*)\]'
        )
        depth = math.prod(first[int(axis)] for axis in re.findall(r'\d+', contracted))
        return 2 * math.prod(result) * depth
    output, kernel = {
        WEIGHT_GRADIENT: (second, result),
        INPUT_GRADIENT: (first, second),
    }.get(_CUDNN.get(_target(product), ''), (result, second))
    return 2 * math.prod(output) * math.prod(kernel) // kernel[labels.index('o')]


def _bytes_read(
    instruction: Instruction, body: list[Instruction], operands: dict[str, Instruction]
) -> int:
    """Counts what a kernel reads: of arrays of which it only takes slices, the slices."""
    names = {name: name for name in instruction.operands}  # as the kernel calls them
    if instruction.opcode.startswith('fusion'):
        numbers = {each.found(r'^parameter\((\d+)\)'): each.name for each in body}
        names = {name: numbers[str(i)] for i, name in enumerate(instruction.operands)}
    total = 0
    for name, operand in operands.items():
        slices = _slices(names[name], body)
        whole = sum(array.bytes for array in operand.arrays)
        total += whole if slices is None else min(slices, whole)
    return total


def _slices(name: str, body: list[Instruction]) -> int | None:
    """Returns the bytes of the slices taken of an array; None where it is read whole."""
    total = 0
    for each in body:
        if name not in each.operands:
            continue
        if each.opcode == 'bitcast':
            more = _slices(each.name, body)
        elif each.opcode in _PARTIAL and each.operands.index(name) == 0:
            more = sum(array.bytes for array in each.arrays)
        elif each.opcode == 'dynamic-update-slice' and each.operands.index(name) == 0:
            more = 0  # it is written in place
        else:
            more = None
        if more is None:
            return None
        total += more
    return total


def _bytes_written(root: Instruction, by_name: dict[str, Instruction], results: list[Array]) -> int:
    """Counts what a kernel writes: of an array that it changes in place, the change."""
    if root.opcode == 'tuple':
        parts = [by_name[name] for name in root.operands]
        return sum(_bytes_written(each, by_name, each.arrays) for each in parts)
    if root.opcode == 'bitcast' and root.operands[0] in by_name:
        changed = by_name[root.operands[0]]
        if changed.opcode == 'dynamic-update-slice':
            return _bytes_written(changed, by_name, changed.arrays)
    if root.opcode == 'dynamic-update-slice':
        return sum(array.bytes for array in by_name[root.operands[1]].arrays)
    return sum(array.bytes for array in results)
