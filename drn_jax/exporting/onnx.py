"""ONNX files, through the jax2onnx library; ONNX Runtime runs them."""

import importlib
import json
import pathlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

import jax

from drn_jax import processors
from drn_jax.errors import InputError
from drn_jax.exporting.signatures import Signature, check_card

OPSET = 18  # the oldest in which all operators of these networks are as jax2onnx writes them
LIBRARIES = 'jax2onnx', 'onnxruntime'  # to write files and to run them
CARD = 'drn_jax'  # key of the file's metadata


def library(name: str) -> ModuleType:
    """Imports a library that ONNX files need.

    Args:
        name: one of `LIBRARIES`, or one of their modules.

    Returns:
        The module.

    Raises:
        InputError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InputError(
            f"ONNX files need {name}, which is not installed ({error}): pip install 'drn_jax[onnx]'"
        ) from error


def write(
    path: pathlib.Path, function: Callable, signature: Signature, card: dict[str, Any]
) -> None:
    """Writes a function with its constants as one file; batch stays a symbol.

    Args:
        path: the file.
        function: images -> answers, of operations that jax2onnx knows; see `channels_first`.
        signature: shape and dtype of the images; it has a size.
        card: the card.
    """
    graph = library('jax2onnx').to_onnx(
        function,
        [jax.ShapeDtypeStruct(signature.shape, signature.dtype)],
        opset=OPSET,
        model_name=card['variant'],
        input_names=[card['input']['name']],
        output_names=[card['output']['name']],
    )
    _save(path, graph, card)


def write_card(path: pathlib.Path, card: dict[str, Any]) -> None:
    """Writes a file again with this card, and with nothing else that is no part of the program.

    Args:
        path: the file.
        card: the card.
    """
    _save(path, library('onnx').load(path), card)


def _save(path, graph, card):
    del graph.metadata_props[:]
    graph.metadata_props.add(key=CARD, value=json.dumps(card))
    path.write_bytes(graph.SerializeToString())


def read(path: Any) -> tuple[Callable, dict[str, Any]]:
    """Reads a file that `write` wrote.

    Args:
        path: the file.

    Returns:
        images -> answers, NumPy arrays, computed by ONNX Runtime on the CPU; and the card.

    Raises:
        InputError: it is another file, a damaged one, or one of another version; or ONNX Runtime
            is missing.
    """
    onnxruntime = library('onnxruntime')
    options = onnxruntime.SessionOptions()
    if lacks_vnni():  # and would add up products of int8 in 16 bits, which overflow
        options.add_session_config_entry('session.x64quantprecision', '1')
    try:
        session = onnxruntime.InferenceSession(
            str(path), options, providers=['CPUExecutionProvider']
        )
        card = json.loads(session.get_modelmeta().custom_metadata_map[CARD])
    except Exception as error:  # ONNX Runtime raises many kinds
        raise InputError(
            f'{path} is no file of python -m drn_jax.export, or a damaged one; export it again',
            path=path,
        ) from error
    check_card(path, card, 'onnx')
    return lambda images: session.run(None, {card['input']['name']: images})[0], card


def lacks_vnni(cpu: pathlib.Path = pathlib.Path('/proc/cpuinfo')) -> bool:
    """Returns whether this is known to be a CPU of x86-64 without the instructions for int8.

    Args:
        cpu: where the system says what it has.
    """
    return processors.lacks('avx512_vnni', 'avx_vnni', cpu=cpu)
