"""The one exception that means: the user can fix this, and the message says how."""


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
