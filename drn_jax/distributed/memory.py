"""Memory of the devices and the host: checked beforehand, or explained where it is too little."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import Any

import jax

from drn_jax.errors import InputError

PREDICT = (
    'give a smaller --batch_size, or for segmentation a smaller --size or tiles, '
    '--config.evaluation.tile_px=512'
)
TRAIN = (
    'give a smaller config.batch_size or smaller images (config.data.crop_px for '
    'segmentation), levels to compute twice, config.model.rematerialize, or more devices'
)
EVALUATE = (
    'give a smaller config.evaluation.batch_size, or for segmentation tiles, '
    'config.evaluation.tile_px=512'
)
_BATCHES = 6  # that the host holds at a time: decoded ahead, fed, and on their way


def host_memory_bytes() -> int:
    """Returns the memory of this machine, in bytes."""
    return os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')


def check_batches(batch_size: int, side_px: int) -> None:
    """Refuses batches of which the host could not hold those that are on their way.

    Args:
        batch_size: images of a batch that this process reads.
        side_px: side of an image; its pixels take three bytes each, those of its label map one.

    Raises:
        InputError: they take more than the memory of this machine.
    """
    needed = _BATCHES * batch_size * side_px**2 * 4
    if needed > host_memory_bytes():
        raise InputError(
            f'{_BATCHES} batches of {images((batch_size, side_px, side_px))} take '
            f'{needed / 2**30:,.0f} GiB, but this machine has '
            f'{host_memory_bytes() / 2**30:,.0f}; {TRAIN}',
            field='config.batch_size',
        )


def compile_checked(step: jax.stages.Wrapped, *arguments: Any) -> jax.stages.Compiled:
    """Compiles a function and checks that there is the memory that it needs.

    Accelerators refuse what does not fit; a CPU would take memory until the system ends the
    process.

    Args:
        step: a function of `jax.jit`.
        *arguments: what it will be called with.

    Returns:
        The compiled function.

    Raises:
        InputError: on a CPU it would take more memory than this machine has.
    """
    function = step.lower(*arguments).compile()
    if jax.devices()[0].platform == 'cpu':
        memory: Any = function.memory_analysis()
        needed = memory.temp_size_in_bytes + memory.argument_size_in_bytes
        if needed > host_memory_bytes():
            raise InputError(
                f'a step takes {needed / 2**30:,.0f} GiB, but this machine has '
                f'{host_memory_bytes() / 2**30:,.0f}; {TRAIN}',
                field='config.batch_size',
            )
    return function


@contextlib.contextmanager
def explain_out_of_memory(what: str, advice: str) -> Iterator[None]:
    """Turns the error of a device that has too little memory into one sentence.

    Args:
        what: what does not fit, in the plural, such as '8 images'.
        advice: what to do: `PREDICT`, `TRAIN` or `EVALUATE`.

    Raises:
        InputError: the memory did not suffice.

    Example:
        with explain_out_of_memory('8 images', PREDICT):
            logits = jax.block_until_ready(model.apply(variables, images))
    """
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if 'RESOURCE_EXHAUSTED' not in str(error):
            raise
        raise InputError(f'{what} do not fit into the memory of the devices; {advice}') from error


def images(shape: Sequence[int]) -> str:
    """Describes a batch of images.

    Args:
        shape: B, H, W, and what may follow.

    Example:
        >>> images((8, 1024, 2048, 3))
        '8 images of 1024 x 2048 pixels'
    """
    return f'{shape[0]} images of {shape[1]} x {shape[2]} pixels'
