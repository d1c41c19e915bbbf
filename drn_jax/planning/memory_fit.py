"""Which batches fit into the memory of a chip."""

from typing import NamedTuple

from drn_jax.planning import compiler

_MULTIPLE = 8  # larger answers are multiples of it, the height of a TPU's registers


class Trial(NamedTuple):
    """A batch that was compiled: its images, bytes that it takes (None: unknown), if it fits."""

    rows: int
    taken: int | None
    fits: bool


class MemoryFit(NamedTuple):
    """What was learned of memory.

    Attributes:
        there: bytes of one chip.
        trials: the batches that were compiled, at least one.
    """

    there: int
    trials: tuple[Trial, ...]

    def tried(self, rows, program):
        """Returns the same with one more batch.

        Args:
            rows: images.
            program: the `compiler.Program`.
        """
        taken = program.temporary_bytes + program.argument_bytes or compiler.needed(
            program.too_large
        )
        fits = not program.too_large and taken <= self.there
        return self._replace(trials=(*self.trials, Trial(rows, taken, fits)))

    def largest(self):
        """Estimates the largest batch that fits.

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
            (trial for trial in self.trials if trial.taken is not None),
            key=lambda trial: abs(self.there - trial.taken),
        )
        fitting = max((trial.rows for trial in self.trials if trial.fits), default=0)
        if not known:
            return fitting or None
        nearest = known[0]
        slope, rest = nearest.taken / nearest.rows, 0.0
        if len(known) > 1 and (span := nearest.rows - known[1].rows):
            slope = max((nearest.taken - known[1].taken) / span, 1)
            rest = nearest.taken - slope * nearest.rows
        rows = int((self.there - rest) / slope)
        # Near the limit compiling takes long, for the compiler tries to save memory.
        failing = [trial.rows for trial in self.trials if not trial.fits]
        rows = min([rows, *(int(0.9 * fail) for fail in failing)])
        rows = rows // _MULTIPLE * _MULTIPLE if rows > _MULTIPLE else rows
        return max(rows, fitting)

    def is_verified(self):
        """Returns whether the largest batch was compiled and fits."""
        return any(trial.fits and trial.rows == self.largest() for trial in self.trials)

    def next_rows(self):
        """Returns the images of the batch to compile next; None where nothing more is to be had."""
        largest = self.largest()
        if largest is None:
            largest = min(trial.rows for trial in self.trials) // 2
        fitting = max((trial.rows for trial in self.trials if trial.fits), default=0)
        return largest if largest > 1.1 * fitting else None


def memory_fit(program, rows, there):
    """Returns the `MemoryFit` after the first compilation.

    Args:
        program: the `compiler.Program`.
        rows: images that it was compiled for.
        there: bytes of one chip.
    """
    return MemoryFit(there, ()).tried(rows, program)
