"""The exceptions that tell a user something: what to fix, or that a run was asked to end."""


class InputError(ValueError):
    """Something that was given cannot be used; the message is one sentence for the user.

    It says what was given, what is allowed and what to do. Commands print it without a traceback
    and end with exit status 1; any other exception is a defect and keeps its traceback.

    Attributes:
        field: the field of the configuration that is wrong, 'config.data.shards'; '' where none.
        path: the file or directory that is; '' where none.

    Example:
        >>> raise InputError('batch_size 30 does not divide by 8 devices; use a multiple of 8')
        Traceback (most recent call last):
        ...
        drn_jax.errors.InputError: batch_size 30 does not divide by 8 devices; use a multiple of 8
    """

    def __init__(self, message, *, field='', path=''):
        super().__init__(message)
        self.field, self.path = field, str(path)


class Stopped(Exception):
    """A run was asked to end by SIGTERM, has saved its state and ends.

    Commands print the sentence and end with exit status 143, as a process does that SIGTERM ends.
    """

    def __init__(self):
        super().__init__('asked to end: the run is saved, and the same command goes on with it')


def first_line(error):
    """Returns the first line of what an exception says, or its kind; long ones without their middle.

    Example:
        >>> first_line(OSError(28, 'No space left on device'))
        '[Errno 28] No space left on device'
    """
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return line if len(line) <= 200 else f'{line[:97]} ... {line[-98:]}'


def check_local(path, flag='--output'):
    """Refuses a path like gs://bucket/file, where only local ones can be written.

    Raises:
        InputError: it is such a path.

    Example:
        >>> check_local('runs/it')
    """
    if '://' in str(path):
        raise InputError(f'{flag}={path} is not local; give a local path and copy it afterwards')
