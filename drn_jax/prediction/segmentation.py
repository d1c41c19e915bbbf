"""Predictions of a segmentation network: a class for every pixel."""

import functools
import math
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np
from PIL import Image

from drn_jax import flag_types
from drn_jax.distributed import memory
from drn_jax.errors import InputError
from drn_jax.models import convolutions
from drn_jax.pictures import overlays, page
from drn_jax.prediction import inputs, outputs
from drn_jax.prediction.checkpoint import LoadedCheckpoint
from drn_jax.prediction.inputs import Example
from drn_jax.prediction.run import Record, TaskPredictor
from drn_jax.tasks import preprocessing, segmentation

BATCH_SIZE = 1  # photographs at a time, for each device
OWN_SHAPES = 2  # sizes that are compiled for as they are
# The options of `predictor`, with what argparse wants to know of their flags.
FLAGS: dict[str, dict[str, Any]] = {
    'size': {
        'type': flag_types.height_and_width,
        'metavar': 'HxW',
        'help': 'segmentation: height and width that the network sees (default:\n'
        'those of the photograph)',
    },
    'short_side': {
        'type': flag_types.positive,
        'metavar': 'PX',
        'help': 'segmentation: length of the shorter side that the network sees',
    },
    'tile_px': {
        'type': flag_types.positive,
        'metavar': 'PX',
        'help': 'segmentation: side of tiles that are computed one by one, with the\n'
        'same result, where photographs do not fit into memory',
    },
}


def predictor(checkpoint: LoadedCheckpoint, options: Mapping[str, Any]) -> TaskPredictor:
    """Makes the predictor of a segmentation network.

    Photographs keep their size unless one is asked for; then labels are computed at that size and
    enlarged to the photograph by repeating them. `config.evaluation` gives scales, mirroring and
    tiles.

    Args:
        checkpoint: the checkpoint.
        options: values of `FLAGS`, or None. `size`: height and width that the network sees;
            `short_side`: length of the shorter side that it sees; `tile_px`: in place of
            `evaluation.tile_px`.

    Returns:
        A `TaskPredictor`.

    Raises:
        InputError: both sizes are given, there are more classes than a label map of bytes can
            hold, or tiles do not fit the stride.

    Source: section 5.3 of the paper.
    """
    size, short_side = options['size'], options['short_side']
    if options['tile_px']:
        config = checkpoint.config.copy_and_resolve_references()
        config.evaluation.tile_px = options['tile_px']
        checkpoint = checkpoint._replace(config=config)
    run = _compiled(checkpoint, size, short_side)
    resized = (
        f'Photographs are resized to {size[0]} x {size[1]} (height x width).'
        if size
        else f'The shorter side is resized to {short_side} pixels.'
        if short_side
        else 'The network sees photographs at full size.'
    )
    return TaskPredictor(
        size_of=functools.partial(seen_size, size, short_side),
        shape_of=shapes(checkpoint.config.evaluation),
        forward=lambda images, geometry, filled: run(images, None if filled else geometry[:, 2:4]),
        answer=functools.partial(answer, checkpoint.class_names, checkpoint.palette),
        item=functools.partial(item, dict(zip(checkpoint.class_names, checkpoint.palette))),
        notes=(resized,),
        settings={'size': size, 'short_side': short_side},
        config=checkpoint.config,
    )


def label_fn(
    checkpoint: LoadedCheckpoint, options: Mapping[str, Any]
) -> Callable[[np.ndarray], np.ndarray]:
    """Makes the function that labels one photograph, for figures.

    Args:
        checkpoint: the checkpoint.
        options: `size` and `short_side`, as in `predictor`.

    Returns:
        uint8 [H, W, 3] -> uint8 [H, W], the class of every pixel.

    Raises:
        InputError: as in `predictor`.
    """
    size, short_side = options['size'], options['short_side']
    run = _compiled(checkpoint, size, short_side)

    def label(photograph):
        seen = seen_size(size, short_side, *photograph.shape[:2])
        with memory.explain_out_of_memory(memory.images((1, *seen)), memory.PREDICT):
            found = jax.device_get(run(inputs.resize(photograph, seen)[None], None))
        return full_size(found['labels'][0], photograph.shape)

    return label


def _compiled(checkpoint, size, short_side):
    """Refuses what cannot be computed, before it is compiled; (images, sizes) -> answers."""
    stride, tile_px = checkpoint.model.table.stride, checkpoint.config.evaluation.tile_px
    if size and short_side:
        raise InputError(
            '--size and --short_side exclude each other; give one of them', field='--size'
        )
    if checkpoint.model.num_classes > 255:
        raise InputError(
            f'the network has {checkpoint.model.num_classes} classes, but a label map '
            'holds 255; use one with fewer',
            path=checkpoint.path,
        )
    if tile_px % stride:
        raise InputError(
            f'--tile_px={tile_px} is no multiple of the stride of '
            f'{checkpoint.model.variant}, {stride}; give one, or 0 for whole images',
            field='--tile_px',
        )
    options = convolutions.compiler_options(given=checkpoint.config.compiler_options)
    run = jax.jit(functools.partial(forward, checkpoint), compiler_options=options)
    return functools.partial(run, checkpoint.variables)


def seen_size(
    size: Sequence[int] | None, short_px: int | None, height: int, width: int
) -> tuple[int, int]:
    """Returns the size at which the network sees a photograph.

    Args:
        size: height and width asked for, or None.
        short_px: length of the shorter side asked for, at an unchanged ratio, or None.
        height, width: of the photograph in pixels.

    Example:
        >>> seen_size(None, None, 427, 640), seen_size(None, 256, 427, 640)
        ((427, 640), (256, 384))
    """
    if size:
        return size[0], size[1]
    scale = short_px / min(height, width) if short_px else 1
    return max(round(height * scale), 1), max(round(width * scale), 1)


