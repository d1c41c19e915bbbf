"""Predictions of a classifier: classes, where the best one is, and what the levels respond to."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from drn_jax.models import convolutions
from drn_jax.ops import boxes
from drn_jax.pictures import overlays, page
from drn_jax.prediction import maps, outputs, predictors, shapes

BEST = 5  # classes that are named
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


def predictor(trained, *, rule='scaled', threshold=None):
    """Returns the predictor of a classifier.

    The network sees the whole photograph, see `shapes.classifier_size`. Probabilities are the
    softmax of class scores averaged over all places. The box of a class is the tightest one round
    the cells whose response is above the threshold, see `ops.boxes`.

    Args:
        trained: the checkpoint.
        rule: which response: 'scaled', the score of the class scaled to [0, 1] in the image, or
            'dominant', its probability where it is the most probable class (the paper's).
        threshold: in [0, 1); None: `evaluation.scaled_threshold` or `evaluation.threshold` of the
            configuration, or that of `THRESHOLDS` where these are negative.

    Returns:
        A `Predictor`.

    Source: sections 3 and 5.2 and figure 7 of the paper.
    """
    threshold = default_threshold(trained.config, rule) if threshold is None else threshold
    run = jax.jit(
        functools.partial(
            answers, trained.model, trained.config.data, rule=rule, threshold=threshold
        ),
        compiler_options=convolutions.compiler_options(),
    )
    return predictors.Predictor(
        size_of=lambda height, width: shapes.classifier_size(height, width, trained.config.data),
        answers=functools.partial(run, trained.variables),
        write=functools.partial(write, trained.class_names, trained.model.table.stride),
        item=functools.partial(item, rule),
        notes=(
            f'Boxes surround where the response of a class is above {threshold:g}; rule: {rule}.',
            'Of every level, the feature map with the highest average activation '
            'magnitude is shown.',
        ),
        settings={'rule': rule, 'threshold': threshold},
    )


def default_threshold(config, rule):
    """Returns the threshold of a rule that the configuration has, else that of `THRESHOLDS`."""
    settings = config.evaluation
    given = {'scaled': settings.scaled_threshold, 'dominant': settings.threshold}[rule]
    return given if given >= 0 else THRESHOLDS[rule]


def answers(model, data, variables, images, geometry, *, rule, threshold):
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
    row_col_maxima, response, _ = RULES[rule]
    images = maps.normalized(images, data)
    levels = model.apply(variables, images, method='levels')
    scores = model.apply(variables, images, method='class_maps')  # shares the levels' operations
    probabilities, classes = jax.lax.top_k(
        jax.nn.softmax(scores.mean((1, 2))), min(BEST, model.num_classes)
    )
    maxima = row_col_maxima(scores, classes)
    cells, _ = boxes.cell_boxes(*maxima, jnp.array([threshold], jnp.float32))
    return {
        'classes': classes,
        'probabilities': probabilities,
        'boxes': boxes.image_boxes(cells[:, :, 0], model.table.stride, geometry),
        'map': response(scores, classes[:, 0]),
        'levels': {name: maps.strongest(level) for name, level in levels.items()},
    }


def write(class_names, stride, example, answer, output):
    """Writes the pictures of one photograph and gives its line in predictions.jsonl."""
    names = [class_names[place] for place in answer['classes']]
    found = [
        box.round(2).tolist() if box.any() else None for box in answer['boxes'].astype(np.float64)
    ]
    drawn = [] if found[0] is None else [found[0]]
    label = [f'{names[0]}: {percent(answer["probabilities"][0])}'] * len(drawn)
    region = covered(answer['map'].shape, stride, example)
    over = overlays.overlay_heatmap(example.pixels, answer['map'], region=region, low=0.0, high=1.0)
    save = functools.partial(outputs.save, output, example.source.name)
    files = {
        'boxes': save('boxes', overlays.draw_boxes(example.pixels, drawn, label)),
        'map': save('maps', overlays.draw_boxes(over, drawn, label)),
    }
    for name, (level, _) in answer['levels'].items():
        files[name] = save(f'levels/{name}', overlays.heat_map(level))
    return {
        **outputs.record(example),
        'classes': answer['classes'].tolist(),
        'class_names': names,
        'probabilities': [round(float(each), 6) for each in answer['probabilities']],
        'boxes': found,
        'channels': {name: int(channel) for name, (_, channel) in answer['levels'].items()},
        'files': files,
    }


def covered(cells, stride, example):
    """Returns what a map covers of a photograph: y0, x0, y1, x1 in its pixels."""
    scale = np.divide(example.pixels.shape[:2], example.resized.shape[:2])
    return 0.0, 0.0, *(stride * np.array(cells) * scale).tolist()


def item(rule, record, output):
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
        (name, percent(probability))
        for name, probability in zip(record['class_names'], record['probabilities'])
    ]
    return page.Item(outputs.title(record), pictures, lines)


def percent(share):
    """Writes a share in percent.

    Example:
        >>> percent(.98214)
        '98.2 %'
    """
    return f'{100 * share:.1f} %'
