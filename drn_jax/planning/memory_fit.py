"""Which batches fit into the memory of a chip."""

import re
from typing import NamedTuple

from drn_jax.planning.compiler import Program

_MULTIPLE = 8  # larger answers are multiples of it, the height of a TPU's registers


class Trial(NamedTuple):
    """A batch that was compiled.

    Attributes:
        images: of a data shard, the devices that share images counting as one.
        needed_bytes: memory of one chip that it takes; None where that is not known.
        fits: whether the chip has them.
    """

    images: int
    needed_bytes: int | None
    fits: bool


class MemoryFit(NamedTuple):
    """What was learned of memory.

    Attributes:
        available_bytes: of one chip.
        trials: the batches that were compiled.
    """

    available_bytes: int
    trials: tuple[Trial, ...] = ()

    def with_trial(self, images: int, program: Program) -> 'MemoryFit':
        """Returns the same with one more batch.

        Args:
            images: that the step was compiled for, of a data shard.
            program: the compiled step.
        """
        needed = program.temporary_bytes + program.argument_bytes or reported_bytes(
            program.too_large
        )
        fits = not program.too_large and needed is not None and needed <= self.available_bytes
        return self._replace(trials=(*self.trials, Trial(images, needed, fits)))

    def largest(self) -> int | None:
        """Estimates the largest batch that fits, from at least one trial.

        With one batch compiled, all memory is taken to grow with the batch; some does not, so a
        little more may fit. With several, it grows on the line through the two nearest.

        Returns:
            Images, at least 0 and not below a batch that fits; None where nothing is known.

        Example:
            >>> MemoryFit(1000, (Trial(20, 500, True),)).largest()
            40
            >>> MemoryFit(1000, (Trial(20, 500, True), Trial(40, 900, True))).largest()
            40
            >>> MemoryFit(1100, (Trial(20, 500, True), Trial(40, 900, True))).largest()
            48
        """
        known = sorted(
            (
                (trial.images, trial.needed_bytes)
                for trial in self.trials
                if trial.needed_bytes is not None
            ),
            key=lambda known: abs(self.available_bytes - known[1]),
        )
        fitting = self._largest_compiled()
        if not known:
            return fitting or None
        images, needed = known[0]
        bytes_per_image, rest = needed / images, 0.0
        if len(known) > 1 and (span := images - known[1][0]):
            bytes_per_image = max((needed - known[1][1]) / span, 1)
            rest = needed - bytes_per_image * images
        estimate = int((self.available_bytes - rest) / bytes_per_image)
        # Near the limit compiling takes long, for the compiler tries to save memory.
        failing = [trial.images for trial in self.trials if not trial.fits]
        estimate = min([estimate, *(int(0.9 * images) for images in failing)])
        if estimate > _MULTIPLE:
            estimate -= estimate % _MULTIPLE
        return max(estimate, fitting)

    def is_verified(self) -> bool:
        """Says whether the largest batch was compiled and fits."""
        return any(trial.fits and trial.images == self.largest() for trial in self.trials)

    def next_images(self) -> int | None:
        """Returns the images of the batch to compile next; None where no more are to be had."""
        largest = self.largest()
        if largest is None:
            largest = min(trial.images for trial in self.trials) // 2
        return largest if largest > 1.1 * self._largest_compiled() else None

    def _largest_compiled(self) -> int:
        return max((trial.images for trial in self.trials if trial.fits), default=0)


def reported_bytes(message: str) -> int | None:
    """Reads how much memory a step takes from what the compiler says where it does not fit.

    Args:
        message: the compiler's.

    Returns:
        Bytes for temporaries, or None where it does not say.

    Example:
        >>> reported_bytes('Ran out of memory on HBM, the total memory required for HLO '
        ...                'temporaries (20.50G) exceeds available HBM (15.75G).')
        22011707392
    """
    found = re.search(r'(?:temporaries \(|Used )([\d.]+)([KMGT])', message)
    if not found:
        return None
    number, unit = found.groups()
    return int(float(number) * 1024 ** ('KMGT'.index(unit) + 1))
