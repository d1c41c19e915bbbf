"""What a file in fewer bits loses on labelled images."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import ml_collections
import numpy as np

from drn_jax import experiments
from drn_jax.errors import InputError
from drn_jax.exporting import artifacts, calibration, forward, precisions
from drn_jax.exporting.signatures import Signature
from drn_jax.reporting import progress

METRICS = {'classification': 'top1_error', 'segmentation': 'mean_iou'}
BATCH = 8


def resolve(source: forward.ExportSource, signature: Signature) -> experiments.Experiment:
    """Opens the data set of a checkpoint, to be evaluated at the size of a file.

    Args:
        source: the checkpoint.
        signature: what goes in and comes out; it has a size.

    Raises:
        InputError: there is no such data, or the file has another size or other answers.
    """
    config = ml_collections.ConfigDict(source.config.to_dict())
    config.evaluation.batch_size = BATCH
    if signature.answers == 'features':
        raise InputError(
            '--evaluate needs a classifier, but the checkpoint has none; leave it out',
            field='--evaluate',
        )
    if source.model.task == 'segmentation':
        config.data.evaluation_size = signature.size
    elif signature.size != (config.data.image_size,) * 2:
        raise InputError(
            '--evaluate takes images as the checkpoint is evaluated, of config.data.image_size '
            f'{config.data.image_size}; give --size={config.data.image_size}, or change both',
            field='--size',
        )
    else:
        config.evaluation.crops = 1
    return calibration.resolve(config)


def measure(
    files: Mapping[str, artifacts.Artifact],
    source: forward.ExportSource,
    signature: Signature,
    experiment: experiments.Experiment,
) -> dict[str, Any]:
    """Evaluates files on the validation split of the checkpoint's data set.

    Args:
        files: by precision.
        source: the checkpoint.
        signature: what goes in and comes out.
        experiment: as `resolve` gives it.

    Returns:
        A dict for the card: `data`, `split`, `images`, how many; `metric`, its name; and its value
        for every one of `files`, a fraction.

    Raises:
        InputError: too many images cannot be read, or none has a label.
    """
    from drn_jax import data  # it imports TensorFlow, which takes seconds
    from drn_jax.training import evaluation

    config, task = experiment.config, experiment.task
    batches = data.evaluation_batches(experiment.source, config.data, batch_size=BATCH)
    for remark in experiment.remarks:
        progress.say(f'warning: {remark}')
    counts: dict[str, list[Any]] = {name: [] for name in files}
    with progress.Progress(evaluation.batch_count(experiment), what='batch') as bar:
        for batch in bar(batches):
            images = calibration.prepare(batch['image'], source, signature)
            for name, file in files.items():
                predictions = _predictions(file(images), source, signature)
                counts[name].append(task.counts(predictions, batch))
    found = {name: task.report(evaluation.sum_counts(each)) for name, each in counts.items()}
    metric = METRICS[source.model.task]
    examples = {metrics['examples'] for metrics in found.values()}.pop()
    if not examples or any(metric not in metrics for metrics in found.values()):
        raise InputError(
            f'--evaluate needs labels, but split {config.data.validation_split!r} of '
            f'{experiment.source.name} has none; give another config.data.validation_split',
            field='config.data.validation_split',
        )
    return {
        'data': experiment.source.name,
        'split': config.data.validation_split,
        'images': examples,
        'metric': metric,
        **{name: metrics[metric] for name, metrics in found.items()},
    }


def points(measured: Mapping[str, Any], precision: str) -> float:
    """Returns how much worse a file is than that in float32, in points.

    Example:
        >>> points({'metric': 'mean_iou', 'float32': 0.5, 'int8': 0.48}, 'int8')
        2.0
    """
    more = 100 * (measured[precision] - measured['float32'])
    return round(-more if measured['metric'] == 'mean_iou' else more, 6)


def text(measured: Mapping[str, Any]) -> str:
    """Says what was measured.

    Example:
        >>> text({'data': 'folder', 'split': 'validation', 'images': 50, 'metric': 'top1_error',
        ...       'float32': 0.25, 'int8': 0.26})
        'top1_error on 50 images of folder, validation: float32 25.00 %, int8 26.00 %'
    """
    *of, images, metric = (measured[name] for name in ('data', 'split', 'images', 'metric'))
    found = [
        f'{name} {100 * number:.2f} %'
        for name, number in measured.items()
        if name in precisions.PRECISIONS
    ]
    return f'{metric} on {images} images of {", ".join(of)}: {", ".join(found)}'


def _predictions(answers: np.ndarray, source: forward.ExportSource, signature: Signature) -> Any:
    """Makes what `Task.counts` takes of a file's answers."""
    if signature.answers == 'labels':
        return answers
    if source.model.task == 'segmentation':
        assert signature.size
        return forward.label_maps(jnp.asarray(answers), source, signature.size)
    return {'1crop': answers.mean((1, 2)) if signature.answers == 'class_maps' else answers}
