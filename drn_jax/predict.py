"""Shows what a trained network answers to photographs of your own.

  python -m drn_jax.predict --checkpoint=runs/drn_c_26 photographs/ --output=predictions
  python -m drn_jax.predict --checkpoint=runs/cityscapes a.jpg b.png --output=streets --tile_px=512

Photographs may have any size and kind: JPEG, PNG, TIFF, WebP; turned by EXIF, gray, with a palette,
transparent, CMYK. Folders are searched with all folders below. --output receives

  index.html         a page with all pictures, which needs no other file and no network
  predictions.jsonl  a line for each photograph: name, file, size [height, width], answers, files
  report.json        command, configuration, versions, numbers of photographs

and PNG files. For a classifier: boxes/ (the best class), maps/ (its activation map laid over the
photograph) and levels/ (the strongest feature map of each level); a line has the five best classes
with probabilities and boxes, y0 x0 y1 x1 in pixels of the photograph, upper ends exclusive, or null
where there is none. For segmentation: labels/ (the number of the class in each pixel), colors/ and
overlays/; a line has the share of pixels of each class.

A classifier sees whole photographs: the shorter side as in evaluation, the ratio of the sides
rounded to eighths (at most 8); or squares, where it was trained on whole images made square.
Photographs that the network sees at one size make a batch. Each size is compiled once, which takes
seconds to minutes; --size gives all photographs one size.

Fields of the stored configuration, except those of the network, change with --config.FIELD=VALUE,
for example --config.evaluation.mirror=True.
"""

from drn_jax import commands
from drn_jax.distributed import meshes
from drn_jax.errors import InputError
from drn_jax.prediction import classification, flags, inputs, run, segmentation, trained
from drn_jax.reporting import progress, reports

TASK_FLAGS = {
    'classification': ('rule', 'threshold'),
    'segmentation': ('size', 'short_side', 'tile_px'),
}
BATCH_SIZE = {'classification': 8, 'segmentation': 1}  # for each device


def main(argv):
    """Runs the command with these flags; see the module's text."""
    given, overrides = parse_flags(argv)
    inputs.check_output(given.output, given.overwrite)
    photographs = inputs.find_photographs(given.images, given.output)
    checkpoint = trained.optimized(
        trained.load_trained(given.checkpoint, given.step, overrides), len(photographs)
    )
    predictor = create_predictor(given, checkpoint)
    batch_size = choose_batch_size(given.batch_size, len(photographs), checkpoint)
    output = inputs.make_output(given.output)
    heading = f'{checkpoint.config.model.variant}, step {checkpoint.path.name}'
    progress.say(f'{heading}; photographs: {len(photographs):,}')
    with inputs.writing(output), progress.Progress(len(photographs), what='photograph') as bar:
        summary = run.predict(
            photographs,
            predictor,
            checkpoint.mesh,
            output,
            batch_size=batch_size,
            title=f'Predictions of {heading}',
            notes=[commands.command_line('predict', argv)],
            update=bar.update,
        )
    reports.write_report(
        output,
        command=commands.command_line('predict', argv),
        config=checkpoint.config,
        step=int(checkpoint.path.name),
        published={},
        settings=predictor.settings,
        data={'given': list(given.images), 'images': len(photographs)},
        metrics={'examples': summary.examples, 'unreadable': len(summary.unreadable)},
        unreadable=summary.unreadable,
    )
    tell(summary, output)


def parse_flags(argv):
    """Reads the command line: the flags, and those of the form --config.field=value."""
    parser = commands.Parser('predict', __doc__)
    flags.add_inputs(parser)
    parser.add_argument(
        '--checkpoint',
        required=True,
        metavar='DIR',
        help='working directory of a run, its checkpoint folder or one step',
    )
    parser.add_argument(
        '--step',
        type=int,
        metavar='N',
        help='step of it (default: the best by validation, else the latest)',
    )
    parser.add_argument(
        '--batch_size',
        type=flags.positive,
        metavar='N',
        help='photographs at a time, over all devices (default: for each device\n'
        '8, in segmentation 1)',
    )
    parser.add_argument(
        '--dtype', choices=('float32', 'bfloat16'), help='of activations (default: as in training)'
    )
    parser.add_argument(
        '--rule',
        choices=tuple(classification.RULES),
        help='classifier: boxes surround a high score of the class, scaled to\n'
        '[0, 1] in each photograph (scaled, the default), or a high\n'
        "probability where it is the best class (dominant, the paper's)",
    )
    parser.add_argument(
        '--threshold',
        type=flags.share,
        metavar='T',
        help='classifier: what is high, at least 0 and below 1 (default: that of\n'
        'the configuration, config.evaluation.scaled_threshold or, for\n'
        'dominant, config.evaluation.threshold; if negative, 0.5)',
    )
    flags.add_sizes(parser)
    parser.add_argument(
        '--tile_px',
        type=flags.positive,
        metavar='PX',
        help='segmentation: side of tiles that are computed one by one, with the\n'
        'same result, where photographs do not fit into memory',
    )
    given, overrides = flags.parse(parser, argv)
    if not given.images:
        parser.error('no photograph is given; name image files or folders of them')
    overrides += [f'--config.model.dtype={given.dtype}'] * bool(given.dtype)
    return given, overrides


def create_predictor(given, checkpoint):
    """Returns the predictor that the task of the checkpoint needs.

    Raises:
        InputError: a flag belongs to another task.
    """
    task = checkpoint.model.task
    for other, names in TASK_FLAGS.items():
        unfit = [f'--{name}' for name in names if getattr(given, name) is not None]
        if other != task and unfit:
            raise InputError(
                f'{unfit[0]} is for {other}, but the checkpoint is for {task}; leave it out'
            )
    if task == 'segmentation':
        if given.tile_px:
            checkpoint.config.evaluation.tile_px = given.tile_px
        return segmentation.predictor(checkpoint, size=given.size, short_side=given.short_side)
    return classification.predictor(
        checkpoint, rule=given.rule or 'scaled', threshold=given.threshold
    )


def choose_batch_size(given, photographs, checkpoint):
    """Returns the number of photographs in a batch: the given one, if there is use for as many.

    Raises:
        InputError: the devices do not divide the given one.
    """
    devices = checkpoint.mesh.devices.size
    if given is None:
        given = devices * BATCH_SIZE[checkpoint.model.task]
    meshes.check_batch_size(given, devices, '--batch_size')
    return min(given, devices * -(-photographs // devices))


def tell(summary, output):
    """Says how it went.

    Raises:
        InputError: nothing could be read.
    """
    unreadable = len(summary.unreadable)
    progress.say(f'page: {output / "index.html"}')
    if not summary.examples:
        raise InputError(
            f'no photograph could be read, for example: {next(iter(summary.unreadable.values()))}'
        )
    if unreadable:
        progress.say(
            f'{unreadable} of {summary.examples + unreadable} files could not be read; '
            'the page and report.json name them'
        )


if __name__ == '__main__':
    commands.run(main)
