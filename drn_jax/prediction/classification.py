"""Predictions of a classifier: classes, where the best one is, and what the levels respond to."""

import functools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from drn_jax import flag_types
from drn_jax.models import convolutions
from drn_jax.models.networks import Network
from drn_jax.ops import boxes
from drn_jax.pictures import overlays, page
from drn_jax.prediction import maps, outputs
from drn_jax.prediction.checkpoint import LoadedCheckpoint
from drn_jax.prediction.inputs import Example
from drn_jax.prediction.run import Record, TaskPredictor
from drn_jax.tasks import preprocessing

BATCH_SIZE = 8  # photographs at a time, for each device
BEST = 5  # classes that are named
LONGEST = 8  # times the shorter side: longer strips would fill the memory, and are squeezed
RULES = {
    'scaled': (
        boxes.minmax_row_col_maxima,
        maps.scaled_score,
        'score of {name}, from its lowest to its highest',
    ),
    'dominant': (
        boxes.argmax_row_col_maxima,
        maps.probability,
        'probability of {name} at each place, 0 to 1',
    ),
}
# Used where neither a flag nor the configuration gives one. On digit scenes .45 to .55 is best for
# scaled scores; the best for the dominant class depends on how far the softmax saturates.
THRESHOLDS = {'scaled': 0.5, 'dominant': 0.5}


# The options of `predictor`, with what argparse wants to know of their flags.
FLAGS: dict[str, dict[str, Any]] = {
    'rule': {
        'choices': tuple(RULES),
        'help': 'classifier: boxes surround a high score of the class, scaled to\n'
        '[0, 1] in each photograph (scaled, the default), or a high\n'
        "probability where it is the best class (dominant, the paper's)",
    },
    'threshold': {
        'type': flag_types.fraction,
        'metavar': 'T',
        'help': 'classifier: what is high, at least 0 and below 1 (default: that of\n'
        'the configuration, config.evaluation.scaled_threshold or, for\n'
        'dominant, config.evaluation.threshold; if negative, 0.5)',
    },
}


def predictor(checkpoint: LoadedCheckpoint, options: Mapping[str, Any]) -> TaskPredictor:
    """Makes the predictor of a classifier.

    The network sees the whole photograph, see `whole_size`. Probabilities are the softmax of class
    scores averaged over all places. The box of a class is the tightest one round the cells whose
    response is above the threshold, see `ops.boxes`.

    Args:
        checkpoint: the checkpoint.
        options: values of `FLAGS`, or None. `rule`: which response: 'scaled' (None), the score of
            the class scaled to [0, 1] in the image, or 'dominant', its probability where it is the
            most probable class (the paper's). `threshold`, in [0, 1); None:
            `evaluation.scaled_threshold` or `evaluation.threshold` of the configuration, or that of
            `THRESHOLDS` where these are negative.

    Returns:
        A `TaskPredictor`.

    Source: sections 3 and 5.2 and figure 7 of the paper.
    """
    model, config = checkpoint.model, checkpoint.config
    rule, threshold = options['rule'] or 'scaled', options['threshold']
    threshold = default_threshold(config, rule) if threshold is None else threshold
    run = jax.jit(
        functools.partial(forward, model, config.data, rule=rule, threshold=threshold),
        compiler_options=convolutions.compiler_options(given=config.compiler_options),
    )
    return TaskPredictor(
        size_of=lambda height, width: whole_size(height, width, config.data),
        shape_of=lambda height, width: (height, width),
        forward=lambda images, geometry, _: run(checkpoint.variables, images, geometry),
        answer=functools.partial(answer, checkpoint.class_names, model.table.stride),
        item=functools.partial(item, rule),
        notes=(
            f'Boxes surround where the response of a class is above {threshold:g}; rule: {rule}.',
            'Of every level, the feature map with the highest average activation '
            'magnitude is shown.',
        ),
        settings={'rule': rule, 'threshold': threshold},
        config=config,
    )


