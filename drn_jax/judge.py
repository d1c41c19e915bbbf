"""Judges generated streets: what a network finds in them against what they were made from.

  python -m drn_jax.judge --checkpoint=drn-d-105_ms_cityscapes.pth --images=results/ \\
      --labels=cityscapes/gtFine/val --protocol=gan_compression --output=judged
  python -m drn_jax.judge --checkpoint=drn-d-105_ms_cityscapes.pth --images=ours/ \\
      --compare=theirs/ --labels=cityscapes/gtFine/val --protocol=all --output=judged

Papers on image synthesis run a DRN on generated Cityscapes images and report its mean IoU, by
protocols whose numbers cannot be compared. --protocol names one, or `all` of them side by side:

{protocols}

Images and label maps belong together by name, without what generators and Cityscapes append
(_fake_B, _synthesized_image, _leftImg8bit, _gtFine_labelIds, _trainIds, _labelTrainIds, _color),
or by --table. Label maps hold train ids, label ids or colors; their names or values say which.
--output receives

  index.html           numbers, protocols, the worst and the best images
  report.json          numbers with 95 % intervals over images, confusion matrix, protocol,
                       SHA-256 of the weights, versions
  images_PROTOCOL.csv  a line for each image; a stopped command, given again, goes on after these
  compare_PROTOCOL.csv the same for --compare
"""

import argparse
import pathlib
import sys
import types
from collections.abc import Callable, Sequence
from typing import Any

from drn_jax import commands, files, flag_types, paths
from drn_jax.data.street_labels import KINDS
from drn_jax.errors import InputError, some
from drn_jax.judging import (
    image_records,
    judges,
    protocols,
    scoring,
    verdict_page,
    verdicts,
)
from drn_jax.judging.protocols import Protocol
from drn_jax.judging.scoring import Reading, Street
from drn_jax.judging.verdict_page import Judged
from drn_jax.prediction import outputs
from drn_jax.reporting import progress, reports

VALIDATION_IMAGES = 500  # of Cityscapes, all of which papers judge
SHOWN, SHOWN_OF_SEVERAL = 4, 2  # worst and best images on the page


def main(argv: list[str]) -> None:
    """Runs the command with these flags; see the module's text."""
    given = parse_flags(argv)
    rows, reading = protocols.chosen(given.protocol), Reading(given.resize, given.label_kind)
    sets, remarks = find_sets(given)
    for protocol in rows:
        for streets in sets.values():
            scoring.check_sizes(streets, protocol, reading)
    scoring.read_street(sets['images'][0], rows[0], reading)  # of another kind than is meant?
    output = outputs.check_output(given.output, overwrite=True)
    network, weights = judges.open_network(given.checkpoint, given.step)
    of_rows = [judges.Judge(network, protocol, given.batch_size) for protocol in rows]
    outputs.make_output(output)
    remarks += find_remarks(of_rows, len(sets['images']), reading)
    progress.say(*[f'warning: {remark}' for remark in remarks])
    judged = []
    with outputs.writing(output):
        for judge in of_rows:
            protocol = judge.protocol
            for name, streets in sets.items():
                path = output / f'{name}_{protocol.name}.csv'
                images = judge_set(path, streets, judge, weights, reading)
                verdict = verdicts.judge_counts(protocol, images)
                judged.append(Judged(name, streets, judge, verdict))
        command = commands.command_line('judge', argv)
        write_results(output, judged, given, weights, reading, command, remarks)


