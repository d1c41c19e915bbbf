"""The networks for ONNX: channels first.

ONNX has convolutions with channels first only. Of a network with channels last jax2onnx makes
convolutions between transposes and takes most of these out again, which in version 0.17 goes wrong
where a shortcut joins. So the table of `variants` is walked here once more, with one transpose at
either end.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from drn_jax.models import variants
from drn_jax.models.networks import Network
from drn_jax.ops import resize


def apply(
    model: Network,
    params: dict[str, Any],
    images: jax.Array,
    method: str = '__call__',
    strip: int = 1,
) -> jax.Array:
    """Computes the answers of a network, in evaluation, like `model.apply`; all is float32.

    Args:
        model: the network, in the form for inference.
        params: its parameters, NumPy arrays: normalizations are part of the convolutions.
        images: [B, H, W, 3], float32, normalized.
        method: '__call__' or 'class_maps'.
        strip: pixels of a row that the stem sees as the channels of one, as in `ops.strips`; a
            multiple of its stride. 1, also where W is no multiple of it, leaves them as they are.

    Returns:
        What the method gives.
    """
    pooled = model.task == 'classification' and method == '__call__'
    x = _features(model, params, images, 1 if images.shape[2] % strip else strip)
    if not model.num_classes:
        return jnp.transpose(x, (0, 2, 3, 1))
    kernel, bias = params['head']['kernel'], params['head']['bias']
    if pooled:
        return jnp.dot(jnp.mean(x, axis=(2, 3)), kernel[0, 0], precision='highest') + bias
    head = variants.Conv('head', 1, *kernel.shape[2:])
    return jnp.transpose(_conv(x, head, params['head']), (0, 2, 3, 1))


def _features(model, params, images, strip):
    table = model.table
    x = _stem(images, table.stem.expand(), params['stem'], strip)
    if table.stem.pooled:
        x = _max_pool(x)
    for level, blocks in table.expand():
        for block in blocks:
            x = _block(x, block, params[level.name][block.name])
    return x


def label_maps(
    scores: jax.Array, height: int, width: int, *, stride: resize.Stride, border: str
) -> jax.Array:
    """Finds the class of every pixel of images.

    ONNX has products of matrices for `matmul`. With an Einsum, which `einsum` becomes, OpenVINO
    runs out of memory where images have 1024 x 2048 pixels.

    Args:
        scores: of the classes, [B, h, w, C], float32.
        height, width, stride, border: as `resize.upsample` takes them.

    Returns:
        uint8 [B, height, width].

    Raises:
        ValueError: see `resize.image_weights`.

    Example:
        >>> label_maps(jnp.eye(2).reshape(1, 1, 2, 2), 1, 8, stride=4, border='extend').tolist()
        [[[0, 0, 0, 0, 1, 1, 1, 1]]]
    """
    rows, columns = resize.image_weights(scores, height, width, stride=stride, border=border)
    scores = jnp.matmul(jnp.transpose(scores, (0, 3, 1, 2)), columns.T)
    return jnp.argmax(jnp.matmul(rows, scores), 1).astype(jnp.uint8)


def _stem(images, spec, params, strip):
    """Computes the first convolution, of images [B, H, W, 3]; the map has channels first."""
    (conv,) = spec.convs
    batch, height, width, channels = images.shape
    x = images.reshape(batch, height, width // strip, strip * channels)
    x = jnp.transpose(x, (0, 3, 1, 2))
    if strip == 1:
        return _block(x, spec, params)
    narrower = strip // conv.stride  # pixels of a strip of the map
    kernel, beside = _kernel_of_strips(params[conv.name]['kernel'], strip, conv.stride)
    padding = (conv.kernel_size // 2,) * 2, beside
    bias = np.tile(params[conv.name]['bias'], narrower)
    x = nn.relu(_convolve(x, kernel, bias, (conv.stride, 1), padding))
    x = jnp.transpose(x, (0, 2, 3, 1))
    x = x.reshape(*x.shape[:2], width // conv.stride, conv.outputs)
    return jnp.transpose(x, (0, 3, 1, 2))


def _kernel_of_strips(kernel, strip, stride):
    """[K, K, Cin, Cout] -> [K, window, strip * Cin, strip / stride * Cout], and the padding.

    In NumPy, unlike that of `ops.strips`, so that it is made now and not by the program.
    """
    size, _, inputs, outputs = kernel.shape
    narrower = strip // stride
    columns = stride * np.arange(narrower)[:, None] + np.arange(size) - size // 2  # of each tap
    strips, places = np.divmod(columns, strip)
    before, after = -strips.min(), strips.max()
    wide = np.zeros((size, before + 1 + after, strip, inputs, narrower, outputs), np.float32)
    for pixel, tap in np.ndindex(columns.shape):
        wide[:, before + strips[pixel, tap], places[pixel, tap], :, pixel] = kernel[:, tap]
    return wide.reshape(size, -1, strip * inputs, narrower * outputs), (before, after)


def _block(x, spec, params):
    """Computes `layers.Block`, channels first."""
    y = x
    for i, conv in enumerate(spec.convs):
        y = nn.relu(y) if i > 0 else y
        if conv.smoothing:
            y = _smooth(y, params[conv.smoothing_name]['taps'])
        y = _conv(y, conv, params[conv.name])
    if spec.residual:
        if spec.projection is not None:
            x = _conv(x, spec.projection, params['shortcut']['conv'])
        y = y + x
    return nn.relu(y)


def _conv(x, spec, conv):
    reach = spec.dilation * (spec.kernel_size // 2)
    strides, padding = (spec.stride,) * 2, ((reach, reach),) * 2
    return _convolve(x, conv['kernel'], conv['bias'], strides, padding, spec.dilation)


def _convolve(x, kernel, bias, strides, padding, dilation=1):
    y = lax.conv_general_dilated(
        x,
        kernel.transpose(3, 2, 0, 1),  # NumPy's: now, and not in the program
        window_strides=strides,
        padding=padding,
        rhs_dilation=(dilation,) * 2,
        dimension_numbers=('NCHW', 'OIHW', 'NCHW'),
    )
    return y + bias[:, None, None]  # in this order ONNX Runtime takes both for one


def _smooth(x, taps):
    """Computes `ops.smoothing.smooth`: ONNX has it as a convolution of every channel by itself."""
    channels, reach = x.shape[1], len(taps) // 2
    kernel: Any = np.tile(taps, (channels, 1, 1, 1))  # NumPy's, as in `_conv`
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(1, 1),
        padding=((reach, reach),) * 2,
        dimension_numbers=('NCHW', 'OIHW', 'NCHW'),
        feature_group_count=channels,
    )


def _max_pool(x: jax.Array) -> jax.Array:
    """Pools 3x3 with stride 2. The map comes from a ReLU, so zeros beyond its edges do not win.

    jax2onnx 0.17 knows `max_pool` with the window named and without padding only.
    """
    x = jnp.transpose(jnp.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1))), (0, 2, 3, 1))
    x = nn.max_pool(x, window_shape=(3, 3), strides=(2, 2), padding='VALID')
    return jnp.transpose(x, (0, 3, 1, 2))
