"""Images and their label maps, read as a protocol wants them, judged and counted."""

import functools
import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from etils import epath

from drn_jax import paths
from drn_jax.data import street_labels, street_pairs
from drn_jax.data.image_files import read_image, read_size
from drn_jax.data.threads import in_threads
from drn_jax.errors import InputError
from drn_jax.judging import judges, protocols, verdicts
from drn_jax.judging.judges import Judge, Weights
from drn_jax.judging.protocols import Protocol, Size
from drn_jax.judging.verdicts import ImageCounts, Verdict
from drn_jax.prediction.inputs import resize


class Street(NamedTuple):
    """A generated image and the label map that it was made from.

    Attributes:
        name: what results call it.
        image: its file, or uint8 [H, W, 3].
        label: the file of the label map, or integers [H, W].
    """

    name: str
    image: Any
    label: Any


class Reading(NamedTuple):
    """How files and arrays are taken.

    Attributes:
        resize: whether images and label maps of other sizes than the protocol's are resized.
        label_kind: one of `street_labels.KINDS`; '': what each file says, train ids of arrays.
    """

    resize: bool = False
    label_kind: str = ''


def judge(
    images: Any,
    labels: Any,
    checkpoint: str | os.PathLike,
    protocol: str | Protocol = 'gan_compression',
    *,
    step: int | None = None,
    table: str | os.PathLike = '',
    resize: bool = False,
    label_kind: str = '',
) -> Verdict:
    """Judges generated streets by a segmentation network, with the numbers of `drn_jax.judge`.

    The network is opened and compiled at the first call; later ones with the same checkpoint and
    protocol use it again, so it can be called in the training loop of a generator.

    Args:
        images: generated images: a folder, or arrays uint8 [H, W, 3] (RGB), or one [N, H, W, 3].
        labels: the label maps that they were made from: a folder, or arrays [H, W] of train ids,
            integers 0 to 18, and 255 where there is no class; or of label ids, where `label_kind`
            says so.
        checkpoint, step: the network that judges; see `checkpoints.restore.find`.
        protocol: a name of `protocols.PROTOCOLS`, or a row like those.
        table: see `street_pairs.pair_streets`; for folders.
        resize, label_kind: see `Reading`.

    Returns:
        A `Verdict`.

    Raises:
        InputError: images and label maps do not fit each other or the protocol, or the checkpoint
            does not segment Cityscapes.

    Example:
        verdict = drn_jax.judge(fakes, label_maps, 'drn-d-105_ms_cityscapes.pth', 'oasis')
        print(verdict.numbers, verdict.intervals['mean_iou'])
    """
    row = protocols.one(protocol)
    streets, _ = streets_of(images, labels, table)
    kinds = street_labels.KINDS if isinstance(streets[0].label, str) else street_labels.KINDS[:2]
    if label_kind not in ('', *kinds):
        raise InputError(
            f'label_kind={label_kind!r} is none of these label maps; give {" or ".join(kinds)}',
            field='--label_kind',
        )
    reading = Reading(resize, label_kind)
    check_sizes(streets, row, reading)
    judge, weights = _judge(os.fspath(checkpoint), step, row)
    return verdicts.judge_counts(row, score(streets, judge, weights, reading))


_network = functools.lru_cache(maxsize=1)(judges.open_network)


@functools.lru_cache(maxsize=4)
def _judge(checkpoint: str, step: int | None, protocol: Protocol) -> tuple[Judge, Weights]:
    network, weights = _network(checkpoint, step)
    return Judge(network, protocol), weights


def streets_of(
    images: Any, labels: Any, table: str | os.PathLike = ''
) -> tuple[list[Street], list[str]]:
    """Pairs images and label maps.

    Args:
        images, labels, table: see `judge`.

    Returns:
        The pairs, and sentences on what is left out.

    Raises:
        InputError: they do not fit each other, or an array is no image or no label map.
    """
    given: list[Any] = [
        paths.directory(each)
        if isinstance(each, str | os.PathLike)
        else (list(each) if isinstance(each, Iterable) else [])
        for each in (images, labels)
    ]
    arrays = [each for each in given if isinstance(each, list)]
    if not arrays:
        pairs, remarks = street_pairs.pair_streets(given[0], given[1], table)
        return [Street(*pair) for pair in pairs], remarks
    images, labels = given
    if len(arrays) == 1 or len(images) != len(labels) or not images:
        said = [f'{len(each)} arrays' if isinstance(each, list) else 'a folder' for each in given]
        raise InputError(
            f'images are {said[0]} and label maps {said[1]}; give two folders, or as many arrays '
            'of the one as of the other'
        )
    streets = [
        Street(f'image {number}', np.asarray(image), np.asarray(label))
        for number, (image, label) in enumerate(zip(images, labels))
    ]
    for name, image, label in streets:
        if image.dtype != np.uint8 or image.shape[2:] != (3,) or not image.size:
            raise InputError(
                f'{name} is an array {list(image.shape)} of {image.dtype}; give [height, width, 3] '
                'of uint8, RGB'
            )
        if not np.issubdtype(label.dtype, np.integer) or label.ndim != 2 or not label.size:
            raise InputError(
                f'the label map of {name} is an array {list(label.shape)} of {label.dtype}; give '
                '[height, width] of integers'
            )
    return streets, []


