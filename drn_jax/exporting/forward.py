"""A checkpoint as the function that its file holds: images in, answers out."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from drn_jax import checkpoints
from drn_jax.errors import InputError
from drn_jax.exporting import channels_first
from drn_jax.exporting.signatures import Signature
from drn_jax.models import inference
from drn_jax.models.networks import Network
from drn_jax.ops import resize
from drn_jax.tasks import preprocessing

Forward = Callable[[jax.Array], jax.Array]  # images of the signature's shape and dtype -> answers


class ExportSource(NamedTuple):
    """A network with everything that its file needs.

    Attributes:
        model: the network.
        variables: its parameters and batch statistics, float32 NumPy arrays.
        config: its configuration.
        step: of the checkpoint.
    """

    model: Network
    variables: Any
    config: ml_collections.ConfigDict
    step: int


def read_source(
    reference: str, step: int | None = None, overrides: Sequence[str] = ()
) -> ExportSource:
    """Reads the checkpoint to export.

    Args:
        reference, step, overrides: see `checkpoints.open`.

    Returns:
        An `ExportSource`.

    Raises:
        InputError: it cannot be read, holds numbers that are not finite, or a flag does not fit.
    """
    opened = checkpoints.open(reference, step, overrides)
    classes, names = opened.model.num_classes, opened.config.data.class_names
    if classes and names and len(names) != classes:
        raise InputError(
            f'{reference} has {classes} classes, but {len(names)} names; '
            'change config.data.class_names',
            field='config.data.class_names',
            path=reference,
        )
    variables = jax.device_get(opened.read_variables())
    check_finite(opened.path, variables)
    return ExportSource(opened.model, variables, opened.config, opened.step)


def check_finite(path: Any, variables: Any) -> None:
    """Refuses variables with NaN or infinities.

    Args:
        path: of the checkpoint, named in the error.
        variables: a tree of arrays.

    Raises:
        InputError: there are some; up to three arrays that hold them are named.

    Example:
        >>> check_finite('runs/mine/checkpoints/5', {'head': {'bias': np.array([0., np.nan])}})
        Traceback (most recent call last):
        ...
        drn_jax.errors.InputError: the checkpoint runs/mine/checkpoints/5 holds numbers that are \
not finite in head/bias; choose another step with --step
    """
    found = [
        jax.tree_util.keystr(place, simple=True, separator='/')
        for place, leaf in jax.tree_util.tree_leaves_with_path(variables)
        if not np.isfinite(leaf).all()
    ]
    if found:
        raise InputError(
            f'the checkpoint {path} holds numbers that are not finite in '
            f'{", ".join(found[:3])}{", ..." if found[3:] else ""}; choose another '
            'step with --step',
            path=path,
        )


def of_model(source: ExportSource, signature: Signature) -> Forward:
    """Makes the function of a network in its usual form, which the others are checked against.

    Args:
        source: the checkpoint; its variables become constants of the function.
        signature: what goes in and comes out.
    """
    model = source.model.clone(convolution='native')
    return _compose(functools.partial(model.apply, source.variables), source, signature)


def for_stablehlo(
    source: ExportSource, signature: Signature, platforms: Sequence[str] = ()
) -> Forward:
    """Makes the same function in its inference form, with the convolution algorithm of the model.

    Args:
        source, signature: as in `of_model`.
        platforms: that it is for, as `jax.export` calls them. What helps XLA on CPUs only is left
            out where there are others, whatever this machine is.
    """
    platform = 'cpu' if tuple(platforms) == ('cpu',) else 'any'
    model, variables = inference.optimize_for_inference(
        source.model.clone(platform=platform), source.variables
    )
    return _compose(functools.partial(model.apply, variables), source, signature)


def for_onnx(source: ExportSource, signature: Signature, strip: int = 1) -> Forward:
    """Makes the same function, computed as ONNX can express it; see `channels_first`.

    Args:
        source, signature: as in `of_model`.
        strip: as `channels_first.apply` takes it.
    """
    model, variables = inference.optimize_for_inference(
        source.model.clone(convolution='native'), source.variables
    )
    params = jax.device_get(variables['params'])
    network = functools.partial(channels_first.apply, model, params, strip=strip)
    return _compose(network, source, signature, channels_first.label_maps)


def _labels(scores, height, width, *, stride, border):
    scores = resize.upsample(scores, height, width, stride=stride, border=border)
    return jnp.argmax(scores, -1).astype(jnp.uint8)


def _compose(network, source, signature, labels=_labels):
    """Puts normalization before, and label maps behind, a forward pass like `model.apply`."""
    data = source.config.data
    maps = signature.answers in ('class_maps', 'labels')

    def answer(images):
        if signature.pixels == 'uint8':
            images = preprocessing.normalize(images, data.mean, data.std)
        scores = network(images, method='class_maps' if maps else '__call__')
        if signature.answers != 'labels':
            return scores
        return label_maps(scores, source, signature.size, labels)

    return answer


def label_maps(
    scores: jax.Array,
    source: ExportSource,
    size: tuple[int, int],
    labels: Callable[..., jax.Array] = _labels,
) -> jax.Array:
    """Finds the class of every pixel of images.

    Args:
        scores: of the classes, [B, h, w, C], float32.
        source: the network.
        size: height and width of the images in pixels.
        labels: computes them; see `channels_first.label_maps`.

    Returns:
        uint8 [B, height, width].
    """
    stride, border = source.model.table.stride, source.config.model.upsample_border
    return labels(scores, *size, stride=stride, border=border)
