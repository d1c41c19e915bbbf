"""Draws the figures of the paper with trained networks and photographs of your own.

  python -m drn_jax.figures --checkpoint=runs/resnet_18 --checkpoint=runs/drn_a_18 \\
      --checkpoint=runs/drn_c_26 a.jpg b.jpg --output=figures
  python -m drn_jax.figures --checkpoint=runs/a --checkpoint=runs/b street/ --labels=truth/ \\
      --output=figures
  python -m drn_jax.figures --figure=4 --output=figures

  3  activation maps of several classifiers side by side, for the class that they find likeliest
     together
  4  what a dilated convolution makes of a single pixel; it needs no checkpoint
  6  what enters the first convolution of level 3: in DRN-A and ResNet the pooled stem, else level 2
  7  of every level, the feature map with the highest average activation magnitude
  8  label maps of several segmentation networks side by side, and the ground truth

--output receives the figures as PNG, index.html, a page that shows them and needs no other file,
and report.json. Figures 3, 6 and 8 have a row for each photograph, and go on in another file after
eight; figure 7 is a file for each photograph. Fields of the stored configurations, except those of
the networks, change with --config.FIELD=VALUE, for all checkpoints, for example
--config.evaluation.tile_px=512 for photographs that do not fit into memory.
"""

import argparse
from collections.abc import Sequence

import ml_collections

from drn_jax import commands
from drn_jax.errors import InputError
from drn_jax.pictures import page
from drn_jax.prediction import drawings, inputs, outputs, segmentation
from drn_jax.prediction.checkpoint import LoadedCheckpoint, load_checkpoint
from drn_jax.reporting import progress, reports

SIZES = ('size', 'short_side')  # flags of segmentation that figure 8 follows


def main(argv: list[str]) -> None:
    """Runs the command with these flags; see the module's text."""
    given, overrides = parse_flags(argv)
    output = outputs.check_output(given.output, given.overwrite)
    photographs = inputs.find_photographs(given.images, output) if given.images else []
    truth = inputs.find_labels(given.labels, photographs) if given.labels else None
    # One photograph at a time needs one device.
    checkpoints = [
        load_checkpoint(path, overrides=['--config.mesh.devices=1', *overrides])
        for path in given.checkpoint
    ]
    drawing = drawings.Drawing(
        checkpoints,
        output,
        choose_figures(given, checkpoints),
        rule=given.rule,
        label=choose_class(given.klass, checkpoints),
        truth=truth,
        options={name: getattr(given, name) for name in SIZES},
    )
    outputs.make_output(output)
    with outputs.writing(output), progress.Progress(len(photographs), what='photograph') as bar:
        count = page.write_page(
            output / 'index.html',
            'Figures',
            drawing.items(photographs, bar.update),
            [commands.command_line('figures', argv)],
        )
    unreadable = drawing.unreadable
    examples = len(photographs) - len(unreadable)
    reports.write_report(
        output,
        command=commands.command_line('figures', argv),
        published={},
        config=checkpoints[0].config if checkpoints else ml_collections.ConfigDict(),
        checkpoints=[str(checkpoint.path) for checkpoint in checkpoints],
        data={'given': list(given.images), 'images': len(photographs)},
        metrics={'examples': examples, 'unreadable': len(unreadable)},
        unreadable=unreadable,
    )
    progress.say(f'figures: {count - len(unreadable)}', f'page: {output / "index.html"}')
    outputs.tell_unreadable(examples, unreadable)


