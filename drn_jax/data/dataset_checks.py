"""Counts what a data set of label maps holds, and finds what would spoil training."""

import collections
from collections.abc import Callable, Iterable, Sequence

import ml_collections
import numpy as np
from PIL import Image

from drn_jax.buckets import StorageError
from drn_jax.data import label_encodings
from drn_jax.data.dataset_info import Info
from drn_jax.data.image_files import read_image
from drn_jax.data.image_label_pairs import Pair
from drn_jax.data.pipeline import evaluation_batches
from drn_jax.data.source import Source
from drn_jax.data.threads import in_threads
from drn_jax.errors import InputError

Progress = Callable[[Iterable], Iterable]  # wraps an iterable, and shows how far it is


class Survey:
    """What the images of a split hold.

    Attributes:
        images: number of images.
        sizes: number of images of every (height, width), Counter.
        pixels: number of pixels of every class, and at 255 of those without one, int64 [256].
        channels: number of pixels of every value of red, green and blue, int64 [3, 256].
        wrong: number of pixels of every value in label maps that is not allowed, int64 [256].
        label_ids: the same, of all values in label maps of Cityscapes' label ids.
        problems: sentences without their ends, each about one file.
    """

    def __init__(self):
        self.images = 0
        self.sizes: collections.Counter[tuple[int, int]] = collections.Counter()
        self.problems: list[str] = []
        self.pixels, self.label_ids, self.wrong = np.zeros((3, 256), np.int64)
        self.channels = np.zeros((3, 256), np.int64)

    def add(
        self,
        size: tuple[int, ...],
        pixels: np.ndarray,
        channels: np.ndarray,
        *,
        label_ids: np.ndarray | int = 0,
        wrong: np.ndarray | int = 0,
    ) -> None:
        """Adds an image: its size, and counts as in the attributes."""
        self.images += 1
        self.sizes[size[0], size[1]] += 1
        self.pixels += pixels
        self.channels += channels
        self.label_ids += label_ids
        self.wrong += wrong

    def mean_std(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Returns mean and standard deviation of the channels over all pixels, white being 1.

        Returns:
            Two tuples of three floats; zeros where there are no pixels.

        Example:
            >>> survey = Survey()
            >>> survey.channels[:, [0, 255]] = 1, 3
            >>> survey.mean_std()[0]
            (0.75, 0.75, 0.75)
        """
        white = np.arange(256) / 255
        count = np.maximum(self.channels.sum(1), 1)
        mean = self.channels @ white / count
        square = self.channels @ white**2 / count
        return tuple(mean.tolist()), tuple(np.sqrt(np.maximum(square - mean**2, 0)).tolist())

    def absent_classes(self, class_names: Sequence[str]) -> list[str]:
        """Returns the names of the classes that no pixel has.

        Example:
            >>> survey = Survey()
            >>> survey.pixels[1] = 5
            >>> survey.absent_classes(('sky', 'sea', 'land'))
            ['sky', 'land']
        """
        return [name for name, count in zip(class_names, self.pixels) if not count]


def survey_files(found: list[Pair], info: Info, progress: Progress = iter) -> Survey:
    """Surveys files of the user's own, as they are, before anything is built.

    Args:
        found: the files.
        info: what info.json says of them.
        progress: wraps an iterable, and shows how far it is.
    """

    def inspect(pair):
        encoding = label_encodings.encoding_of(pair, info)
        return encoding, *_inspect(pair, encoding)

    survey = Survey()
    for encoding, examined, channels in progress(in_threads(inspect, found)):
        values, known = examined.values, encoding.known
        pixels = np.bincount(encoding.train_ids, values * known, 256).astype(np.int64)
        ids = values * encoding.label_ids
        survey.add(examined.size, pixels, channels, label_ids=ids, wrong=values * ~known)
        survey.problems += [examined.problem] * bool(examined.problem)
    return survey


def survey_split(
    source: Source, data: ml_collections.ConfigDict, split: str, progress: Progress = iter
) -> Survey:
    """Surveys a split of a prepared data set.

    Args:
        source: one of label maps.
        data: `config.data`.
        split: its name.
        progress: wraps an iterable, and shows how far it is.
    """
    survey = Survey()
    batches = evaluation_batches(source, data, batch_size=1, split=split)
    for batch in progress(batches):
        if batch['mask'][0]:
            image, label = batch['image'][0], batch['label'][0]
            channels = [np.bincount(channel.ravel(), minlength=256) for channel in image.T]
            survey.add(label.shape, np.bincount(label.ravel(), minlength=256), np.stack(channels))
    survey.problems = [
        f'{name} cannot be read, or image and label map differ in size'
        for name in batches.unreadable
    ]
    return survey


def own_problems(found: dict[str, list[Pair]], info: Info, surveys: dict[str, Survey]) -> list[str]:
    """Finds what is wrong with files of the user's own as a whole.

    Args:
        found: the files of every split.
        info: what info.json says of them.
        surveys: those of some of the splits.

    Returns:
        Sentences without their ends.
    """
    problems = []
    try:
        label_encodings.check_names([pair for split in found.values() for pair in split], info)
        if info.label_ids:
            label_encodings.check_label_ids(
                np.sum([survey.label_ids for survey in surveys.values()], axis=0)
            )
    except InputError as error:
        problems.append(str(error))
    return problems


def statistics_remarks(
    surveys: dict[str, Survey],
    declared: tuple[Sequence[float], Sequence[float]] | None,
    where: str,
) -> list[str]:
    """Compares mean and standard deviation of the training images with those declared.

    Args:
        surveys: by split; where there is no `train`, the first counts.
        declared: mean and standard deviation, three numbers each, or None.
        where: what declares them.

    Returns:
        Sentences without their ends: none, or one.
    """
    survey = surveys.get('train') or next(iter(surveys.values()))
    measured = [[round(number, 6) for number in numbers] for numbers in survey.mean_std()]
    found = f'measured are "mean": {measured[0]}, "std": {measured[1]}'
    if declared is None:
        return [f'{where} has no mean and std; {found}']
    if np.abs(np.subtract(measured, declared)).max() > 0.02:
        return [f'mean and std of {where} are more than 0.02 off; {found}']
    return []


def _inspect(pair, encoding):
    """Examines a pair and decodes its image: Examined, and pixels by value, int64 [3, 256]."""
    examined = label_encodings.examine(pair, encoding)
    try:
        image = Image.fromarray(read_image(pair.image))
    except StorageError:
        raise
    except InputError as error:
        return examined._replace(problem=str(error)), np.zeros((3, 256), np.int64)
    return examined, np.reshape(image.histogram(), (3, 256))