def whole_size(height: int, width: int, data: ml_collections.ConfigDict) -> tuple[int, int]:
    """Returns the size at which a classifier sees a whole photograph.

    Where the configuration crops (ImageNet), the shorter side becomes `data.resize_px`, as in
    evaluation, and the longer side resize_px * ratio, the ratio being that of the sides, rounded
    to eighths and at most 8. So there are few shapes to compile for, and a photograph is stretched
    by less than 1/16. Where it does not crop, the photograph becomes a square of `data.image_size`.

    Args:
        height, width: of the photograph in pixels.
        data: `config.data`.

    Returns:
        Height and width in pixels.

    Example:
        >>> from drn_jax import recipes
        >>> data = recipes.classification().data
        >>> whole_size(480, 640, data), whole_size(500, 375, data)
        ((256, 352), (352, 256))
    """
    if not data.crop:
        return data.image_size, data.image_size
    eighths = min(round(8 * max(height, width) / min(height, width)), 8 * LONGEST)
    short, long = data.resize_px, max(data.resize_px * eighths // 8, 1)
    return (short, long) if height <= width else (long, short)


def default_threshold(config: ml_collections.ConfigDict, rule: str) -> float:
    """Returns the threshold of a rule that the configuration has, else that of `THRESHOLDS`."""
    settings = config.evaluation
    given = {'scaled': settings.scaled_threshold, 'dominant': settings.threshold}[rule]
    return given if given >= 0 else THRESHOLDS[rule]


def forward(
    model: Network,
    data: ml_collections.ConfigDict,
    variables: Any,
    images: jax.Array,
    geometry: jax.Array,
    *,
    rule: str,
    threshold: float,
) -> dict[str, Any]:
    """Computes what is shown of a batch.

    Args:
        model: the network.
        data: `config.data`.
        variables: parameters and batch statistics.
        images: [B, h, w, 3], uint8.
        geometry: [B, 6], int32, see `boxes.image_boxes`.
        rule: a key of `RULES`.
        threshold: of responses.

    Returns:
        `classes` int32 [B, K], the best first, K up to 5; `probabilities` [B, K]; `boxes` in pixels
        of the photograph, [B, K, 4], zeros where there is none; `map` [B, h', w'], the response
        to the best class; `levels`, {name: (strongest map, its channel)}.
    """
    maxima, response, _ = RULES[rule]
    images = preprocessing.normalize(images, data.mean, data.std)
    levels, scores = cast(Any, model.apply(variables, images, method='levels_and_class_maps'))
    probabilities, classes = jax.lax.top_k(
        jax.nn.softmax(scores.mean((1, 2))), min(BEST, model.num_classes)
    )
    row_maxima, col_maxima = maxima(scores, classes)
    thresholds = jnp.array([threshold], jnp.float32)
    cells, _ = boxes.cell_boxes(row_maxima, col_maxima, thresholds)
    return {
        'classes': classes,
        'probabilities': probabilities,
        'boxes': boxes.image_boxes(cells[:, :, 0], model.table.stride, geometry),
        'map': response(scores, classes[:, 0]),
        'levels': {name: maps.strongest(level) for name, level in levels.items()},
    }


class Classification(NamedTuple):
    """What a classifier says of a photograph; classes are in order, the most probable first.

    Attributes:
        name: of the photograph.
        pixels: the photograph, [H, W, 3], uint8.
        classes: numbers of up to five classes.
        class_names: their names.
        probabilities: theirs, in [0, 1].
        boxes: theirs, y0 x0 y1 x1 in pixels of the photograph, upper ends exclusive; None where
            there is none.
        response: to the best class, [h, w], float32, in [0, 1].
        region: what the cells of `response` cover of the photograph, as `boxes`.
        levels: {level: (its strongest feature map [h, w], the map's channel)}.
    """

    name: str
    pixels: np.ndarray
    classes: list[int]
    class_names: list[str]
    probabilities: list[float]
    boxes: list[list[float] | None]
    response: np.ndarray
    region: tuple[float, ...]
    levels: dict[str, tuple[np.ndarray, int]]

    @property
    def class_map(self) -> np.ndarray:
        """The response at the photograph's pixels, [H, W], float32: the class activation map."""
        values, inside = overlays.enlarge(
            self.response, self.pixels.shape[0], self.pixels.shape[1], self.region
        )
        return np.where(inside, values, 0)

    def record(self) -> Record:
        """Returns what predictions.jsonl says."""
        return {
            'classes': self.classes,
            'class_names': self.class_names,
            'probabilities': self.probabilities,
            'boxes': self.boxes,
            'channels': {name: int(channel) for name, (_, channel) in self.levels.items()},
        }

    def overlay(self) -> np.ndarray:
        """Draws map and box of the best class over the photograph."""
        return self._with_box(
            overlays.overlay_heatmap(
                self.pixels, self.response, region=self.region, low=0.0, high=1.0
            )
        )

    def _with_box(self, pixels: np.ndarray) -> np.ndarray:
        drawn = [box for box in self.boxes[:1] if box]
        label = [f'{self.class_names[0]}: {outputs.percent(self.probabilities[0])}'] * len(drawn)
        return overlays.draw_boxes(pixels, drawn, label)

    def pictures(self) -> dict[str, tuple[str, np.ndarray]]:
        """Draws the box of the best class, the same over its map, and the levels."""
        return {
            'boxes': ('boxes', self._with_box(self.pixels)),
            'map': ('maps', self.overlay()),
            **{
                name: (f'levels/{name}', overlays.heat_map(level))
                for name, (level, _) in self.levels.items()
            },
        }


def answer(
    class_names: Sequence[str], stride: int, example: Example, row: dict[str, Any]
) -> Classification:
    """Returns what the classifier says of one photograph, from its row of `forward`."""
    return Classification(
        example.source.name,
        example.pixels,
        row['classes'].tolist(),
        [class_names[label] for label in row['classes']],
        [round(float(each), 6) for each in row['probabilities']],
        [box.round(2).tolist() if box.any() else None for box in row['boxes'].astype(np.float64)],
        row['map'],
        covered(row['map'].shape, stride, example),
        row['levels'],
    )


def covered(cells: Sequence[int], stride: int, example: Example) -> tuple[float, ...]:
    """Returns what a map covers of a photograph: y0, x0, y1, x1 in its pixels."""
    scale = np.divide(example.pixels.shape[:2], example.resized.shape[:2])
    return 0.0, 0.0, *(stride * np.array(cells) * scale).tolist()


def item(rule: str, record: Record, output: pathlib.Path) -> page.Item:
    """Returns what the page shows of one photograph."""
    picture = functools.partial(outputs.picture, record, output)
    caption = RULES[rule][2].format(name=record['class_names'][0])
    pictures = [
        picture('boxes', 'photograph' + ('' if record['boxes'][0] else ', no box found')),
        picture('map', caption),
    ]
    pictures += [
        picture(name, f'{name}, channel {channel}', photograph=False)
        for name, channel in record['channels'].items()
    ]
    lines = [
        (name, outputs.percent(probability))
        for name, probability in zip(record['class_names'], record['probabilities'])
    ]
    return page.Item(outputs.title(record), pictures, lines)
