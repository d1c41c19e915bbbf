"""ONNX files that compute in int8 or in float16, made of those in float32.

int8 is ONNX Runtime's static quantization: weights by output channel, activations by the range that
they have in photographs. Convolutions, the sums of blocks and what lies between are int8;
normalization before them and the classifier behind them stay float32, which costs next to no time,
and so do the kernels of smoothed dilated convolutions.
Dilated convolutions are as fast as others there, so they stay as they are.

ONNX Runtime has two ways for a convolution: one of its own for weights whose zero point is 0, which
takes VNNI, and products of matrices for all others, which take AMX where the CPU has it. Weights
for the second way mean the same numbers, each stored one lower, with -1 for zero. With 3 channels
neither is fast, so there the stem takes strips of pixels.
"""

import contextlib
import logging
import os
import pathlib
import tempfile
from collections.abc import Iterator, Sequence

import numpy as np

from drn_jax.exporting import onnx

LIBRARIES = {  # ONNX Runtime's, by what they make
    'int8': 'onnxruntime.quantization.shape_inference',
    'float16': 'onnxruntime.transformers.float16',
}
PRECISIONS = ('float32', *LIBRARIES)
STRIPS = {'any': 1, 'onnxruntime_amx': 4}  # of files for a runtime, see `channels_first.apply`
RUNTIMES = tuple(STRIPS)
_QUANTIZED = ('Conv', 'Relu', 'Add', 'MaxPool')
_MOVED = ('Reshape', 'Transpose')  # between strips and pixels
_WIDE = 128  # input channels from which products of matrices pay
_LARGE = 1 << 18  # pixels of a batch: histograms of its activations take too long


def write_float16(path: pathlib.Path, whole: pathlib.Path) -> None:
    """Writes a file in float16; images and answers keep their types.

    Args:
        path: the file.
        whole: the file in float32.
    """
    convert = onnx.library(LIBRARIES['float16']).convert_float_to_float16
    path.write_bytes(
        convert(onnx.library('onnx').load(whole), keep_io_types=True).SerializeToString()
    )


def write_int8(
    path: pathlib.Path,
    whole: pathlib.Path,
    name: str,
    batches: Sequence[np.ndarray],
    runtime: str = 'any',
) -> None:
    """Writes a file in int8.

    Args:
        path: the file.
        whole: the file in float32, written with `STRIPS[runtime]`.
        name: of its input.
        batches: of images to calibrate with, of the input's shape and dtype, and of one size.
        runtime: one of `RUNTIMES` that the file is for; every runtime answers it right.
    """
    quantization = onnx.library('onnxruntime.quantization')
    if batches[0].size > 3 * _LARGE:
        method, options = 'MinMax', {}
    else:  # a range without 1 number in 100,000, which loses less
        method, options = 'Percentile', {'CalibStridedMinMax': 1}  # batches that are held at once
    with _quiet(), tempfile.TemporaryDirectory() as folder:
        fused = pathlib.Path(folder) / 'fused.onnx'  # bias and convolution are one
        onnx.library(LIBRARIES['int8']).quant_pre_process(whole, fused, skip_symbolic_shape=True)
        quantization.quantize_static(
            fused,
            path,
            _Reader(name, batches),
            per_channel=True,
            op_types_to_quantize=[*_QUANTIZED, *_MOVED * (STRIPS[runtime] > 1)],
            nodes_to_exclude=_precise(onnx.library('onnx').load(fused).graph),
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            calibrate_method=quantization.CalibrationMethod[method],
            extra_options=options,
        )
    if runtime == 'onnxruntime_amx':
        _take_products(path)


def _take_products(path):
    """Moves the zero of wide weights to -1; the quantizer's are from -127 to 127."""
    numpy_helper = onnx.library('onnx.numpy_helper')
    file = onnx.library('onnx').load(path)
    arrays = {array.name: array for array in file.graph.initializer}
    makers = {name: node for node in file.graph.node for name in node.output}
    for node in file.graph.node:
        weights = makers.get(node.input[1]) if node.op_type == 'Conv' else None
        if weights is None or arrays[weights.input[0]].dims[1] < _WIDE:
            continue
        for name in (weights.input[0], weights.input[2]):  # the numbers, their zeros
            numbers = numpy_helper.to_array(arrays[name])
            assert numbers.dtype == np.int8 and numbers.min() > -128, name
            arrays[name].CopyFrom(numpy_helper.from_array(numbers - np.int8(1), name))
    path.write_bytes(file.SerializeToString())


def _precise(graph):
    """Names the convolutions after which comes neither a ReLU nor a sum, as after all others."""
    inner = {name for node in graph.node if node.op_type in ('Relu', 'Add') for name in node.input}
    return [
        node.name for node in graph.node if node.op_type == 'Conv' and node.output[0] not in inner
    ]


class _Reader:
    """What the quantizer asks for images."""

    def __init__(self, name: str, batches: Sequence[np.ndarray]):
        self._name, self._batches = name, batches
        self.set_range(0, len(batches))

    def __len__(self) -> int:
        return len(self._batches)

    def set_range(self, start_index: int, end_index: int) -> None:
        self._places = iter(range(start_index, end_index))

    def get_next(self) -> dict[str, np.ndarray] | None:
        place = next(self._places, None)
        return None if place is None else {self._name: self._batches[place]}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the quantizer from printing what it does."""
    with open(os.devnull, 'w') as nowhere, contextlib.redirect_stdout(nowhere):
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)
