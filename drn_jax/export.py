"""Writes a trained network as one file that runs without this package: StableHLO or ONNX.

  python -m drn_jax.export --checkpoint=runs/drn_c_26 --output=drn_c_26.stablehlo
  python -m drn_jax.export --checkpoint=runs/drn_c_26 --output=drn_c_26.onnx --size=224

The file takes raw pixels, uint8 RGB [batch, height, width, 3] (with --input=normalized float32),
and gives `logits`: [batch, classes], or of segmentation [batch, height / 8, width / 8, classes].
Weights and normalization are inside, and a card: variant, task, classes, normalization, names and
shapes of input and output, versions.

StableHLO is for JAX, XLA and what builds on them: any batch, any size unless --size fixes it, on
CPU, CUDA and TPU; drn_jax.load_exported or jax.export reads it, for as long as JAX promises, which
is printed and in the card. ONNX (a name that ends in .onnx)
has any batch and the given size; it needs pip install 'drn_jax[onnx]'.

What was written is read back and must answer random images as the network does; the largest
difference is printed, and where it is above its bound there is no file. Platforms that this machine
lacks are written, not run.

ONNX files in fewer bits, for CPUs int8, are made of the one in float32 and compared with it:

  python -m drn_jax.export --checkpoint=runs/drn_c_26 --output=drn_c_26.onnx --size=224 \\
      --precision=int8 --calibrate=FOLDER --evaluate

FOLDER holds photographs like those that the network will see, 8 at least, of which up to 128 are
used, of 1024 x 2048 pixels 32; `train` in its place is the training images of the checkpoint's data
set. --evaluate measures top-1 error or mean IoU of both on the validation split of that data set,
for the card too. On CPUs with AMX, ONNX Runtime is faster with --runtime=onnxruntime_amx.

Fields of the stored configuration, except those of the network, change with --config.FIELD=VALUE.
"""

import argparse
import math
import pathlib
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np

from drn_jax import commands, experiments, flag_types, processors
from drn_jax.errors import InputError
from drn_jax.exporting import (
    artifacts,
    calibration,
    checks,
    forward,
    losses,
    onnx,
    precisions,
    signatures,
    stablehlo,
)
from drn_jax.ops import conv
from drn_jax.reporting import progress

FORMS = ('stablehlo', 'onnx')
TOLERANCE = 1.0  # points


def main(argv: list[str]) -> None:
    """Runs the command with these flags; see the module's text."""
    given, overrides = parse_flags(argv)
    output = artifacts.check_output(given.output, given.overwrite)
    if given.format == 'onnx':
        # Before the checkpoint is read, which takes longer.
        for name in (*onnx.LIBRARIES, *filter(None, [precisions.LIBRARIES.get(given.precision)])):
            onnx.library(name)
    source = forward.read_source(given.checkpoint, given.step, overrides)
    signature = signatures.make_signature(source.model, given.input, given.answers, given.size)
    card = signatures.make_card(source, signature, given.format, given.platforms)
    experiment = losses.resolve(source, signature) if given.evaluate else None
    images = calibration.read(given.calibrate, source, signature) if given.calibrate else None
    with artifacts.writing(output) as partial:
        if given.precision == 'float32':
            write(partial, source, signature, card)
            outcomes = [] if given.no_check else checks.check(partial, source, signature)
        else:
            outcomes = write_precision(partial, source, signature, card, given, images, experiment)
    tell(given, card, outcomes)
    if given.precision == 'int8' and onnx.lacks_vnni():
        progress.say(
            'this CPU has no instructions for int8 (VNNI): load_exported answers right here, '
            'only slower than where they are'
        )
    elif card.get('runtime') == 'onnxruntime_amx' and processors.lacks(processors.AMX_INT8):
        progress.say(
            'this CPU has no AMX: ONNX Runtime answers right here, only slower than with '
            '--runtime=any'
        )


