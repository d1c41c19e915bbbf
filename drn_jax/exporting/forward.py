"""The function that a file holds: images in, answers out."""

import functools

import jax.numpy as jnp

from drn_jax.exporting import channels_first
from drn_jax.models import inference
from drn_jax.ops import resize
from drn_jax.tasks import preprocessing


def of_model(source, signature):
    """Returns the function of a network in its usual form, which the others are checked against.

    Args:
        source: the checkpoint; its variables become constants of the function.
        signature: what goes in and comes out.

    Returns:
        images of the signature's shape and dtype -> answers.
    """
    model = source.model.clone(convolution='native')
    return _compose(functools.partial(model.apply, source.variables), source, signature)


def for_stablehlo(source, signature, platforms=()):
    """Returns the same function in its inference form, with the convolution algorithm of the model.

    Args:
        source, signature: as in `of_model`.
        platforms: that it is for, as `jax.export` calls them. What helps XLA on CPUs only is left
            out where there are others, whatever this machine is.

    Returns:
        As `of_model`.
    """
    platform = 'cpu' if tuple(platforms) == ('cpu',) else 'any'
    model, variables = inference.optimize_for_inference(
        source.model.clone(platform=platform), source.variables
    )
    return _compose(functools.partial(model.apply, variables), source, signature)


def for_onnx(source, signature):
    """Returns the same function, computed as ONNX can express it; see `channels_first`.

    Args:
        source, signature: as in `of_model`.

    Returns:
        As `of_model`.
    """
    network = functools.partial(channels_first.apply, source.model, source.variables)
    return _compose(network, source, signature)


def _compose(network, source, signature):
    """Puts normalization before, and label maps behind, a forward pass like `model.apply`."""
    data = source.config.data
    maps = signature.answers in ('class_maps', 'labels')

    def answer(images):
        if signature.pixels == 'uint8':
            images = preprocessing.prepare(
                {'image': images}, None, False, mean=data.mean, std=data.std, augmentation=None
            )['image']
        scores = network(images, method='class_maps' if maps else '__call__')
        if signature.answers != 'labels':
            return scores
        scores = resize.upsample(
            scores,
            *signature.size,
            stride=source.model.table.stride,
            border=source.config.model.upsample_border,
        )
        return jnp.argmax(scores, -1).astype(jnp.uint8)

    return answer