def parse_flags(argv: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """Reads the command line: the flags, and those of the form --config.field=value."""
    parser = commands.Parser('figures', __doc__)
    commands.add_photograph_flags(parser)
    parser.add_argument(
        '--checkpoint',
        action='append',
        default=[],
        metavar='DIR',
        help='working directory of a run, its checkpoint folder or one step, pretrained:NAME\n'
        'and the like; one for each network, in the order to show',
    )
    commands.add_offline_flag(parser)
    parser.add_argument(
        '--figure',
        action='append',
        type=int,
        choices=tuple(drawings.TITLES),
        help='which; may be given several times (default: all that fit the checkpoints)',
    )
    parser.add_argument(
        '--rule',
        choices=tuple(drawings.RESPONSES),
        default='dominant',
        help='what activation maps show: the probability of the class at each\n'
        "place (dominant, the default and the paper's), or its score from\n"
        'lowest to highest (scaled)',
    )
    parser.add_argument(
        '--class',
        dest='klass',
        metavar='NAME',
        help='class of activation maps, a name or number (default: the likeliest\n'
        'by the mean over the networks)',
    )
    parser.add_argument(
        '--labels',
        metavar='PATH',
        help='figure 8: ground truth, a folder of label maps with the names of\n'
        'the photographs, or for one photograph a file',
    )
    for name in SIZES:
        parser.add_argument(f'--{name}', **segmentation.FLAGS[name])
    given, overrides = parser.parse_overridable_args(argv)
    if bool(given.checkpoint) != bool(given.images):
        parser.error('checkpoints and photographs go together; give both, or --figure=4 alone')
    return given, overrides


def choose_figures(given: argparse.Namespace, checkpoints: Sequence[LoadedCheckpoint]) -> list[int]:
    """Chooses the numbers of the figures to draw: those asked for, or all that fit.

    Raises:
        InputError: the checkpoints have different tasks or classes, or a figure or flag does not
            fit them.
    """
    tasks = {checkpoint.model.task for checkpoint in checkpoints}
    if len(tasks) > 1:
        raise InputError(
            'some checkpoints are for classification and some for segmentation; give '
            'those of one task',
            field='--checkpoint',
        )
    task = tasks.pop() if tasks else ''
    classes = {checkpoint.model.num_classes for checkpoint in checkpoints}
    if len(classes) > 1:
        raise InputError(
            f'the checkpoints have {" and ".join(map(str, sorted(classes)))} classes; '
            'give those trained on one data set',
            field='--checkpoint',
        )
    named = [checkpoint for checkpoint in checkpoints if checkpoint.config.data.class_names]
    for other in named[1:]:
        if other.class_names != named[0].class_names:
            ours, theirs = next(
                pair for pair in zip(named[0].class_names, other.class_names) if len(set(pair)) > 1
            )
            raise InputError(
                f'what is class {ours} to {named[0].path} is {theirs} to {other.path}; give '
                'checkpoints trained on one data set',
                field='--checkpoint',
            )
    fitting = [
        number
        for number, needed in drawings.TASKS.items()
        if number == 4 or (task and needed in ('', task))
    ]
    unfit = sorted(set(given.figure or ()) - set(fitting))
    if unfit:
        raise InputError(
            f'--figure={unfit[0]} needs checkpoints for '
            f'{drawings.TASKS[unfit[0]] or "either task"}, but '
            f'{f"these are for {task}" if task else "none is given"}',
            field='--figure',
        )
    for name, needed in {
        'labels': 'segmentation',
        'size': 'segmentation',
        'short_side': 'segmentation',
        'klass': 'classification',
    }.items():
        if getattr(given, name) is not None and task != needed:
            flag = '--class' if name == 'klass' else f'--{name}'
            raise InputError(f'{flag} is for {needed} checkpoints; leave it out', field=flag)
    return sorted(set(given.figure or fitting))


def choose_class(name: str | None, checkpoints: Sequence[LoadedCheckpoint]) -> int | None:
    """Looks up the number of a class, by its name or number; None for no name.

    Raises:
        InputError: there is no such class.
    """
    if name is None:
        return None
    names = checkpoints[0].class_names
    if name in names:
        return names.index(name)
    if name.isdecimal() and int(name) < len(names):
        return int(name)
    raise InputError(
        f'--class={name} is unknown; give a name such as {names[0]!r}, or a number '
        f'from 0 to {len(names) - 1}',
        field='--class',
    )


if __name__ == '__main__':
    commands.run(main)
