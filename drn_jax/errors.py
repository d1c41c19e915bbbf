"""The exceptions that tell a user something: what to fix, or that a run was asked to end."""


class InputError(ValueError):
    """Something that was given cannot be used; the message is one sentence for the user.

    It says what was given, what is allowed and what to do. Commands print it without a traceback
    and end with exit status 1; any other exception is a defect and keeps its traceback.

    Example:
        >>> raise InputError('batch_size 30 does not divide by 8 devices; use a multiple of 8')
        Traceback (most recent call last):
        ...
        drn_jax.errors.InputError: batch_size 30 does not divide by 8 devices; use a multiple of 8
    """


class Stopped(Exception):
    """A run was asked to end by SIGTERM, has saved its state and ends.

    Commands print the sentence and end with exit status 143, as a process does that SIGTERM ends.
    """

    def __init__(self):
        super().__init__('asked to end: the run is saved, and the same command goes on with it')


def first_line(error: BaseException) -> str:
    """Returns the first line of what an exception says, or its kind; a long one without its middle.

    Example:
        >>> first_line(OSError(28, 'No space left on device'))
        '[Errno 28] No space left on device'
    """
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return line if len(line) <= 200 else f'{line[:97]} ... {line[-98:]}'


def one_line(error: BaseException) -> str:
    """Returns all that an exception says in one line.

    Example:
        >>> one_line(ValueError('a number\\n  is needed'))
        'a number is needed'
    """
    return ' '.join(str(error).split())
