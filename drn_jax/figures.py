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

import ml_collections

from drn_jax import commands
from drn_jax.errors import InputError
from drn_jax.pictures import page
from drn_jax.pictures.photographs import read_photograph
from drn_jax.prediction import activations, figures, flags, inputs, labels, outputs, trained
from drn_jax.reporting import progress, reports

ROWS = 8  # photographs in one file


def main(argv):
    """Runs the command with these flags; see the module's text."""
    given, overrides = parse_flags(argv)
    inputs.check_output(given.output, given.overwrite)
    photographs = inputs.find_photographs(given.images, given.output) if given.images else []
    truth = labels.find_labels(given.labels, photographs) if given.labels else None
    # One photograph at a time needs one device.
    checkpoints = [
        trained.load_trained(path, overrides=['--config.mesh.devices=1', *overrides])
        for path in given.checkpoint
    ]
    numbers = choose_figures(given, checkpoints)
    label = choose_class(given.klass, checkpoints)
    output, unreadable = inputs.make_output(given.output), {}
    drawing = Drawing(given, checkpoints, output, numbers, label, truth)
    with inputs.writing(output), progress.Progress(len(photographs), what='photograph') as bar:
        count = page.write_page(
            output / 'index.html',
            'Figures',
            _items(drawing, photographs, unreadable, bar),
            [commands.command_line('figures', argv)],
        )
    _report(argv, given, checkpoints, output, len(photographs), unreadable)
    progress.say(f'figures: {count - len(unreadable)}', f'page: {output / "index.html"}')
    if photographs and len(unreadable) == len(photographs):
        raise InputError(
            f'no photograph could be read, for example: {next(iter(unreadable.values()))}'
        )
    if unreadable:
        progress.say(
            f'{len(unreadable)} of {len(photographs)} files could not be read; the page '
            'and report.json name them'
        )


