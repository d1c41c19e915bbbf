"""Inspects a data set for segmentation before anything is trained on it.

  python -m drn_jax.check_data --data_dir=DIR
  python -m drn_jax.check_data --config=configs/camvid_drn_c_26.py --config.data.data_dir=DIR

DIR of your own data holds info.json, {"classes": [...], "mean": [r, g, b], "std": [r, g, b]}, and
either lists of files, one relative path a line (train_images.txt, train_labels.txt, val_images.txt,
val_labels.txt), or folders (images/train, labels/train, images/val, labels/val), or train.txt and
val.txt with two paths a line. Label maps have 8 bits, best as PNG, with a class in every pixel,
counted from 0, or 255 for none. These files are
read as they are, before anything is built of them; other data sets are prepared first.

Shows how often every class occurs, the sizes of images, their mean and standard deviation, and by
file what cannot be used: images that lack label maps or differ from them in size, label maps of 16
bits or of colors, values out of range, masks of 0 and 255, label ids taken for train ids. Ends with
exit status 1 where something would spoil training.
"""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

import ml_collections

from drn_jax import commands, paths
from drn_jax.data import dataset_info
from drn_jax.errors import InputError
from drn_jax.overrides import override
from drn_jax.reporting import progress, reports

_SHOWN = 20  # problems printed; report.json holds all


def main(argv: list[str]) -> None:
    """Runs the command with these flags; see the module's text."""
    parser = commands.Parser('check_data', __doc__)
    parser.add_argument('--config', metavar='FILE', help='configuration whose data set to inspect')
    parser.add_argument(
        '--data_dir', metavar='DIR', help='directory of your own data, in place of a configuration'
    )
    parser.add_argument(
        '--split',
        metavar='NAMES',
        help='which splits, with commas between them (default: all but test)',
    )
    parser.add_argument('--output', metavar='DIR', help='where report.json goes (default: nowhere)')
    given, overrides = parser.parse_known_args(argv)
    if given.output:
        given.output = paths.directory(given.output, '--output')
    config = configuration(given, overrides)
    own = config.data.name in dataset_info.OWN
    inspect = inspect_own if own else inspect_prepared
    class_names, surveys, problems, remarks = inspect(config.data, given.split)
    splits = {split: summary(survey, class_names) for split, survey in surveys.items()}
    for split, survey in surveys.items():
        progress.say('', *table(split, splits[split]))
        problems += [f'{split}: {problem}' for problem in survey.problems]
        if not survey.problems and not sum(splits[split]['pixels'].values()):
            problems.append(f'{split}: no pixel has a class')
        absent = survey.absent_classes(class_names)
        remarks += [f'{split}: no pixel has the classes {", ".join(absent)}'] if absent else []
    if not problems:
        problems += useless(config.data.name, class_names, surveys)
    told = [f'remark: {remark}' for remark in remarks]
    progress.say('', *told, *[f'problem: {problem}' for problem in problems[:_SHOWN]])
    if given.output:
        report = reports.write_report(
            given.output,
            command=commands.command_line('check_data', argv),
            config=config,
            metrics={},
            published={},
            data={'name': config.data.name, 'splits': splits},
            problems=problems,
            remarks=remarks,
        )
        progress.say(f'report: {report}')
    if problems:
        more = f' (the first {_SHOWN} are listed, all are in report.json where --output is given)'
        number = f'{len(problems)} problems' if len(problems) > 1 else 'One problem'
        raise InputError(
            f'{number} would spoil training{more if len(problems) > _SHOWN else ""}; correct the '
            'files and check again',
            path=config.data.data_dir,
        )
    progress.say('No problems were found.')


def configuration(given: argparse.Namespace, overrides: list[str]) -> ml_collections.ConfigDict:
    """Returns the configuration of --config with its overrides, or that of --data_dir.

    Raises:
        InputError: neither or both are given, or a flag is not understood.
    """
    if bool(given.config) == bool(given.data_dir):
        raise InputError(
            'give either --config=FILE or --data_dir=DIR; python -m '
            'drn_jax.check_data --help explains both',
            field='--config',
        )
    if given.config:
        config = commands.load_config(given.config, overrides)
    else:
        config = override(
            ml_collections.ConfigDict(
                {
                    'data': {
                        'name': 'label_maps',
                        'data_dir': given.data_dir,
                        'manual_dir': '',
                        'threads': 0,
                    }
                }
            ),
            overrides,
        )
    with config.unlocked():  # every image as it is, and all that cannot be read
        config.data.evaluation_size, config.data.max_unreadable_fraction = (0, 0), 1.0
        if 'prepared_dir' not in config.data:  # a configuration of images with classes
            config.data.prepared_dir = ''
    return config


