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

Fields of the stored configuration, except those of the network, change with --config.FIELD=VALUE.
"""

import argparse
import pathlib
from collections.abc import Sequence
from typing import Any

from drn_jax import commands, flag_types
from drn_jax.exporting import artifacts, checks, forward, onnx, signatures, stablehlo
from drn_jax.ops import conv
from drn_jax.reporting import progress

FORMS = ('stablehlo', 'onnx')


def main(argv: list[str]) -> None:
    """Runs the command with these flags; see the module's text."""
    given, overrides = parse_flags(argv)
    output = artifacts.check_output(given.output, given.overwrite)
    if given.format == 'onnx':
        for name in onnx.LIBRARIES:  # before the checkpoint is read, which takes longer
            onnx.library(name)
    source = forward.read_source(given.checkpoint, given.step, overrides)
    signature = signatures.make_signature(source.model, given.input, given.answers, given.size)
    card = signatures.make_card(source, signature, given.format, given.platforms)
    with artifacts.writing(output) as partial:
        write(partial, source, signature, card)
        outcomes = [] if given.no_check else checks.check(partial, source, signature)
    tell(given, card, outcomes)


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
        help='StableHLO: algorithm of the 3x3 convolutions (default: native, for\n'
        'any size); phase and winograd, faster on some devices, need --size',
    )
    parser.add_argument('--no_check', action='store_true', help='do not compare the file')
    given, overrides = parser.parse_overridable_args(argv)
    if any(flag.startswith('--config.model.convolution') for flag in overrides):
        parser.error('--config.model.convolution is for training; give --convolution')
    given.format = given.format or FORMS[given.output.lower().endswith('.onnx')]
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
        onnx.write(path, forward.for_onnx(source, signature), signature, card)
    else:
        function = forward.for_stablehlo(source, signature, card['platforms'])
        stablehlo.write(path, function, signature, card)


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
        progress.say(
            f'checked on {outcome.platform}: {what} {outcome.difference:.2g}, allowed '
            f'{outcome.bound:.2g}'
        )
    checked = [outcome.platform for outcome in outcomes]
    if unchecked := [name for name in card['platforms'] if name not in checked]:
        why = 'asked for with --no_check' if given.no_check else 'this machine has none'
        progress.say(f'written for, but not run on: {", ".join(unchecked)} ({why})')
    if given.format == 'stablehlo':
        progress.say(f'read by {stablehlo.readers()}')
    progress.say(f'{given.output}: written; read it with drn_jax.load_exported({given.output!r})')


if __name__ == '__main__':
    commands.run(main)