def parse_flags(argv):
    """Reads the command line: the flags, and those of the form --config.field=value."""
    parser = commands.Parser('figures', __doc__)
    flags.add_inputs(parser)
    parser.add_argument(
        '--checkpoint',
        action='append',
        default=[],
        metavar='DIR',
        help='working directory of a run, its checkpoint folder or one step;\n'
        'one for each network, in the order to show',
    )
    parser.add_argument(
        '--figure',
        action='append',
        type=int,
        choices=tuple(figures.TITLES),
        help='which; may be given several times (default: all that fit the checkpoints)',
    )
    parser.add_argument(
        '--rule',
        choices=tuple(figures.RESPONSES),
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
    flags.add_sizes(parser)
    given, overrides = flags.parse(parser, argv)
    if bool(given.checkpoint) != bool(given.images):
        parser.error('checkpoints and photographs go together; give both, or --figure=4 alone')
    return given, overrides


def choose_figures(given, checkpoints):
    """Returns the numbers of the figures to draw: those asked for, or all that fit.

    Raises:
        InputError: the checkpoints have different tasks or classes, or a figure or flag does not
            fit them.
    """
    tasks = {checkpoint.model.task for checkpoint in checkpoints}
    if len(tasks) > 1:
        raise InputError(
            'some checkpoints are for classification and some for segmentation; give '
            'those of one task'
        )
    task = tasks.pop() if tasks else ''
    classes = {checkpoint.model.num_classes for checkpoint in checkpoints}
    if len(classes) > 1:
        raise InputError(
            f'the checkpoints have {" and ".join(map(str, sorted(classes)))} classes; '
            'give those trained on one data set'
        )
    fitting = [
        number
        for number, needed in figures.TASKS.items()
        if number == 4 or (task and needed in ('', task))
    ]
    unfit = sorted(set(given.figure or ()) - set(fitting))
    if unfit:
        raise InputError(
            f'--figure={unfit[0]} needs checkpoints for '
            f'{figures.TASKS[unfit[0]] or "either task"}, but '
            f'{f"these are for {task}" if task else "none is given"}'
        )
    for name, needed in {
        'labels': 'segmentation',
        'size': 'segmentation',
        'short_side': 'segmentation',
        'klass': 'classification',
    }.items():
        if getattr(given, name) is not None and task != needed:
            raise InputError(
                f'--{"class" if name == "klass" else name} is for {needed} '
                'checkpoints; leave it out'
            )
    return sorted(set(given.figure or fitting))


def choose_class(name, checkpoints):
    """Returns the number of a class, by its name or number; None for no name.

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
        f'from 0 to {len(names) - 1}'
    )


class Drawing:
    """Draws figures of photographs with some networks.

    Args:
        given: the flags.
        checkpoints: the networks.
        output: the directory.
        numbers: of the figures.
        label: the class of activation maps; None: the likeliest of each photograph.
        truth: {name of photograph: label map}, or None.
    """

    def __init__(self, given, checkpoints, output, numbers, label, truth):
        self.numbers, self._rule, self._label, self._truth = numbers, given.rule, label, truth
        self._checkpoints, self._output, self._part = checkpoints, output, 0
        self._networks = network_names(checkpoints)
        self._viewers = (
            [activations.viewer(each) for each in checkpoints] if {3, 6, 7} & set(numbers) else []
        )
        self._labellers = (
            [
                activations.labeller(each, size=given.size, short_side=given.short_side)
                for each in checkpoints
            ]
            if 8 in numbers
            else []
        )

    def subject(self, source, pixels):
        """Returns what the networks make of a photograph."""
        found = [viewer(pixels) for viewer in self._viewers]
        label = figures.common_class(found) if self._label is None else self._label
        return figures.Subject(source.name, found, label, self._checkpoints[0].class_names[label])

    def scene(self, source, pixels):
        """Returns a photograph and its label maps as pictures, the ground truth last."""
        found = [labeller(pixels) for labeller in self._labellers]
        if self._truth is not None:
            found.append(
                labels.read_labels(
                    self._truth[source.name],
                    pixels.shape[:2],
                    self._checkpoints[0].model.num_classes,
                )
            )
        return figures.scene(pixels, found, self._checkpoints[0].palette)

    def items(self, sources):
        """Returns what the page shows of some photographs, pairs of name and pixels."""
        numbers, first = set(self.numbers), self._checkpoints[0]
        names = f'from top to bottom: {", ".join(source.name for source, _ in sources)}'
        subjects = [self.subject(*source) for source in sources] if numbers & {3, 6, 7} else []
        self._part += 1
        part = f'{self._part:03d}'
        if 3 in numbers:
            yield self.item(
                3,
                part,
                figures.figure_3(subjects, self._networks, self._rule),
                f'{figures.RESPONSES[self._rule][1]}; {names}',
            )
        if 6 in numbers:
            yield self.item(6, part, figures.figure_6(subjects, self._networks), names)
        for subject in subjects if 7 in numbers else ():
            yield self.item(
                7, subject.name, figures.figure_7(subject, self._networks, self._rule), subject.name
            )
        if 8 in numbers:
            columns = [*self._networks, *['ground truth'] * (self._truth is not None)]
            scenes = [self.scene(*source) for source in sources]
            legend = [(name, '', color) for name, color in zip(first.class_names, first.palette)]
            yield self.item(8, part, figures.figure_8(scenes, columns), names, legend)

    def item(self, number, name, pixels, caption, table=()):
        """Writes a figure as PNG and gives what the page shows."""
        file = outputs.save(self._output, name, f'figure_{number}', pixels)
        return page.Item(
            file,
            [page.Picture(caption, pixels, photograph=False, wide=True)],
            table,
            section=figures.TITLES[number],
        )


def _items(drawing, photographs, unreadable, bar):
    """Returns the page's items, a few photographs at a time."""
    numbers = drawing.numbers
    if 4 in numbers:
        pixels, _ = figures.figure_4()
        yield drawing.item(
            4,
            'gridding',
            pixels,
            'A 3 x 3 convolution of dilation 2 makes a grid of a single active pixel.',
        )
    if numbers == [4]:
        return
    for start in range(0, len(photographs), ROWS):
        sources = []
        for source in photographs[start : start + ROWS]:
            try:
                sources.append((source, read_photograph(source.path)))
            except InputError as error:
                unreadable[str(source.path)] = str(error)
                yield page.Item(source.name, [], [('unreadable', str(error))])
            progress.update()
        if sources:
            yield from drawing.items(sources)


def network_names(checkpoints):
    """Names networks: by variant; where two share one by working directory, or by that and step."""
    workdirs = [checkpoint.path.parent.parent.name for checkpoint in checkpoints]
    ways = [
        [checkpoint.config.model.variant for checkpoint in checkpoints],
        workdirs,
        [
            f'{workdir}, step {checkpoint.path.name}'
            for workdir, checkpoint in zip(workdirs, checkpoints)
        ],
    ]
    return next((names for names in ways if len(set(names)) == len(names)), ways[-1])


def _report(argv, given, checkpoints, output, photographs, unreadable):
    """Writes report.json, with the configuration of the first checkpoint and all their paths."""
    reports.write_report(
        output,
        command=commands.command_line('figures', argv),
        published={},
        config=checkpoints[0].config if checkpoints else ml_collections.ConfigDict(),
        checkpoints=[str(checkpoint.path) for checkpoint in checkpoints],
        data={'given': list(given.images), 'images': photographs},
        metrics={'examples': photographs - len(unreadable), 'unreadable': len(unreadable)},
        unreadable=unreadable,
    )


if __name__ == '__main__':
    commands.run(main)