def parse_flags(argv: list[str]) -> argparse.Namespace:
    """Reads the command line."""
    text = (__doc__ or '').replace(
        '{protocols}', '\n'.join(map(_line, protocols.PROTOCOLS.values()))
    )
    parser = commands.Parser('judge', text)
    commands.add_checkpoint_flags(parser)
    parser.add_argument('--images', required=True, metavar='DIR', help='generated images')
    parser.add_argument(
        '--labels', required=True, metavar='DIR', help='the label maps that they were made from'
    )
    parser.add_argument(
        '--protocol',
        default='gan_compression',
        metavar='NAME',
        help='how they are judged (default: gan_compression)',
    )
    parser.add_argument('--output', required=True, metavar='DIR', help='where results go, local')
    parser.add_argument(
        '--compare', metavar='DIR', help='other images of the same label maps, and the difference'
    )
    parser.add_argument(
        '--table',
        default='',
        metavar='FILE',
        help='lines NAME LABEL or NAME LABEL IMAGE, LABEL below --labels: the\n'
        'image NAME has this label map',
    )
    parser.add_argument(
        '--label_kind',
        default='',
        choices=('', *KINDS),
        metavar='KIND',
        help=f'what label maps hold, {", ".join(KINDS)} (default: what each\none says)',
    )
    parser.add_argument(
        '--resize',
        action='store_true',
        help="resize images and label maps that have another size than the\nprotocol's; else they "
        'are refused',
    )
    parser.add_argument(
        '--batch_size',
        type=flag_types.positive,
        metavar='N',
        help=f'images at a time, over all devices (default: {judges.BATCH_SIZE} for each)',
    )
    return parser.parse_args(argv)


def _line(protocol: Protocol) -> str:
    """Says in a line what a protocol does."""
    sizes = ' or '.join(f'{h}x{w}' for h, w in protocol.image_sizes) or 'any size'
    height, width = protocol.scored
    return f'  {protocol.name:16}{sizes}, scored at {height}x{width}: {protocol.used_by}'


def find_sets(given: argparse.Namespace) -> tuple[dict[str, list[Street]], list[str]]:
    """Pairs the files of --images, and of --compare, with those of --labels.

    Args:
        given: the flags.

    Returns:
        {'images': pairs, 'compare': pairs}, and sentences on what is left out.

    Raises:
        InputError: files lack others, or the two sets have not the same label maps.
    """
    labels, sets, remarks = paths.directory(given.labels, '--labels'), {}, []
    files.check_reachable(labels)
    for name in ('images', 'compare'):
        if (folder := getattr(given, name)) is not None:
            folder = paths.directory(folder, f'--{name}')
            files.check_reachable(folder)
            sets[name], said = scoring.streets_of(folder, labels, given.table)
            sets[name].sort(key=lambda street: street.label)
            remarks += said
    if len({tuple(street.label for street in streets) for streets in sets.values()}) > 1:
        first, second = ({street.label for street in streets} for streets in sets.values())
        raise InputError(
            f'--images and --compare have not the same label maps; of one only are '
            f'{some(sorted(first ^ second))}; give images of the same label maps',
            field='--compare',
            path=given.compare,
        )
    return sets, list(dict.fromkeys(remarks))


def find_remarks(of_rows: Sequence[judges.Judge], number: int, reading: Reading) -> list[str]:
    """Says what keeps the numbers from being compared with those of papers."""
    rows, variant = [judge.protocol for judge in of_rows], of_rows[0].network.model.variant
    remarks = [
        f'papers that use {row.name} judge by {" or ".join(row.networks)}, not by {variant}'
        for row in rows
        if row.networks and variant not in row.networks
    ]
    if any(judge.own_statistics for judge in of_rows):
        remarks.append(
            'the network was trained with another config.data.mean or std than that of papers, and '
            'sees images by its own'
        )
    if number != VALIDATION_IMAGES:
        remarks.append(
            f'{number} images are judged; papers judge all {VALIDATION_IMAGES} of the validation '
            'set'
        )
    if reading.resize:
        remarks.append('images and label maps of other sizes are resized (--resize)')
    return remarks


