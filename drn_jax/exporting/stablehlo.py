"""StableHLO files: a zip archive of the program that `jax.export` serialized, and of the card.

Without this package:

    import zipfile
    from jax import export
    with zipfile.ZipFile('drn_c_26.stablehlo') as file:
        program = export.deserialize(bytearray(file.read('program.jax_export')))
    logits = program.call(images)
"""

import datetime
import json
import pathlib
import zipfile
from collections.abc import Callable
from typing import Any

import jax
import jaxlib
from jax import export

from drn_jax.errors import InputError, one_line
from drn_jax.exporting.signatures import Signature, check_card

PLATFORMS = ('cpu', 'cuda', 'tpu')
PROGRAM, CARD = 'program.jax_export', 'card.json'
RELEASED = {  # versions of jaxlib, which do not say when they were
    '0.10.0': '2026-04-16',
    '0.10.1': '2026-05-18',
    '0.10.2': '2026-06-17',
    '0.11.0': '2026-07-16',
    '0.11.1': '2026-08-17',
    '0.11.2': '2026-09-17',
    '0.12.0': '2026-10-16',
    '0.12.0.1': '2026-10-20',
}
SIX_MONTHS = datetime.timedelta(days=181)  # the shortest


def write(
    path: pathlib.Path, function: Callable, signature: Signature, card: dict[str, Any]
) -> None:
    """Writes a function with its constants; batch, and size where it is None, stay symbols.

    Args:
        path: the file.
        function: images -> answers.
        signature: shape and dtype of the images.
        card: the card; `platforms` says what it is lowered for.
    """
    shape = tuple(export.symbolic_shape(', '.join(map(str, signature.shape))))
    exported = export.export(jax.jit(function), platforms=card['platforms'])(
        jax.ShapeDtypeStruct(shape, signature.dtype)
    )
    card = {
        **card,
        'calling_convention_version': exported.calling_convention_version,
        'readable_by': readers(),
    }
    with zipfile.ZipFile(path, 'w') as file:
        file.writestr(CARD, json.dumps(card, indent=2) + '\n')
        file.writestr(PROGRAM, exported.serialize())


def read(path: Any) -> tuple[Callable, dict[str, Any]]:
    """Reads a file that `write` wrote.

    Args:
        path: the file, of a source that is trusted as a program is.

    Returns:
        images -> answers, and the card.

    Raises:
        InputError: it is another file, a damaged one, or one of another version.
    """
    try:
        with zipfile.ZipFile(path) as file:
            card = json.loads(file.read(CARD))
            check_card(path, card, 'stablehlo')
            program = bytearray(file.read(PROGRAM))
        writer, built, step = card['versions']['jax'], card['versions']['jaxlib'], card['step']
    except InputError:
        raise
    except Exception as error:  # zipfile and JSON raise many kinds
        raise InputError(
            f'{path} is no file of python -m drn_jax.export, or a damaged one '
            f'({one_line(error, short=True)}); export it again',
            path=path,
        ) from error
    try:
        return deserialize(program).call, card
    except Exception as error:  # JAX raises many kinds; the bytes are those that were written
        raise InputError(
            f'{path} is for {readers(built)}; jax {jax.__version__} does not '
            f'read it ({one_line(error, short=True)}); use jax {writer}, or write it anew: '
            'python -m drn_jax.export --checkpoint=DIR '
            f'--step={step} --output={path} --overwrite',
            path=path,
        ) from error


def deserialize(program: bytearray) -> export.Exported:
    """Reads what `jax.export` serialized.

    Raises:
        ValueError: this JAX does not call it; where it cannot read it, JAX raises other kinds.
    """
    exported = export.deserialize(program)
    least, most = (
        export.minimum_supported_calling_convention_version,
        export.maximum_supported_calling_convention_version,
    )
    if not least <= exported.calling_convention_version <= most:
        raise ValueError(
            f'it follows version {exported.calling_convention_version} of the calling convention, '
            f'those from {least} to {most} are read'
        )
    return exported


def readers(jaxlib_version: str = jaxlib.__version__) -> str:
    """Says which versions of JAX promise to read what is written with one of jaxlib.

    Example:
        >>> readers('0.10.2')
        'versions of JAX released until 2026-12-15, six months after jaxlib 0.10.2'
        >>> readers('0.99.0')
        'versions of JAX released within six months of jaxlib 0.99.0'

    Source: JAX, Exporting and serializing, section Compatibility guarantees.
    """
    if jaxlib_version not in RELEASED:
        return f'versions of JAX released within six months of jaxlib {jaxlib_version}'
    until = datetime.date.fromisoformat(RELEASED[jaxlib_version]) + SIX_MONTHS
    return f'versions of JAX released until {until}, six months after jaxlib {jaxlib_version}'