def parse_flags(argv: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """Reads the command line: the flags, and those of the form --config.field=value."""
    parser = commands.Parser('export', __doc__)
    commands.add_checkpoint_flags(parser)
    parser.add_argument('--output', required=True, metavar='FILE', help='the file, local')
    parser.add_argument('--overwrite', action='store_true', help='replace a file that is there')
    parser.add_argument(
        '--format', choices=FORMS, help='default: onnx where the name ends in .onnx, else stablehlo'
    )
    parser.add_argument(
        '--platforms',
        type=platforms,
        metavar='NAMES',
        help='StableHLO: what it is for, of cpu,cuda,tpu (default: all)',
    )
    parser.add_argument(
        '--size',
        type=flag_types.side_or_size,
        metavar='PX|HxW',
        help='side of square images, or height and width, in pixels (default:\nany; ONNX needs it)',
    )
    parser.add_argument(
        '--input',
        choices=signatures.PIXELS,
        default='uint8',
        help='uint8: raw pixels, which the file normalizes (default);\n'
        'normalized: float32, which the caller normalizes as the card says',
    )
    parser.add_argument(
        '--answers',
        choices=signatures.ANSWERS,
        help='logits (default); class_maps: of a classifier, the scores at every\n'
        'position; labels: of segmentation, the class of every pixel, which\n'
        'needs --size',
    )
    commands.add_dtype_flag(parser, 'as in training; ONNX: float32')
    parser.add_argument(
        '--convolution',
        choices=conv.ALGORITHMS,
        default='native',
        help='StableHLO: algorithm of convolutions (default: native, for any\n'
        'size); the others, faster on some devices, want --size',
    )
    add_precision_flags(parser)
    parser.add_argument('--no_check', action='store_true', help='do not compare the file')
    given, overrides = parser.parse_overridable_args(argv)
    if any(flag.startswith('--config.model.convolution') for flag in overrides):
        parser.error('--config.model.convolution is for training; give --convolution')
    given.format = given.format or FORMS[given.output.lower().endswith('.onnx')]
    check_precision(given, parser)
    if given.format == 'onnx':
        check_onnx(given, parser)
    elif given.convolution != 'native' and given.size is None:
        parser.error(
            f'--convolution={given.convolution} needs a fixed image size; add for example '
            '--size=224 or --size=512x1024'
        )
    else:
        given.platforms = given.platforms or stablehlo.PLATFORMS
    overrides += [f'--config.model.convolution={given.convolution}']
    overrides += [f'--config.model.dtype={given.dtype}'] * bool(given.dtype)
    return given, overrides


def add_precision_flags(parser: commands.Parser) -> None:
    """Adds the flags of ONNX files in fewer bits."""
    parser.add_argument(
        '--precision',
        choices=(*precisions.PRECISIONS, 'bfloat16'),
        default='float32',
        help='ONNX: float32 (default); int8, fast on CPUs, which needs --calibrate;\n'
        'float16, half the size; bfloat16 is refused, as no CPU could check it',
    )
    parser.add_argument(
        '--calibrate',
        metavar='FOLDER|train',
        help='int8: photographs that show which numbers it meets',
    )
    parser.add_argument(
        '--runtime',
        choices=precisions.RUNTIMES,
        help='int8: any (default); onnxruntime_amx for a file that ONNX Runtime\n'
        'computes faster on CPUs with AMX, and all others more slowly',
    )
    parser.add_argument(
        '--evaluate',
        action='store_true',
        help="int8 and float16: measure what is lost, on the data set's validation split",
    )
    parser.add_argument(
        '--tolerance',
        type=tolerance,
        metavar='POINTS',
        help=f'of --evaluate: no file where more is lost (default: {TOLERANCE:g})',
    )


def check_precision(given: argparse.Namespace, parser: commands.Parser) -> None:
    """Refuses flags of precision that do not go together.

    Raises:
        InputError: there are some.
    """
    if given.precision == 'bfloat16':
        parser.error(
            '--precision=bfloat16 is not written, because ONNX Runtime has no convolution in '
            'bfloat16 on CPUs to check it with; give float16, or StableHLO with --dtype=bfloat16'
        )
    if given.precision != 'float32' and given.format != 'onnx':
        parser.error(
            f'--precision={given.precision} is for ONNX; let the name of --output end in .onnx, '
            'or for StableHLO give --dtype=bfloat16'
        )
    if given.precision == 'int8' and not given.calibrate:
        parser.error(
            '--calibrate is missing, and int8 needs to see images; give a folder of photographs, '
            f"or {calibration.TRAIN} for the training images of the checkpoint's data set"
        )
    if given.calibrate is not None and given.precision != 'int8':
        parser.error('--calibrate is for --precision=int8; add that, or leave it out')
    if given.runtime and given.precision != 'int8':
        parser.error(
            f'--runtime={given.runtime} is for --precision=int8; add that, or leave it out'
        )
    if given.evaluate and given.precision == 'float32':
        parser.error(
            '--evaluate is for --precision=int8 or float16; add one, or evaluate the checkpoint '
            'with python -m drn_jax.evaluate'
        )
    if given.tolerance is not None and not given.evaluate:
        parser.error('--tolerance is of what --evaluate measures; add --evaluate')


def check_onnx(given: argparse.Namespace, parser: commands.Parser) -> None:
    """Refuses flags that ONNX cannot follow, and fills in its own.

    Raises:
        InputError: there are some.
    """
    if given.size is None:
        parser.error(
            '--size is missing, and ONNX files have a fixed image size; add for example '
            '--size=224 or --size=512x1024'
        )
    if given.platforms:
        parser.error('--platforms is for StableHLO, ONNX Runtime has its own; leave it out')
    if given.dtype == 'bfloat16':
        parser.error(
            '--dtype=bfloat16 is for StableHLO, ONNX files compute in float32; leave it out'
        )
    if given.convolution != 'native':
        parser.error(
            f'--convolution={given.convolution} is for StableHLO, ONNX Runtime has its '
            'own; leave it out'
        )
    given.platforms, given.dtype = (), 'float32'


def platforms(text: str) -> tuple[str, ...]:
    """Reads names of platforms.

    Example:
        >>> platforms('cpu,tpu')
        ('cpu', 'tpu')
    """
    names = tuple(dict.fromkeys(text.split(',')))
    if unknown := [name for name in names if name not in stablehlo.PLATFORMS]:
        raise argparse.ArgumentTypeError(
            f'{unknown[0]!r} is unknown; known: {", ".join(stablehlo.PLATFORMS)}'
        )
    return names


def tolerance(text: str) -> float:
    """Reads a number of points.

    Example:
        >>> tolerance('0.5')
        0.5
    """
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number <= 100:
        raise argparse.ArgumentTypeError(
            f'{text!r} is given, but it is a number of points, from 0 to 100'
        )
    return number


def write(
    path: pathlib.Path,
    source: forward.ExportSource,
    signature: signatures.Signature,
    card: dict[str, Any],
) -> None:
    """Writes the file in the form that its card names.

    Raises:
        InputError: a library is missing.
    """
    if card['form'] == 'onnx':
        strip = precisions.STRIPS[card.get('runtime', 'any')]
        onnx.write(path, forward.for_onnx(source, signature, strip), signature, card)
    else:
        function = forward.for_stablehlo(source, signature, card['platforms'])
        stablehlo.write(path, function, signature, card)


def write_precision(
    path: pathlib.Path,
    source: forward.ExportSource,
    signature: signatures.Signature,
    card: dict[str, Any],
    given: argparse.Namespace,
    images: np.ndarray | None,
    experiment: experiments.Experiment | None,
) -> list[checks.Outcome]:
    """Writes a file in fewer bits by way of one in float32, which is checked first.

    Args:
        path: the file.
        source: the network.
        signature: what goes in and comes out.
        card: the card, which is completed.
        given: the flags.
        images: to calibrate with, for int8.
        experiment: of `losses.resolve`, to evaluate with; None: nothing is evaluated.

    Returns:
        What the check of both files found.

    Raises:
        InputError: the file answers otherwise, or loses more than --tolerance.
    """
    outcomes = []
    if given.precision == 'int8':
        card['runtime'] = given.runtime or 'any'
    with tempfile.TemporaryDirectory() as folder:
        whole = pathlib.Path(folder) / 'float32.onnx'
        write(whole, source, signature, card)
        if not given.no_check:
            outcomes += checks.check(whole, source, signature)
        card['compute_dtype'] = given.precision
        if images is None:
            precisions.write_float16(path, whole)
        else:
            card['calibration_images'] = len(images)
            batches = list(images[:, None])
            precisions.write_int8(path, whole, card['input']['name'], batches, card['runtime'])
        onnx.write_card(path, card)
        if not given.no_check:
            outcomes += checks.check_precision(path, whole, signature, given.precision, images)
        if experiment:
            files = {'float32': whole, given.precision: path}
            loaded = {name: artifacts.load_exported(file) for name, file in files.items()}
            card['evaluation'] = losses.measure(loaded, source, signature, experiment)
            check_loss(card['evaluation'], given)
            onnx.write_card(path, card)
    return outcomes


def check_loss(measured: dict[str, Any], given: argparse.Namespace) -> None:
    """Refuses a file that loses more than --tolerance.

    Raises:
        InputError: it does.
    """
    allowed = TOLERANCE if given.tolerance is None else given.tolerance
    lost = losses.points(measured, given.precision)
    if not lost <= allowed:
        raise InputError(
            f'{losses.text(measured)}: {lost:.2f} points are lost where --tolerance={allowed:g} '
            'allows less, and the file was not kept; give --calibrate more images or others, '
            'another --precision, or a higher --tolerance',
            field='--tolerance',
        )


def tell(
    given: argparse.Namespace, card: dict[str, Any], outcomes: Sequence[checks.Outcome]
) -> None:
    """Says what was written and how well it answers."""
    entry, answer = card['input'], card['output']
    progress.say(
        f'{card["variant"]}, step {card["step"]}: {entry["name"]} '
        f'{artifacts.text(entry)} -> {answer["name"]} {artifacts.text(answer)}'
    )
    for outcome in outcomes:
        what = (
            'share of other labels'
            if answer['name'] == 'labels'
            else f'answers up to {outcome.largest:.3g}, largest difference'
        )
        same = f'; {100 * outcome.same:.1f} % of the classes are the same'
        same *= bool(outcome.against) and answer['name'] != 'features'
        progress.say(
            f'checked on {outcome.platform}{outcome.against}: {what} {outcome.difference:.2g}, '
            f'allowed {outcome.bound:.2g}{same}'
        )
    if 'evaluation' in card:
        progress.say(losses.text(card['evaluation']))
    checked = [outcome.platform for outcome in outcomes]
    if unchecked := [name for name in card['platforms'] if name not in checked]:
        why = 'asked for with --no_check' if given.no_check else 'this machine has none'
        progress.say(f'written for, but not run on: {", ".join(unchecked)} ({why})')
    if given.format == 'stablehlo':
        progress.say(f'read by {stablehlo.readers()}')
    progress.say(f'{given.output}: written; read it with drn_jax.load_exported({given.output!r})')


if __name__ == '__main__':
    commands.run(main)
