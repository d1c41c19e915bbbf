"""StableHLO files: a zip archive of the program that `jax.export` serialized, and of the card.

Without this package:

    import zipfile
    from jax import export
    with zipfile.ZipFile('drn_c_26.stablehlo') as file:
        program = export.deserialize(bytearray(file.read('program.jax_export')))
    logits = program.call(images)
"""

import json
import pathlib
import zipfile
from collections.abc import Callable
from typing import Any

import jax
from jax import export

from drn_jax.errors import InputError, one_line
from drn_jax.exporting.signatures import Signature, check_card

PLATFORMS = ('cpu', 'cuda', 'tpu')
PROGRAM, CARD = 'program.jax_export', 'card.json'


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
    card = {**card, 'calling_convention_version': exported.calling_convention_version}
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
            check_version(path, card)
            program = export.deserialize(bytearray(file.read(PROGRAM)))
    except InputError:
        raise
    except Exception as error:  # zipfile, JSON and JAX raise many kinds
        raise InputError(
            f'{path} is no file of python -m drn_jax.export, or a damaged one '
            f'({one_line(error, short=True)}); export it again',
            path=path,
        ) from error
    return program.call, card


def check_version(path: Any, card: dict[str, Any]) -> None:
    """Refuses a program that this JAX cannot run.

    Raises:
        InputError: it was written by another version of JAX, too old or too new.
    """
    version = card['calling_convention_version']
    least, most = (
        export.minimum_supported_calling_convention_version,
        export.maximum_supported_calling_convention_version,
    )
    if not least <= version <= most:
        raise InputError(
            f'{path} was written by jax {card["versions"]["jax"]} and follows version '
            f'{version} of the calling convention, but jax {jax.__version__} reads '
            f'{least} to {most}; use jax {card["versions"]["jax"]}, or export again',
            path=path,
        )
