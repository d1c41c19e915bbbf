"""Predictions of a segmentation network: a class for every pixel."""

import functools

import jax
import numpy as np
from PIL import Image

from drn_jax.errors import InputError
from drn_jax.models import convolutions
from drn_jax.pictures import overlays, page
from drn_jax.prediction import maps, outputs, predictors, shapes
from drn_jax.prediction.classification import percent
from drn_jax.tasks import segmentation


def predictor(trained, *, size=None, short_side=None):
    """Returns the predictor of a segmentation network.

    Photographs keep their size unless one is asked for; then labels are computed at that size and
    enlarged to the photograph by repeating them. `config.evaluation` gives scales, mirroring and
    tiles.

    Args:
        trained: the checkpoint.
        size: height and width that the network sees, or None.
        short_side: length of the shorter side that it sees, or None.

    Returns:
        A `Predictor`.

    Raises:
        InputError: there are more classes than a label map of bytes can hold, or tiles do not fit
            the stride.

    Source: section 5.3 of the paper.
    """
    check(trained)
    run = jax.jit(
        functools.partial(answers, trained), compiler_options=convolutions.compiler_options()
    )
    resized = (
        f'Photographs are resized to {size[0]} x {size[1]} (height x width).'
        if size
        else f'The shorter side is resized to {short_side} pixels.'
        if short_side
        else 'The network sees photographs at full size.'
    )
    return predictors.Predictor(
        size_of=functools.partial(seen_size, size, short_side),
        answers=lambda images, geometry: run(trained.variables, images),
        write=functools.partial(write, trained.class_names, trained.palette),
        item=functools.partial(item, dict(zip(trained.class_names, trained.palette))),
        notes=(resized,),
        settings={'size': size, 'short_side': short_side},
    )


def check(trained):
    """Refuses what cannot be computed, before it is compiled.

    Raises:
        InputError: see `predictor`.
    """
    stride, tile_px = trained.model.table.stride, trained.config.evaluation.tile_px
    if trained.model.num_classes > 255:
        raise InputError(
            f'the network has {trained.model.num_classes} classes, but a label map '
            'holds 255; use one with fewer'
        )
    if tile_px % stride:
        raise InputError(
            f'--tile_px={tile_px} is no multiple of the stride of '
            f'{trained.model.variant}, {stride}; give one, or 0 for whole images'
        )


def seen_size(size, short_side, height, width):
    """Returns the size at which the network sees a photograph."""
    if size:
        return tuple(size)
    return shapes.short_side_size(height, width, short_side) if short_side else (height, width)


def answers(trained, variables, images):
    """Returns every pixel its class: uint8 [B, h, w, 3] -> {'labels': uint8 [B, h, w]}."""
    settings = trained.config.evaluation
    return {
        'labels': segmentation.predict(
            trained.model,
            variables,
            {'image': maps.normalized(images, trained.config.data)},
            scales=tuple(settings.scales),
            mirror=settings.mirror,
            tile_px=settings.tile_px,
            border=trained.config.model.upsample_border,
        )
    }


def full_size(labels, shape):
    """Enlarges a label map to a photograph by repeating labels.

    Args:
        labels: [h, w], uint8.
        shape: of the photograph; height and width come first.

    Returns:
        [H, W], uint8.
    """
    height, width = shape[:2]
    return np.asarray(Image.fromarray(labels).resize((width, height), Image.Resampling.NEAREST))


def write(class_names, palette, example, answer, output):
    """Writes the pictures of one photograph and gives its line in predictions.jsonl."""
    labels = full_size(answer['labels'], example.pixels.shape)
    save = functools.partial(outputs.save, output, example.source.name)
    shares = np.bincount(labels.ravel(), minlength=len(class_names)) / labels.size
    return {
        **outputs.record(example),
        'shares': {
            class_names[place]: round(float(shares[place]), 6)
            for place in np.argsort(-shares, kind='stable')
            if shares[place]
        },
        'files': {
            'labels': save('labels', labels),
            'colors': save('colors', overlays.color_labels(labels, palette)),
            'overlay': save('overlays', overlays.lay_labels_over(example.pixels, labels, palette)),
        },
    }


def item(colors, record, output):
    """Returns what the page shows of one photograph."""
    picture = functools.partial(outputs.picture, record, output)
    pictures = [
        picture('overlay', 'classes over the photograph'),
        picture('colors', 'classes', photograph=False),
    ]
    return page.Item(
        outputs.title(record),
        pictures,
        [(name, percent(share), colors[name]) for name, share in record['shares'].items()],
    )
