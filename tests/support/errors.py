"""What tests of errors share."""

import contextlib
from collections.abc import Iterator

import pytest

from drn_jax.errors import InputError


@contextlib.contextmanager
def refused(
    field: str = '', path: object = None, *, match: str = ''
) -> Iterator[pytest.ExceptionInfo[InputError]]:
    """Expects an InputError of one line that carries this field and this path.

    Args:
        field, path: what `InputError` carries; '' where nothing. None: any path.
        match: where the sentence is tested too, an expression that is found in it.
    """
    with pytest.raises(InputError, match=match or None) as error:
        yield error
    assert '\n' not in str(error.value)
    assert error.value.field == field
    assert path is None or error.value.path == str(path)
