"""The exceptions that tell a user something: what to fix, or that a run was asked to end."""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any


class InputError(ValueError):
    """Something that a user typed or stored cannot be used; the message is one sentence.

    It says what was given, what is allowed and what to do. Commands print it without a traceback
    and end with exit status 1; any other exception is a defect and keeps its traceback. Array
    functions and models, which know no user, raise ValueError or TypeError: see `as_input_error`.

    Attributes:
        field: the field of the configuration or the flag that is wrong, 'config.data.shards' or
            '--output'; '' where none.
        path: the file or directory that is; '' where none.

    Example:
        >>> raise InputError('batch_size 30 does not divide by 8 devices; use a multiple of 8',
        ...                  field='config.batch_size')
        Traceback (most recent call last):
        ...
        drn_jax.errors.InputError: batch_size 30 does not divide by 8 devices; use a multiple of 8
    """

    def __init__(self, message: str, *, field: str = '', path: object = ''):
        super().__init__(message)
        self.field, self.path = field, str(path)


class Stopped(Exception):
    """A run was asked to end by SIGTERM, has saved its state and ends.

    Commands print the sentence and end with exit status 143, as a process does that SIGTERM ends.
    """

    def __init__(self):
        super().__init__('asked to end: the run is saved, and the same command goes on with it')


@contextlib.contextmanager
def as_input_error(*, field: str = '', path: object = '') -> Iterator[None]:
    """Turns a ValueError or TypeError of what is called into an InputError with its sentence.

    It goes round calls whose arguments come from a user, and round nothing else, since it would
    hide defects.

    Args:
        field, path: what the arguments come from, as in `InputError`.

    Raises:
        InputError: the block raised one, which stays as it is, or a ValueError or TypeError.

    Example:
        >>> with as_input_error(field='config.seed'):
        ...     int('five')
        Traceback (most recent call last):
        ...
        drn_jax.errors.InputError: invalid literal for int() with base 10: 'five'
    """
    try:
        yield
    except InputError:
        raise
    except (ValueError, TypeError) as error:
        raise InputError(str(error), field=field, path=path) from error


def one_line(error: BaseException, *, short: bool = False) -> str:
    """Returns what an exception says as one line, or its kind where it says nothing.

    Args:
        error: the exception.
        short: True takes its first line only, as libraries list places in their code below it, and
            of more than 200 characters leaves out the middle.

    Example:
        >>> one_line(ValueError('no such\\n    data set')), one_line(KeyboardInterrupt())
        ('no such data set', 'KeyboardInterrupt')
        >>> one_line(OSError(28, 'No space left on device'), short=True)
        '[Errno 28] No space left on device'
    """
    text = str(error).strip() or type(error).__name__
    if not short:
        return ' '.join(text.split())
    line = text.splitlines()[0]
    return line if len(line) <= 200 else f'{line[:97]} ... {line[-98:]}'


def some(items: Iterable[Any]) -> str:
    """Names the first few items.

    Example:
        >>> some(range(9))
        '0, 1, 2, 3, 4, ...'
    """
    items = list(items)
    return ', '.join(map(str, items[:5])) + ', ...' * (len(items) > 5)
