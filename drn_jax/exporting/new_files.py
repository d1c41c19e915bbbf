"""The file that is written: refused early, whole or not there."""

import contextlib
import pathlib

from drn_jax.errors import InputError, check_local


def check_output(output, overwrite):
    """Refuses a path that cannot become a file, before anything is computed.

    Args:
        output: the path, a local one.
        overwrite: whether a file there may be replaced.

    Raises:
        InputError: it is not local, is a directory or lies below a file, or it exists and
            `overwrite` is False.
    """
    check_local(output)
    path = pathlib.Path(output)
    if path.is_dir():
        raise InputError(f'--output={output} is a directory; name a file')
    if path.exists() and not overwrite:
        raise InputError(
            f'--output={output} exists; name another file, or add --overwrite to replace it'
        )
    above = next(parent for parent in path.absolute().parents if parent.exists())
    if not above.is_dir():
        raise InputError(
            f'--output={output} cannot be written, because {above} is a file; name another file'
        )


@contextlib.contextmanager
def writing(output):
    """Returns a path beside the output that takes its name at the end, if nothing was raised.

    Args:
        output: the path.

    Yields:
        Where to write, a `pathlib.Path`.

    Raises:
        InputError: it cannot be written there.

    Example:
        >>> import tempfile
        >>> output = pathlib.Path(tempfile.mkdtemp(), 'new', 'a.txt')
        >>> with writing(output) as partial:
        ...     _ = partial.write_text('whole')
        >>> output.read_text()
        'whole'
    """
    path = pathlib.Path(output)
    partial = path.with_name(path.name + '.partial')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.touch()
        yield partial
        partial.replace(path)
    except OSError as error:
        raise InputError(
            f'--output={output} cannot be written ({error.strerror}); name another file'
        ) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
