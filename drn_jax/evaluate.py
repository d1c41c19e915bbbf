"""Evaluates a checkpoint on the validation images of its data set.

  python -m drn_jax.evaluate --checkpoint=runs/drn_c_26
  python -m drn_jax.evaluate --checkpoint=runs/drn_c_26 --config.evaluation.crops=10
  python -m drn_jax.evaluate --checkpoint=runs/drn_c_26 --task=localization
  python -m drn_jax.evaluate --checkpoint=runs/cityscapes_drn_c_26 --save=overlays,zip

The configuration is the one stored with the checkpoint. Its fields can be changed with
--config.FIELD=VALUE, except for those of the network. The most used ones are below, with the values
that hold where the checkpoint has no others; --help_fields explains all.

Localization takes boxes from a classifier's class activation maps. It chooses thresholds on images
that it does not evaluate; with --config.evaluation.threshold nothing is chosen, and there is no
centered box. --images and --labels name other images and their label maps, such as generated ones.
"""

import argparse
import dataclasses
import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import ml_collections
from etils import epath

from drn_jax import (
    checkpoints,
    cityscapes,
    commands,
    experiments,
    fields,
    files,
    flag_types,
    paths,
    tasks,
)
from drn_jax.checkpoints import restore
from drn_jax.distributed import memory, meshes
from drn_jax.errors import InputError
from drn_jax.experiments import Experiment
from drn_jax.models import inference
from drn_jax.reporting import progress, reports

SAVED = ('labels', 'colors', 'overlays', 'zip')
# Fields of data and evaluation that name a report's directory, or change no number in it.
_NO_DIGEST = {
    'data': ('name', 'validation_split', 'evaluation_size', 'manual_dir', 'threads', 'palette')
    + ('prepared_dir',),
    'evaluation': ('batch_size', 'every_epochs', 'tile_px', 'crops', 'average', 'maps', 'scales')
    + ('mirror', 'threshold', 'scaled_threshold', 'threshold_split'),
}
MOST_USED = {
    'most used fields': ('evaluation.batch_size', 'data.data_dir', 'data.validation_split'),
    'fields of classification and localization': ('evaluation.crops', 'evaluation.average'),
    'fields of localization': ('evaluation.maps', 'evaluation.threshold', 'data.boxes'),
    'fields of segmentation': ('evaluation.scales', 'evaluation.mirror', 'evaluation.tile_px'),
}


def main(argv: list[str]) -> None:
    """Runs the command with these flags; see the module's text."""
    given, overrides = parse_flags(argv)
    with commands.initialize(given):
        evaluate(given, overrides, commands.command_line('evaluate', argv))


def evaluate(given: argparse.Namespace, overrides: Sequence[str], command: str) -> None:
    """Evaluates a checkpoint and writes what comes out.

    Args:
        given: the flags, as `parse_flags` returns them.
        overrides: flags `--config.field=value`.
        command: what was typed, for the report.

    Raises:
        InputError: the flags, the checkpoint and the data set do not go together.
    """
    checkpoint = checkpoints.open(given.checkpoint, given.step, overrides)
    path, config = checkpoint.path, checkpoint.config
    changes = fields.differences(restore.read_config(path), config, _is_told_by_digest)
    config.task = chosen_task(given.task, config)

    from drn_jax.training import evaluation  # it imports TensorFlow, which takes seconds

    source = given_source(given, config)
    experiment = experiments.resolve(config, source=source, trained=True)
    config, source = experiment.config, experiment.source
    if given.labels:
        changes.append(given.labels)
    output = given.output or default_output(path, config, given.images or source.name, changes)
    if jax.process_index() == 0:
        files.check_directory(output, '--output')
    # The model of the data set's classes: a checkpoint without a classifier is refused.
    checkpoint = checkpoint._replace(model=experiment.task.model)
    variables = checkpoint.read_variables(meshes.replicated(experiment.mesh))
    inference.warn_of_bfloat16(checkpoint.model)
    model, variables = inference.optimize_for_inference(checkpoint.model, variables)
    experiment = dataclasses.replace(experiment, task=tasks.create_task(config, model))
    progress.say(
        f'{config.model.variant}, {restore.label(path)}, on {config.data.validation_split} of '
        f'{source.name}'
    )
    saved = label_files(given.save, output, config)
    with memory.explain_out_of_memory(f'{config.evaluation.batch_size} images', memory.EVALUATE):
        experiment, choice = evaluation.calibrate(experiment, variables)
        with progress.Progress(evaluation.batch_count(experiment), what='batch') as bar:
            result = evaluation.evaluator(experiment, take=saved)(variables, bar)
    if saved:
        saved.close()
    write_results(
        experiment,
        result,
        output,
        command,
        step=checkpoint.step,
        data={
            'name': source.name,
            'split': config.data.validation_split,
            **segmentation_data(given, config),
        },
        **choice,
    )


