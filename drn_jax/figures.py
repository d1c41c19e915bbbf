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
the networks, change with --config.FIELD=VALUE, for all checkpoints.
"""
import ml_collections

from drn_jax import commands, predict
from drn_jax.errors import InputError
from drn_jax.pictures import page
from drn_jax.pictures.photographs import read_photograph
from drn_jax.prediction import figures, inputs, labels, outputs, trained, views
from drn_jax.training import reports

ROWS = 8  # photographs in one file


def main(argv):
    """Runs the command with these flags; see the module's text."""
    given, overrides = parse_flags(argv)
    inputs.check_output(given.output, given.overwrite)
    photographs = inputs.find_photographs(given.images, given.output) if given.images else []
    truth = labels.find_labels(given.labels, photographs) if given.labels else None
    # One photograph at a time needs one device.
    checkpoints = [trained.load_trained(path, overrides=['--config.mesh.devices=1', *overrides])
                   for path in given.checkpoint]
    numbers = choose_figures(given, checkpoints)
    label = choose_class(given.klass, checkpoints)
    output, unreadable = inputs.make_output(given.output), {}
    drawing = Drawing(given, checkpoints, output, numbers, label, truth)
    with reports.Progress(len(photographs), what='photograph') as progress:
        count = page.write_page(
            output / 'index.html', 'Figures', _items(drawing, photographs, unreadable, progress),
            [commands.typed('figures', argv)])
    _report(argv, given, checkpoints, output, len(photographs), unreadable)
    reports.say(f'figures: {count - len(unreadable)}', f'page: {output / "index.html"}')
    if photographs and len(unreadable) == len(photographs):
        raise InputError('no photograph could be read, for example: '
                         f'{next(iter(unreadable.values()))}')
    if unreadable:
        reports.say(f'{len(unreadable)} of {len(photographs)} files could not be read; the page '
                    'and report.json name them')


def parse_flags(argv):
    """Reads the command line: the flags, and those of the form --config.field=value."""
    parser = commands.Parser('figures', __doc__)
    parser.add_argument('images', nargs='*', metavar='IMAGE_OR_FOLDER',
                        help='photographs, and folders of them')
    parser.add_argument('--checkpoint', action='append', default=[], metavar='DIR',
                        help='working directory of a run, its checkpoint folder or one step;\n'
                             'one for each network, in the order to show')
    parser.add_argument('--output', required=True, metavar='DIR', help='where figures go, local')
    parser.add_argument('--overwrite', action='store_true',
                        help='write into a directory that is not empty; files of the same names\n'
                             'are replaced, others stay')
    parser.add_argument('--figure', action='append', type=int, choices=tuple(figures.TITLES),
                        help='which; may be given several times (default: all that fit the '
                             'checkpoints)')
    parser.add_argument('--rule', choices=tuple(figures.RESPONSES), default='dominant',
                        help='what activation maps show: the probability of the class at each\n'
                             'place (dominant, the default and the paper\'s), or its score from\n'
                             'lowest to highest (scaled)')
    parser.add_argument('--class', dest='klass', metavar='NAME',
                        help='class of activation maps, a name or number (default: the likeliest\n'
                             'by the mean over the networks)')
    parser.add_argument('--labels', metavar='PATH',
                        help='figure 8: ground truth, a folder of label maps with the names of\n'
                             'the photographs, or for one photograph a file')
    parser.add_argument('--size', type=predict.height_and_width, metavar='HxW',
                        help='figure 8: height and width that networks see (default: those of\n'
                             'the photograph)')
    parser.add_argument('--short_side', type=predict.positive, metavar='PX',
                        help='figure 8: length of the shorter side that networks see')
    given, rest = parser.parse_known_intermixed_args(argv)
    overrides = [flag for flag in rest if flag.startswith('--config.')]
    unknown = [flag for flag in rest if flag not in overrides]
    if unknown:
        parser.error(f'{" ".join(unknown)} is not understood')
    if given.size and given.short_side:
        parser.error('--size and --short_side exclude each other')
    if bool(given.checkpoint) != bool(given.images):
        parser.error('checkpoints and photographs go together; give both, or --figure=4 alone')
    return given, overrides


def choose_figures(given, checkpoints):
    """Gives the numbers of the figures to draw: those asked for, or all that fit.

    Raises:
        InputError: the checkpoints have different tasks or classes, or a figure or flag does not
            fit them.
    """
    tasks = {checkpoint.model.task for checkpoint in checkpoints}
    if len(tasks) > 1:
        raise InputError('some checkpoints are for classification and some for segmentation; give '
                         'those of one task')
    task = tasks.pop() if tasks else ''
    classes = {checkpoint.model.num_classes for checkpoint in checkpoints}
    if len(classes) > 1:
        raise InputError(f'the checkpoints have {" and ".join(map(str, sorted(classes)))} classes; '
                         'give those trained on one data set')
    fitting = [number for number, needed in figures.TASKS.items()
               if number == 4 or (task and needed in ('', task))]
    unfit = sorted(set(given.figure or ()) - set(fitting))
    if unfit:
        raise InputError(f'--figure={unfit[0]} needs checkpoints for '
                         f'{figures.TASKS[unfit[0]] or "either task"}, but '
                         f'{f"these are for {task}" if task else "none is given"}')
    for name, needed in {'labels': 'segmentation', 'size': 'segmentation',
                         'short_side': 'segmentation', 'klass': 'classification'}.items():
        if getattr(given, name) is not None and task != needed:
            raise InputError(f'--{"class" if name == "klass" else name} is for {needed} '
                             'checkpoints; leave it out')
    return sorted(set(given.figure or fitting))


