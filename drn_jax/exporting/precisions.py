"""ONNX files that compute in int8 or in float16, made of those in float32.

int8 is ONNX Runtime's static quantization: weights by output channel, activations by the range that
they have in photographs. Convolutions, the sums of blocks and what lies between are int8;
normalization before them and the classifier behind them stay float32, which costs next to no time,
and so do the kernels of smoothed dilated convolutions.
Dilated convolutions are as fast as others there, so they stay as they are.
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
_QUANTIZED = ('Conv', 'Relu', 'Add', 'MaxPool')
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
    path: pathlib.Path, whole: pathlib.Path, name: str, batches: Sequence[np.ndarray]
) -> None:
    """Writes a file in int8.

    Args:
        path: the file.
        whole: the file in float32.
        name: of its input.
        batches: of images to calibrate with, of the input's shape and dtype, and of one size.
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
            op_types_to_quantize=list(_QUANTIZED),
            nodes_to_exclude=_precise(onnx.library('onnx').load(fused).graph),
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            calibrate_method=quantization.CalibrationMethod[method],
            extra_options=options,
        )


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