def write_results(
    experiment: Experiment, result: Any, output: epath.Path, command: str, **more: Any
) -> None:
    """Shows the metrics, and writes report.json and perhaps a confusion matrix.

    Args:
        experiment: what was evaluated.
        result: an `evaluation.Result`.
        output: the directory.
        command: what was typed.
        **more: further entries of the report.
    """
    task, config = experiment.task, experiment.config
    details = task.details(result.counts) if task.details else {}
    remarks = [*experiment.remarks]
    if 'confusion' in details:
        remarks += absent_classes(details['confusion'], config)
    progress.say(
        *[f'warning: {remark}' for remark in remarks],
        reports.table(result.metrics, experiment.published()),
    )
    if without := details.get('gridding_not_applicable'):
        progress.say(
            f'gridding score not applicable (no dilation, or too few cells): {", ".join(without)}'
        )
    if result.unreadable:
        more['unreadable_images'] = result.unreadable
    report = reports.write_report(
        output,
        command=command,
        config=config,
        metrics=result.metrics,
        published=experiment.published(),
        remarks=remarks,
        **details,
        **more,
    )
    write_confusion(output, details, config)
    progress.say(f'report: {report}')


def parse_flags(argv: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """Reads the command line: the flags, and those of the form --config.field=value."""
    parser = commands.Parser('evaluate', __doc__, MOST_USED)
    commands.add_checkpoint_flags(parser)
    parser.add_argument(
        '--task',
        metavar='NAME',
        help="what to evaluate: the checkpoint's own task (default), or, for a\n"
        'classifier, localization',
    )
    parser.add_argument(
        '--output',
        metavar='DIR',
        help='where report.json goes (default: inside the working directory)',
    )
    parser.add_argument(
        '--save',
        default='',
        metavar='KIND,...',
        help='segmentation: also write labels, colors, overlays, or zip, the\n'
        'label ids that the evaluation server of Cityscapes takes',
    )
    parser.add_argument('--images', metavar='DIR', help='segmentation: images of a directory')
    parser.add_argument('--labels', metavar='DIR', help='and their label maps, of equal names')
    parser.add_argument(
        '--size',
        type=flag_types.height_and_width,
        metavar='HxW',
        help='segmentation: images (bilinear, antialiased) and label maps\n'
        '(nearest pixel) are resized to this; default: as they are',
    )
    commands.add_process_flags(parser)
    given, overrides = parser.parse_known_args(argv)
    if (given.images is None) != (given.labels is None):
        parser.error('--images and --labels go together')
    if given.output:
        given.output = paths.directory(given.output, '--output')
    # 'colours' is what it was called before.
    given.save = tuple(filter(None, given.save.replace('colours', 'colors').split(',')))
    if unknown := set(given.save) - set(SAVED):
        parser.error(f'--save={",".join(sorted(unknown))} is unknown; known are {", ".join(SAVED)}')
    return given, overrides


def chosen_task(given: str | None, stored: ml_collections.ConfigDict) -> str:
    """Returns the task to evaluate.

    Args:
        given: --task.
        stored: the configuration of the checkpoint.

    Raises:
        InputError: the network of the checkpoint cannot be evaluated for it.
    """
    possible = tasks.TASKS[stored.task].evaluates
    if (given or stored.task) not in possible:
        raise InputError(
            f'--task={given} cannot be evaluated with a network for {stored.task}; '
            f'possible: {", ".join(possible)}',
            field='--task',
        )
    return given or stored.task


def given_source(given: argparse.Namespace, config: ml_collections.ConfigDict) -> Any:
    """Opens the directories of --images and --labels; None: the data set of the configuration.

    Args:
        given: the flags.
        config: the configuration; --size and the split of these directories are written into it.

    Raises:
        InputError: flags of segmentation are given for another task.
    """
    if tasks.kind_of(config).label_kind != 'maps':
        unfit = [f'--{name}' for name in ('images', 'size', 'save') if getattr(given, name)]
        if unfit:
            raise InputError(
                '--images, --labels, --size and --save are for segmentation; this '
                f'checkpoint is evaluated for {config.task}',
                field=unfit[0],
            )
        return None
    if given.size:
        config.data.evaluation_size = given.size
    if not given.images:
        return None
    config.data.validation_split = 'all'
    for flag, folder in (('--images', given.images), ('--labels', given.labels)):
        files.check_reachable(paths.directory(folder, flag))
    from drn_jax import data
    from drn_jax.pictures import palettes

    # A converted file names no classes.
    named = palettes.of_data(config.data.name, config.model.num_classes)
    config.data.class_names = config.data.class_names or named.names
    config.data.palette = config.data.palette or named.colors
    return data.open_pairs(
        paths.directory(given.images, '--images'),
        paths.directory(given.labels, '--labels'),
        like=(config.data.class_names, config.data.palette),
    )


def default_output(
    path: epath.Path,
    config: ml_collections.ConfigDict,
    source: str,
    changes: Sequence[str] = (),
) -> epath.Path:
    """Names the directory of a report inside the working directory, so that none replaces another.

    Args:
        path: folder of the checkpoint's step.
        config: what is evaluated; the name says how.
        source: name of the data set, or --images.
        changes: what else changes numbers; the name ends in digits of it.
    """
    evaluation = config.evaluation
    if config.task == 'segmentation':
        scales = 'x'.join(f'{scale:g}' for scale in evaluation.scales)
        how = [
            f'scales{scales}' if evaluation.scales != (1.0,) else 'whole',
            *['mirror'] * evaluation.mirror,
            *['x'.join(map(str, config.data.evaluation_size))] * any(config.data.evaluation_size),
        ]
    else:
        how = [
            f'10crops_{evaluation.average}' if evaluation.crops == 10 else '1crop',
            *localization_options(config),
        ]
    label = restore.label(path).replace(' ', '_')
    name = '_'.join([label, source, config.data.validation_split, *how, config.model.dtype])
    plain = re.sub(r'[^\w.-]+', '-', name)
    if changes or plain != name:  # of two splits or directories, the same may be left
        plain += f'_{hashlib.sha256(repr((name, *changes)).encode()).hexdigest()[:8]}'
    return restore.workdir(path) / 'evaluation' / plain


def _is_told_by_digest(field: fields.Field) -> bool:
    """Returns whether the digits that end a report's name stand for a field."""
    section, _, name = field.name.partition('.')
    return section in _NO_DIGEST and name not in _NO_DIGEST[section]


def localization_options(config: ml_collections.ConfigDict) -> list[str]:
    """Names what changes the numbers of localization, so that no report takes another's place.

    Example:
        >>> from drn_jax import recipes
        >>> config = recipes.classification()
        >>> config.task, config.evaluation.threshold = 'localization', .5
        >>> localization_options(config)
        ['localization_crop', 'threshold0.5']
    """
    if config.task != 'localization':
        return []
    evaluation = config.evaluation
    # All digits: the best thresholds lie close to 1.
    given = {name: getattr(evaluation, name) for name in ('threshold', 'scaled_threshold')}
    return [
        f'localization_{evaluation.maps}',
        *[f'{name}{number!r}' for name, number in given.items() if number >= 0],
        *[f'by_{evaluation.threshold_split}'] * bool(evaluation.threshold_split),
    ]


def absent_classes(
    confusion: Sequence[Sequence[int]], config: ml_collections.ConfigDict
) -> list[str]:
    """Says which of the classes that should be evaluated no pixel has: a sentence, or none.

    Args:
        confusion: a row for each class.
        config: what is evaluated.

    Example:
        >>> from drn_jax import recipes
        >>> config = recipes.segmentation()
        >>> config.data.class_names = ('sky', 'sea')
        >>> absent_classes([[5, 1], [0, 0]], config)  # doctest: +NORMALIZE_WHITESPACE
        ['no pixel has the classes sea: the mean IoU leaves them out where none is predicted, and
          else counts 0']
    """
    names = config.data.class_names
    evaluated = config.evaluation.classes or names
    absent = [name for name, row in zip(names, confusion) if name in evaluated and not any(row)]
    consequence = 'the mean IoU leaves them out where none is predicted, and else counts 0'
    return [f'no pixel has the classes {", ".join(absent)}: {consequence}'] * bool(absent)


def segmentation_data(
    given: argparse.Namespace, config: ml_collections.ConfigDict
) -> dict[str, str]:
    """Returns what a report on segmentation says of its images: where they lie, their resizing.

    Example:
        >>> from drn_jax import recipes
        >>> config = recipes.segmentation()
        >>> config.data.evaluation_size = (256, 512)
        >>> given, _ = parse_flags(['--checkpoint=a', '--images=b', '--labels=c'])
        >>> print(segmentation_data(given, config))  # doctest: +NORMALIZE_WHITESPACE
        {'resizing': 'to 256 x 512: images bilinear and antialiased, label maps by nearest pixel',
         'images': 'b', 'labels': 'c'}
    """
    if config.task != 'segmentation':
        return {}
    size = config.data.evaluation_size
    resizing = (
        'none'
        if not any(size)
        else (
            f'to {size[0]} x {size[1]}: images bilinear and antialiased, '
            'label maps by nearest pixel'
        )
    )
    folders = {'images': given.images, 'labels': given.labels} if given.images else {}
    return {'resizing': resizing, **folders}


def label_files(kinds: Sequence[str], output: epath.Path, config: ml_collections.ConfigDict) -> Any:
    """Returns what writes the predicted label maps, a `LabelFiles`; None where nothing does.

    Args:
        kinds: of `SAVED`.
        output: the directory.
        config: uses the names and colors of the classes.

    Raises:
        InputError: there are several processes, each of which sees a part of the images.
    """
    if not kinds:
        return None
    if jax.process_count() > 1:
        raise InputError(
            f'--save={",".join(kinds)} writes the files of all images, for which '
            f'{jax.process_count()} processes are too many; use one',
            field='--save',
        )
    from drn_jax.pictures.label_files import LabelFiles

    ids = (
        cityscapes.LABEL_ID_OF_CLASS
        if (tuple(config.data.class_names) == cityscapes.CLASS_NAMES)
        else None
    )
    return LabelFiles(output, kinds, config.data.palette, ids)


def write_confusion(
    output: epath.Path, details: Mapping[str, Any], config: ml_collections.ConfigDict
) -> None:
    """Writes the confusion matrix, where there is one, as a table and as a picture."""
    if 'confusion' in details and jax.process_index() == 0:
        from drn_jax.pictures import confusion_plot, png_files

        names, matrix = config.data.class_names, details['confusion']
        confusion_plot.write_confusion(output / 'confusion.csv', matrix, names)
        picture = confusion_plot.confusion_picture(matrix, names)
        png_files.write_png(output / 'confusion.png', picture)


if __name__ == '__main__':
    commands.run(main)