def check_sizes(streets: Sequence[Street], protocol: Protocol, reading: Reading) -> None:
    """Refuses images and label maps of other sizes than the protocol's, before any is judged.

    Raises:
        InputError: there are some, and they shall not be resized, or a file cannot be read.
    """
    if reading.resize:
        return
    sizes = list(in_threads(lambda street: _size(street.image), streets))
    wrong = [
        (street.name, size) for street, size in zip(streets, sizes) if not protocol.allows(size)
    ]
    if wrong:
        raise _other_size('images', wrong, len(streets), protocol.name, protocol.image_sizes)
    if protocol.label_filter:
        return
    sizes = list(in_threads(lambda street: _size(street.label), streets))
    wrong = [(street.name, size) for street, size in zip(streets, sizes) if size != protocol.scored]
    if wrong:
        raise _other_size('label maps', wrong, len(streets), protocol.name, (protocol.scored,))


def _size(given: Any) -> Size:
    return read_size(given) if isinstance(given, str) else given.shape[:2]


def _other_size(what, wrong, number, protocol, allowed):
    (name, (height, width)), sizes = wrong[0], ' or '.join(f'{h} x {w}' for h, w in allowed)
    return InputError(
        f'{len(wrong)} of {number} {what} have another size than protocol {protocol} wants, '
        f'{sizes}: {name} has {height} x {width}; give such {what}, or --resize',
        field='--resize',
    )


class _Loaded(NamedTuple):
    """A pair as it was read: its place among all, and what `read_street` gives."""

    place: int
    image: np.ndarray
    labels: np.ndarray


def score(
    streets: Sequence[Street],
    judge: Judge,
    weights: Weights,
    reading: Reading,
    *,
    known: Mapping[str, ImageCounts] | None = None,
    add: Callable[[ImageCounts], None] | None = None,
    update: Callable[[], None] | None = None,
) -> list[ImageCounts]:
    """Judges images and counts their pixels.

    Args:
        streets: of `streets_of`.
        judge, weights: the network.
        reading: how files are taken.
        known: {digest: counts} of an earlier call; they are taken as they are.
        add: called with the counts of each image that is not known.
        update: called after each image.

    Returns:
        Counts of every image, in order.

    Raises:
        InputError: a file cannot be read, or is of another kind.
    """
    settings = repr((judge.settings, weights.sha256, reading))
    digests = list(in_threads(lambda street: _digest(street, settings), streets))
    found: dict[int, ImageCounts] = {}
    waiting: dict[tuple[int, ...], list[_Loaded]] = {}

    def keep(place: int, counts: ImageCounts) -> None:
        found[place] = counts
        if update:
            update()

    def load(place: int) -> _Loaded:
        return _Loaded(place, *read_street(streets[place], judge.protocol, reading))

    def finish(batch: list[_Loaded]) -> None:
        for each, predicted in zip(batch, judge.predict([each.image for each in batch])):
            confusion = verdicts.count(each.labels, predicted)
            counts = ImageCounts(streets[each.place].name, digests[each.place], confusion)
            if add:
                add(counts)
            keep(each.place, counts)

    for place, digest in enumerate(digests):
        if known and digest in known:
            keep(place, known[digest]._replace(name=streets[place].name))
    for each in in_threads(load, [place for place in range(len(streets)) if place not in found]):
        group = waiting.setdefault(each.image.shape, [])
        group.append(each)
        if len(group) == judge.batch_size:
            finish(waiting.pop(each.image.shape))
    for batch in waiting.values():
        finish(batch)
    return [found[place] for place in range(len(streets))]


def read_street(
    street: Street, protocol: Protocol, reading: Reading
) -> tuple[np.ndarray, np.ndarray]:
    """Reads an image as the network sees it, see `judges.copies`, and its label map as scored.

    Raises:
        InputError: a file cannot be read, or a label map is of another kind.
    """
    if isinstance(street.image, str):
        image = read_image(street.image)
        labels = street_labels.read_street_labels(street.label, reading.label_kind)
    else:
        image, labels = street.image, street.label
        kind = reading.label_kind or 'train_ids'
        labels = street_labels.to_train_ids(labels, kind, f'the label map of {street.name}')
    return judges.copies(image, protocol), resize(
        labels, protocol.scored, protocol.label_filter or 'nearest'
    )


def _digest(street: Street, settings: str) -> str:
    """Digests what the counts of an image depend on; '' for arrays, which nothing is kept of."""
    if not isinstance(street.image, str):
        return ''
    digest = hashlib.sha256(settings.encode())
    for file in (street.image, street.label):
        try:
            digest.update(hashlib.sha256(epath.Path(file).read_bytes()).digest())
        except OSError as error:
            raise InputError(
                f'{file} cannot be read ({error.strerror or error}); make it readable', path=file
            ) from error
    return digest.hexdigest()[:16]