def choose_class(name, checkpoints):
    """Gives the number of a class, by its name or number; None for no name.

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
    raise InputError(f'--class={name} is unknown; give a name such as {names[0]!r}, or a number '
                     f'from 0 to {len(names) - 1}')


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
        self._checkpoints, self._output = checkpoints, output
        self._networks = network_names(checkpoints)
        self._viewers = [views.viewer(each) for each in checkpoints] if {3, 6, 7} & set(
            numbers) else []
        self._labellers = [views.labeller(each, size=given.size, short_side=given.short_side)
                           for each in checkpoints] if 8 in numbers else []

    def subject(self, source, pixels):
        """Gives what the networks make of a photograph."""
        found = [viewer(pixels) for viewer in self._viewers]
        if not found:
            return figures.Subject(source.name, pixels, [])
        label = figures.common_class(found) if self._label is None else self._label
        return figures.Subject(source.name, pixels, found, label,
                               self._checkpoints[0].class_names[label])

    def scene(self, source, pixels):
        """Gives a photograph with its label maps, the ground truth last."""
        truth = [] if self._truth is None else [labels.read_labels(
            self._truth[source.name], pixels.shape[:2], self._checkpoints[0].model.num_classes)]
        return pixels, [labeller(pixels) for labeller in self._labellers] + truth

    def rows(self, number, subjects, scenes):
        """Draws a figure that has a row for each photograph."""
        if number == 8:
            truth = ['ground truth'] * (self._truth is not None)
            return figures.figure_8(scenes, [*self._networks, *truth],
                                    self._checkpoints[0].palette)
        if number == 6:
            return figures.figure_6(subjects, self._networks)
        return figures.figure_3(subjects, self._networks, self._rule)

    def levels(self, subject):
        """Draws figure 7 of one photograph."""
        return figures.figure_7(subject, self._networks, self._rule)

    def item(self, number, name, pixels, caption):
        """Writes a figure as PNG and gives what the page shows."""
        file = outputs.save(self._output, name, f'figure_{number}', pixels)
        return page.Item(f'{figures.TITLES[number]} ({file})',
                         [page.Picture(caption, pixels, photograph=False, wide=True)])


def _items(drawing, photographs, unreadable, progress):
    """Gives the page's items, a few photographs at a time."""
    numbers = drawing.numbers
    if 4 in numbers:
        pixels, _ = figures.figure_4()
        yield drawing.item(4, 'gridding', pixels, 'A 3 x 3 convolution of dilation 2 makes a grid '
                           'of a single active pixel.')
    if numbers == [4]:
        return
    for start in range(0, len(photographs), ROWS):
        subjects, scenes, names = [], [], []
        for source in photographs[start:start + ROWS]:
            try:
                pixels = read_photograph(source.path)
            except InputError as error:
                unreadable[str(source.path)] = str(error)
                yield page.Item(source.name, [], [('unreadable', str(error))])
                continue
            finally:
                progress.update()
            names.append(source.name)
            subjects.append(drawing.subject(source, pixels))
            scenes.append(drawing.scene(source, pixels))
        for number in numbers if names else ():
            if number in (3, 6, 8):
                yield drawing.item(number, f'{start // ROWS + 1:03d}', drawing.rows(number, subjects, scenes),
                                   f'from top to bottom: {", ".join(names)}')
            elif number == 7:
                for subject in subjects:
                    yield drawing.item(7, subject.name, drawing.levels(subject), subject.name)


def network_names(checkpoints):
    """Names networks by their variants, and where one occurs twice also by the checkpoint's folder.
    """
    names = [checkpoint.config.model.variant for checkpoint in checkpoints]
    return [name if names.count(name) == 1 else f'{name} {checkpoint.path.parent.parent.name}'
            for name, checkpoint in zip(names, checkpoints)]


def _report(argv, given, checkpoints, output, photographs, unreadable):
    """Writes report.json, with the configuration of the first checkpoint and all their paths."""
    reports.write_report(
        output, command=commands.typed('figures', argv), published={},
        config=checkpoints[0].config if checkpoints else ml_collections.ConfigDict(),
        checkpoints=[str(checkpoint.path) for checkpoint in checkpoints],
        data={'given': list(given.images), 'images': photographs},
        metrics={'examples': photographs - len(unreadable), 'unreadable': len(unreadable)},
        unreadable=unreadable)


if __name__ == '__main__':
    commands.run(main)
