"""What the values in the files of label maps mean, and whether the files hold what they should."""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from drn_jax import cityscapes
from drn_jax.buckets import StorageError
from drn_jax.cityscapes import IGNORE_LABEL
from drn_jax.data.dataset_info import Info
from drn_jax.data.image_files import read_label_map, read_size
from drn_jax.data.image_label_pairs import Pair
from drn_jax.data.threads import in_threads
from drn_jax.errors import InputError, some


class LabelEncoding(NamedTuple):
    """What the values in the files of label maps mean.

    Attributes:
        train_ids: class of every value, 255 where it has none, uint8 [256].
        known: whether a value may occur, bool [256].
        num_classes: number of classes.
        label_ids: whether the values are Cityscapes' label ids.
    """

    train_ids: np.ndarray
    known: np.ndarray
    num_classes: int
    label_ids: bool


class Examined(NamedTuple):
    """What was found in a pair of files.

    Attributes:
        problem: a sentence without its end, '' where there is none.
        size: height and width of the label map, (0, 0) where it cannot be read.
        values: number of pixels of every value of the label map, int64 [256].
    """

    problem: str
    size: tuple[int, int]
    values: np.ndarray


def label_encoding(
    num_classes: int, *, ignore: Collection[int] = (), label_ids: bool = False
) -> LabelEncoding:
    """Describes what the values in the files of label maps mean.

    Args:
        num_classes: number of classes, 1 to 255; allowed values are 0 to num_classes - 1, and 255.
        ignore: values that are allowed too, and mean 255, no class.
        label_ids: the values are Cityscapes' label ids, 0 to 33, of which 19 are classes.

    Returns:
        A LabelEncoding.

    Example:
        >>> label_encoding(3, ignore=(0, 9)).train_ids[[0, 1, 2, 9, 255]].tolist()
        [255, 1, 2, 255, 255]
    """
    train_ids, known = np.full(256, IGNORE_LABEL, np.uint8), np.zeros(256, bool)
    if label_ids:
        train_ids, known[: cityscapes.LABEL_IDS] = cityscapes.TRAIN_IDS.copy(), True
    else:
        train_ids[:num_classes], known[:num_classes] = np.arange(num_classes), True
    train_ids[list(ignore)], known[[*ignore, IGNORE_LABEL]] = IGNORE_LABEL, True
    return LabelEncoding(train_ids, known, num_classes, label_ids)


def encoding_of(pair: Pair, info: Info) -> LabelEncoding:
    """Returns the encoding of a pair's label map; its name can say that it holds train ids."""
    return label_encoding(
        len(info.class_names),
        ignore=info.ignore,
        label_ids=info.label_ids and not pair.named_train_ids,
    )


def complete_info(info: Info, found: Iterable[Pair]) -> Info:
    """Gives info.json without classes, as in the authors' release, those of Cityscapes.

    Args:
        info: what it says.
        found: all pairs of files.

    Returns:
        Info with classes.

    Raises:
        InputError: it has none, and there are label maps that are not named as Cityscapes' are.
    """
    if info.class_names:
        return info
    by_name = [pair for pair in found if pair.named_label_ids]
    others = [pair for pair in found if not pair.named_label_ids and not pair.named_train_ids]
    if others:
        raise InputError(
            f'info.json names no classes, and label maps such as {others[0].label} are not named '
            'as those of Cityscapes are; write "classes": [...] into it',
            path=others[0].label,
        )
    return info._replace(class_names=cityscapes.CLASS_NAMES, label_ids=bool(by_name))


def check_names(found: Iterable[Pair], info: Info) -> None:
    """Refuses files that are named as label ids where info.json does not say that they are."""
    named = [pair for pair in found if pair.named_label_ids]
    if named and not info.label_ids:
        raise InputError(
            f'{len(named)} label maps such as {named[0].label} are named as Cityscapes label ids, '
            'but info.json does not say so; give "label_ids": true in it, or files of train ids',
            path=named[0].label,
        )


def check_label_ids(values: np.ndarray) -> None:
    """Refuses what should be Cityscapes' label ids, but looks like train ids.

    Args:
        values: number of pixels of every value, int64 [256].

    Raises:
        InputError: only values of train ids occur, and 255.
    """
    beyond = slice(len(cityscapes.CLASS_NAMES), cityscapes.LABEL_IDS)
    if values[IGNORE_LABEL] and not values[beyond].any():
        raise InputError(
            'info.json says that label maps hold label ids, but they hold only 0 to 18 and 255, '
            'which look like train ids; remove "label_ids"',
            field='config.data.data_dir',
        )


def examine(pair: Pair, encoding: LabelEncoding) -> Examined:
    """Reads a label map and the size of its image, and checks both.

    Args:
        pair: the files.
        encoding: of the label map.
    """
    nothing = (0, 0), np.zeros(256, np.int64)
    try:
        label, size = read_label_map(pair.label, pair.image), read_size(pair.image)
    except StorageError:
        raise
    except InputError as error:
        return Examined(str(error), *nothing)
    values = np.bincount(label.ravel(), minlength=256)
    problem = ''
    if size != label.shape:
        problem = (
            f'{pair.image} has {size[0]} x {size[1]} pixels, {pair.label} '
            f'{label.shape[0]} x {label.shape[1]}; both must have the same'
        )
    elif values[~encoding.known].any():
        problem = f'{pair.label} holds {_out_of_range(values, encoding)}'
    return Examined(problem, label.shape, values)


def examine_all(
    pairs: Sequence[Pair], encoding_of: Callable[[Pair], LabelEncoding]
) -> list[Examined]:
    """Checks what pairs of files hold.

    Args:
        pairs: the files.
        encoding_of: returns the encoding of a pair's label map.

    Returns:
        What is in every pair.

    Raises:
        InputError: something cannot be used; the first problem is told, and how many there are.
    """
    found = list(in_threads(lambda pair: examine(pair, encoding_of(pair)), pairs))
    problems = [(pair.label, each.problem) for pair, each in zip(pairs, found) if each.problem]
    if problems:
        label, first = problems[0]
        count = (
            f' ({len(problems)} files have problems; python -m drn_jax.check_data lists all)'
            if len(problems) > 1
            else ''
        )
        raise InputError(first + count, path=label)
    return found


def common_size(found: Sequence[Examined]) -> tuple[int, int] | None:
    """Returns the size that all images have, or None."""
    sizes = {examined.size for examined in found}
    return sizes.pop() if len(sizes) == 1 else None


def _out_of_range(values, encoding):
    """Says which values of a label map are not allowed."""
    wrong = np.flatnonzero(values * ~encoding.known)
    last = cityscapes.LABEL_IDS if encoding.label_ids else encoding.num_classes
    hint = ''
    if not encoding.label_ids and encoding.num_classes == len(cityscapes.CLASS_NAMES):
        if wrong.max() < cityscapes.LABEL_IDS:
            hint = (
                '; they look like Cityscapes label ids, not train ids: give "label_ids": true '
                'in info.json'
            )
    return (
        f'{values[wrong].sum()} pixels out of range, of the values {some(wrong)}; allowed are '
        f'0 to {last - 1} and 255{hint}'
    )
