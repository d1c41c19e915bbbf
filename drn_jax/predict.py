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
seconds to minutes; in segmentation those of the third size and later lie in arrays that are at most
a third larger, with the same answers, so that few are compiled for (not with several scales, mirror
images or tiles). --size gives all photographs one size.

Fields of the stored configuration, except those of the network, change with --config.FIELD=VALUE,
for example --config.evaluation.mirror=True.
"""

import argparse

from drn_jax import commands, flag_types
from drn_jax.checkpoints import restore
from drn_jax.distributed import meshes
from drn_jax.prediction import inputs, outputs, run
from drn_jax.prediction.predictor import PREDICTORS, Predictor
from drn_jax.reporting import progress, reports

OPTIONS = {
    name: options for module in PREDICTORS.values() for name, options in module.FLAGS.items()
}


def main(argv: list[str]) -> None:
    """Runs the command with these flags; see the module's text."""
    given, overrides = parse_flags(argv)
    output = outputs.check_output(given.output, given.overwrite)
    photographs = inputs.find_photographs(given.images, output)
    options = {name: getattr(given, name) for name in OPTIONS}
    predictor = Predictor(
        given.checkpoint,
        step=given.step,
        overrides=overrides,
        photographs=len(photographs),
        **options,
    )
    checkpoint = predictor.checkpoint
    batch_size = choose_batch_size(given.batch_size, len(photographs), predictor)
    outputs.make_output(output)
    command = commands.command_line('predict', argv)
    heading = f'{checkpoint.model.variant}, {restore.label(checkpoint.path)}'
    progress.say(f'{heading}; photographs: {len(photographs):,}')
    with outputs.writing(output), progress.Progress(len(photographs), what='photograph') as bar:
        summary = run.predict(
            photographs,
            predictor.task,
            checkpoint.mesh,
            output,
            batch_size=batch_size,
            title=f'Predictions of {heading}',
            notes=[command],
            update=bar.update,
        )
    reports.write_report(
        output,
        command=command,
        config=predictor.task.config,
        step=restore.number(checkpoint.path),
        published={},
        settings=predictor.task.settings,
        data={'given': list(given.images), 'images': len(photographs)},
        metrics={'examples': summary.examples, 'unreadable': len(summary.unreadable)},
        unreadable=summary.unreadable,
    )
    progress.say(f'page: {output / "index.html"}')
    outputs.tell_unreadable(summary.examples, summary.unreadable)


def parse_flags(argv: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """Reads the command line: the flags, and those of the form --config.field=value."""
    parser = commands.Parser('predict', __doc__)
    commands.add_photograph_flags(parser)
    commands.add_checkpoint_flags(parser)
    parser.add_argument(
        '--batch_size',
        type=flag_types.positive,
        metavar='N',
        help='photographs at a time, over all devices (default: for each device\n'
        '8, in segmentation 1)',
    )
    commands.add_dtype_flag(parser)
    for name, options in OPTIONS.items():
        parser.add_argument(f'--{name}', **options)
    given, overrides = parser.parse_overridable_args(argv)
    if not given.images:
        parser.error('no photograph is given; name image files or folders of them')
    overrides += [f'--config.model.dtype={given.dtype}'] * bool(given.dtype)
    return given, overrides


def choose_batch_size(given: int | None, photographs: int, predictor: Predictor) -> int:
    """Returns the number of photographs in a batch: the given one, if there is use for as many.

    Raises:
        InputError: the devices do not divide the given one.
    """
    devices = predictor.checkpoint.mesh.devices.size
    if given is None:
        given = devices * predictor.batch_size
    meshes.check_batch_size(given, devices, '--batch_size')
    return min(given, devices * -(-photographs // devices))


if __name__ == '__main__':
    commands.run(main)