def judge_set(
    path: pathlib.Path,
    streets: Sequence[Street],
    judge: judges.Judge,
    weights: judges.Weights,
    reading: Reading,
) -> list[verdicts.ImageCounts]:
    """Judges a set of images, and keeps the results of each in a file, where it goes on.

    Args:
        path: the file.
        streets: the set.
        judge, weights: the network.
        reading: how files are taken.

    Raises:
        InputError: a file cannot be read or written.
    """
    known = image_records.read(path)
    title = f'{judge.protocol.name}, {path.stem.partition("_")[0]}'
    progress.say(f'{title}: {len(streets):,} images')
    with (
        image_records.writing(path, list(known.values())) as records,
        progress.Progress(len(streets), what='image') as bar,
    ):
        images = scoring.score(
            streets, judge, weights, reading, known=known, add=records.add, update=bar.update
        )
    image_records.write(path, images)
    return images


def write_results(
    output: pathlib.Path,
    judged: Sequence[Judged],
    given: argparse.Namespace,
    weights: judges.Weights,
    reading: Reading,
    command: str,
    remarks: Sequence[str],
) -> None:
    """Prints the table and writes report.json and the page.

    Args:
        output: the directory.
        judged: every set under every protocol.
        given: the flags.
        weights: of the network.
        reading: how files were taken.
        command: what was typed.
        remarks: what was warned of.
    """
    network = judged[0].judge.network
    names = list(dict.fromkeys(each.verdict.protocol.name for each in judged))
    several, differences = len(names) > 1, {}
    for name in names if given.compare else ():
        first, second = (each.verdict for each in judged if each.verdict.protocol.name == name)
        differences[name] = verdicts.compare(first, second)

    def of_sets(value: Callable[[verdicts.Verdict], Any]) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for each in judged:
            found.setdefault(each.name, {})[each.verdict.protocol.name] = value(each.verdict)
        return found

    for title, table in verdict_page.tables(judged, differences).items():
        progress.say(f'\n{title}', _laid_out(table))
    progress.say(
        '\nas papers report it:',
        *[
            f'  {each.name}, {each.verdict.protocol.name}: {verdict_page.reported(each.verdict)}'
            for each in judged
        ],
    )
    report = reports.write_report(
        output,
        command=command,
        config=network.config,
        metrics={
            _head(each, several) + name: number
            for each in judged
            for name, number in each.verdict.metrics.items()
        },
        published={},
        data={
            'images': given.images,
            'labels': given.labels,
            **({'compare': given.compare} if given.compare else {}),
            'resize': reading.resize,
            'label_kind': reading.label_kind,
        },
        numbers=of_sets(lambda verdict: verdict.numbers),
        intervals=of_sets(lambda verdict: verdict.intervals),
        differences=differences,
        confusion=of_sets(lambda verdict: verdict.confusion.tolist()),
        protocols=[protocols.PROTOCOLS[name].describe() for name in names],
        network={'variant': network.model.variant, 'width': network.model.width},
        weights=weights._asdict(),
        remarks=list(remarks),
    )
    notes = [
        command,
        f'{network.model.variant}; weights: SHA-256 {weights.sha256} of {weights.of}',
        f'{len(judged[0].streets):,} images; '
        + ', '.join(f'{name} {version}' for name, version in reports.versions().items()),
        *remarks,
    ]
    page = output / 'index.html'
    shown = SHOWN if len(judged) == 1 else SHOWN_OF_SEVERAL
    verdict_page.write(page, judged, reading, notes, shown, differences)
    progress.say(f'report: {report}', f'page: {page}')


def _head(judged: Judged, several: bool) -> str:
    """Returns what the names of metrics in a report begin with."""
    protocol, name = judged.verdict.protocol.name, judged.name
    return f'{protocol}/' * several + f'{name}/' * (name != 'images')


def _laid_out(table: verdict_page.Table) -> str:
    """Writes a table as text."""
    first = max(len(name) for name, _ in table)
    wide = [max(map(len, column)) for column in zip(*(cells for _, cells in table))]
    return '\n'.join(
        f'{name:{first}}' + ''.join(f'{cell:>{width + 2}}' for cell, width in zip(cells, wide))
        for name, cells in table
    )


class _Callable(types.ModuleType):
    """The module of the command, which is the function of the same name as well."""

    __call__ = staticmethod(scoring.judge)


sys.modules[__name__].__class__ = _Callable

if __name__ == '__main__':
    commands.run(main)
