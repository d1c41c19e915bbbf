"""The inference form of a network: fewer operations, the same answers."""

import functools
import logging
from typing import Any

import jax
import jax.numpy as jnp

from drn_jax import processors
from drn_jax.models import normalization
from drn_jax.models.networks import Network
from drn_jax.ops import winograd

_logger = logging.getLogger(__name__)


def optimize_for_inference(model: Network, variables: Any) -> tuple[Network, dict[str, Any]]:
    """Returns a network and its variables in the form that answers fastest.

    Batch normalization becomes part of the convolutions: with factor = scale / sqrt(var + 1e-5),
    the kernel is multiplied by factor and the bias is bias - mean * factor. Kernels that the
    convolution algorithm transforms are transformed now, so the variables fit the platform of the
    default device, which the model remembers. With `convolutions.compiler_options` XLA makes it
    faster still on CPUs.

    Args:
        model: as `create_model` or `load` gives it.
        variables: its variables, {'params', 'batch_stats'}.

    Returns:
        A network with the same methods and, to 1e-4 of the largest, the same answers, but for
        `train=False` only, and its variables, {'params'}. What is optimized already comes back as
        it is.

    Raises:
        ValueError: the variables are not those of the model.

    Example:
        >>> from drn_jax.models.networks import create_model
        >>> model = create_model('drn_c_26', num_classes=10, width=0.0625)
        >>> images = jnp.ones((1, 32, 32, 3))
        >>> variables = model.init(jax.random.key(0), images)
        >>> fast, folded = optimize_for_inference(model, variables)
        >>> error = fast.apply(folded, images) - model.apply(variables, images)
        >>> bool(abs(error).max() < 1e-4)
        True

    Source: Jacob and others, Quantization and training of neural networks, 2018, section 3.2, for
    the folding; `ops.winograd` for the transformed kernels.
    """
    if model.bn_folded:
        if 'batch_stats' in variables:
            raise ValueError(
                'the model is optimized for inference, its variables are not; give '
                'both as optimize_for_inference gave them, or both as they were'
            )
        return model, variables
    _check(model, variables)
    return fold(model, variables)


def fold(model: Network, variables: Any) -> tuple[Network, dict[str, Any]]:
    """Does what `optimize_for_inference` does, with variables that are known to be the model's.

    Args:
        model: as `create_model` or `load` gives it.
        variables: its variables, {'params', 'batch_stats'}; others fail as they may.

    Returns:
        As `optimize_for_inference`.
    """
    fast = model.clone(platform=model.platform or jax.default_backend(), bn_folded=True)
    return fast, _fold(fast, variables)


def warn_of_bfloat16(model: Network) -> None:
    """Logs a warning where a network computes in what this processor is known not to multiply.

    Args:
        model: the network, on the default device.
    """
    on_cpu = (model.platform or jax.default_backend()) == 'cpu'
    halved = jnp.dtype(model.dtype) == jnp.bfloat16
    if on_cpu and halved and processors.lacks(processors.BFLOAT16):
        _logger.warning(
            'bfloat16 is no faster than float32 on this processor, which has no %s; the answers '
            'are right (--config.model.dtype=float32 computes in float32)',
            processors.BFLOAT16,
        )


def _check(model, variables):
    images = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    wanted = jax.eval_shape(model.init, jax.random.key(0), images)
    if jax.tree.map(jnp.shape, variables) != jax.tree.map(jnp.shape, wanted):
        raise ValueError(
            f'the variables are not those of the model ({model.variant}, width '
            f'{model.width}, {model.num_classes} classes); give what `load`, '
            '`from_torch` or `init` gave for this model'
        )


@functools.partial(jax.jit, static_argnums=0)
def _fold(model, variables):
    params, stats = variables['params'], variables['batch_stats']
    folded = {'head': params['head']} if 'head' in params else {}
    stem = model.table.stem.expand()
    folded['stem'] = _fold_block(stem, model.options, params['stem'], stats['stem'])
    for level, blocks in model.table.expand():
        folded[level.name] = {
            block.name: _fold_block(
                block, model.options, params[level.name][block.name], stats[level.name][block.name]
            )
            for block in blocks
        }
    return {'params': folded}


def _fold_block(block, options, params, stats):
    folded = {}
    for conv in block.convs:
        norm = conv.norm_name
        folded[conv.name] = _fold_conv(conv, options, params[conv.name], params[norm], stats[norm])
        if conv.smoothing:
            folded[conv.smoothing_name] = params[conv.smoothing_name]
    if 'shortcut' in params:
        params, stats = params['shortcut'], stats['shortcut']
        folded['shortcut'] = {
            'conv': _fold_conv(block.projection, options, params['conv'], params['bn'], stats['bn'])
        }
    return folded


def _fold_conv(conv, options, params, norm, stats):
    factor = norm['scale'] / jnp.sqrt(stats['var'] + normalization.EPSILON)
    kernel = params['kernel'] * factor
    if options.algorithm(conv) == 'winograd':
        kernel = winograd.transform_kernel(kernel, options.dtype)
    return {'kernel': kernel, 'bias': norm['bias'] - stats['mean'] * factor}