def shapes(evaluation: ml_collections.ConfigDict) -> Callable[[int, int], tuple[int, int]]:
    """Returns the function that says in which array the network sees an image of a size.

    Shapes are compiled for. So after the first `OWN_SHAPES` sizes, which are shapes as they are, an
    image lies in an array whose sides are rounded up, by less than an eighth: to 8, 9, ... or 15
    times a power of two; or in the smallest of these so far that is at most a third larger than the
    image. With several scales, mirror images or tiles images keep their size.

    Args:
        evaluation: `config.evaluation`.

    Returns:
        (height, width) of an image -> those of its array, in pixels. A size keeps its shape.

    Example:
        >>> from drn_jax import recipes
        >>> shape_of = shapes(recipes.segmentation().evaluation)
        >>> [shape_of(*size) for size in ((480, 640), (427, 640), (333, 500), (480, 640), (7, 9))]
        [(480, 640), (427, 640), (352, 512), (480, 640), (7, 9)]
        >>> shape_of(340, 470), shape_of(250, 400)  # an array that there is; one of its own
        ((352, 512), (256, 416))
    """
    exact = tuple(evaluation.scales) != (1.0,) or evaluation.mirror or evaluation.tile_px
    shape_by_size: dict[tuple[int, int], tuple[int, int]] = {}

    def shape_of(height, width):
        size = height, width
        if not exact and size not in shape_by_size:
            known = list(shape_by_size.values())
            own = len(known) < OWN_SHAPES
            shape_by_size[size] = size if own else _array(height, width, known[OWN_SHAPES:])
        return size if exact else shape_by_size[size]

    return shape_of


def _array(height, width, known):
    """Returns the shape of the array for an image, given those of the arrays so far."""
    fitting = [
        shape
        for shape in known
        if height <= shape[0] and width <= shape[1]
        if 3 * math.prod(shape) <= 4 * height * width
    ]
    return min(fitting, key=math.prod, default=(_rounded(height), _rounded(width)))


def _rounded(length):
    step = 2 ** max(length.bit_length() - 4, 0)
    return -(-length // step) * step


def forward(
    checkpoint: LoadedCheckpoint, variables: Any, images: jax.Array, sizes: jax.Array | None
) -> dict[str, jax.Array]:
    """Computes the class of every pixel: uint8 [B, h, w, 3] -> {'labels': uint8 [B, h, w]}.

    `sizes` are those of the photographs in `images`, see `Network.class_maps`.
    """
    config = checkpoint.config
    return {
        'labels': segmentation.predict(
            checkpoint.model,
            variables,
            {'image': preprocessing.normalize(images, config.data.mean, config.data.std)},
            scales=tuple(config.evaluation.scales),
            mirror=config.evaluation.mirror,
            tile_px=config.evaluation.tile_px,
            border=config.model.upsample_border,
            sizes=sizes,
        )
    }


def full_size(labels: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Enlarges a label map to a photograph by repeating labels.

    Args:
        labels: [h, w], uint8.
        shape: of the photograph; height and width come first.

    Returns:
        [H, W], uint8.
    """
    height, width = shape[:2]
    return np.asarray(Image.fromarray(labels).resize((width, height), Image.Resampling.NEAREST))


class Segmentation(NamedTuple):
    """What a segmentation network says of a photograph.

    Attributes:
        name: of the photograph.
        pixels: the photograph, [H, W, 3], uint8.
        labels: the class of every pixel, [H, W], uint8.
        class_names: of all classes.
        palette: their colors.
    """

    name: str
    pixels: np.ndarray
    labels: np.ndarray
    class_names: Sequence[str]
    palette: Sequence[tuple[int, int, int]]

    @property
    def shares(self) -> dict[str, float]:
        """Fractions of the pixels by class, the largest first; classes without pixels left out."""
        counts = np.bincount(self.labels.ravel(), minlength=len(self.class_names))
        fractions = counts / self.labels.size
        return {
            self.class_names[label]: round(float(fractions[label]), 6)
            for label in np.argsort(-fractions, kind='stable')
            if fractions[label]
        }

    def record(self) -> Record:
        """Returns what predictions.jsonl says."""
        return {'shares': self.shares}

    def overlay(self) -> np.ndarray:
        """Draws the classes over the photograph."""
        return overlays.overlay_labels(self.pixels, self.labels, self.palette)

    def pictures(self) -> dict[str, tuple[str, np.ndarray]]:
        """Draws the classes as numbers, in their colors, and over the photograph."""
        return {
            'labels': ('labels', self.labels),
            'colors': ('colors', overlays.color_labels(self.labels, self.palette)),
            'overlay': ('overlays', self.overlay()),
        }


def answer(
    class_names: Sequence[str],
    palette: Sequence[tuple[int, int, int]],
    example: Example,
    row: dict[str, Any],
) -> Segmentation:
    """Returns what the network says of one photograph, from its row of `forward`."""
    height, width = example.resized.shape[:2]
    labels = full_size(row['labels'][:height, :width], example.pixels.shape)
    return Segmentation(example.source.name, example.pixels, labels, class_names, palette)


def item(colors: Mapping[str, Sequence[int]], record: Record, output: pathlib.Path) -> page.Item:
    """Returns what the page shows of one photograph."""
    picture = functools.partial(outputs.picture, record, output)
    pictures = [
        picture('overlay', 'classes over the photograph'),
        picture('colors', 'classes', photograph=False),
    ]
    return page.Item(
        outputs.title(record),
        pictures,
        [
            (name, outputs.percent(fraction), colors[name])
            for name, fraction in record['shares'].items()
        ],
    )