def inspect_own(data: ml_collections.ConfigDict, names: str | None) -> tuple:
    """Inspects files of the user's own.

    Args:
        data: `config.data`; uses `data_dir`.
        names: of the splits, with commas between them; None: all.

    Returns:
        Names of the classes, {split: `Survey`}, problems and remarks, two lists of sentences.

    Raises:
        InputError: there is no such split, or nothing to inspect.
    """
    from drn_jax.data import (  # takes seconds
        dataset_checks,
        image_label_pairs,
        label_encodings,
        places,
    )

    data = places.located(data)
    info = dataset_info.read_info(data.data_dir, data.name)
    found, remarks = image_label_pairs.find_splits(data.data_dir)
    info = label_encodings.complete_info(info, sum(found.values(), []))
    surveys = {}
    for split in names.split(',') if names else found:
        if split not in found:
            raise InputError(
                f'split {split!r} is unknown; known: {", ".join(found)}', field='--split'
            )
        with progress.Progress(len(found[split]), what='image') as bar:
            surveys[split] = dataset_checks.survey_files(found[split], info, bar)
    return (
        info.class_names,
        surveys,
        dataset_checks.own_problems(found, info, surveys),
        remarks
        if dataset_info.OWN[data.name]  # networks that know ImageNet keep its mean
        else remarks + dataset_checks.statistics_remarks(surveys, info.mean_std, 'info.json'),
    )


def inspect_prepared(data: ml_collections.ConfigDict, names: str | None) -> tuple:
    """Inspects a data set that TFDS knows.

    Args:
        data: `config.data`.
        names: of the splits, with commas between them; None: all but test.

    Returns:
        As `inspect_own`.

    Raises:
        InputError: there is no such split.
    """
    from drn_jax.data import dataset_checks, open_source  # takes seconds

    progress.say(f'Opening {data.name}; if it is not prepared yet, that happens now, once.')
    source, surveys = open_source(data, 'maps'), {}
    for split in names.split(',') if names else [name for name in source.splits if name != 'test']:
        with progress.Progress(source.num_examples(split), what='image') as bar:
            surveys[split] = dataset_checks.survey_split(source, data, split, bar)
    declared = (data.mean, data.std) if 'mean' in data else None
    return (
        source.class_names,
        surveys,
        [],
        dataset_checks.statistics_remarks(surveys, declared, 'config.data'),
    )


def useless(name: str, class_names: Sequence[str], surveys: Mapping[str, Any]) -> list[str]:
    """Says why nothing can be learned from the classes of the splits, as training does.

    Args:
        name: of the data set.
        class_names: names of the classes.
        surveys: {split: `dataset_checks.Survey`}.

    Returns:
        A sentence, or none.
    """
    from drn_jax.data import split_checks  # takes seconds

    counts = [
        (split, surveys[split].pixels[: len(class_names)])
        for split in ('train', 'validation')
        if split in surveys
    ]
    try:
        if 'train' in surveys:
            split_checks.class_remarks(name, 'maps', class_names, *counts)
    except InputError as error:
        return [str(error)]
    return []


def summary(survey: Any, class_names: Sequence[str]) -> dict[str, Any]:
    """Returns what report.json says of a split.

    Args:
        survey: a `dataset_checks.Survey` of its images.
        class_names: names of the classes.
    """
    mean, std = survey.mean_std()
    wrong = {str(value): int(count) for value, count in enumerate(survey.wrong) if count}
    return {
        'images': survey.images,
        'sizes': {
            f'{height} x {width}': count for (height, width), count in survey.sizes.most_common()
        },
        'pixels': {name: int(count) for name, count in zip(class_names, survey.pixels)},
        'pixels_without_class': int(survey.pixels[-1]),
        'pixels_out_of_range': wrong,
        'mean': mean,
        'std': std,
    }


def table(split: str, found: dict[str, Any]) -> list[str]:
    """Lays out what was found in a split, its `summary`, as lines for a terminal."""
    counts = {
        **found['pixels'],
        '(none)': found['pixels_without_class'],
        **{
            f'(out of range: {value})': count
            for value, count in found['pixels_out_of_range'].items()
        },
    }
    width, total = max(map(len, ['class', *counts])), max(sum(counts.values()), 1)
    sizes = [f'{size} ({count})' for size, count in found['sizes'].items()]
    return [
        f'{split}: {found["images"]} images, of the sizes {", ".join(sizes[:5])}'
        f'{f", and {len(sizes) - 5} more" if len(sizes) > 5 else ""}',
        'mean '
        + ' '.join(f'{number:.6f}' for number in found['mean'])
        + ', deviation '
        + ' '.join(f'{number:.6f}' for number in found['std']),
        f'{"class":{width}}{"pixels":>16}{"fraction":>11}',
        *[
            f'{name:{width}}{count:16,}{100 * count / total:9.3f} %'
            for name, count in counts.items()
        ],
    ]


if __name__ == '__main__':
    commands.run(main)
