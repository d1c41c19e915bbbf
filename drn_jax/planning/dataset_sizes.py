"""How many training images and classes a run has; for known data sets without having them."""

from typing import NamedTuple

import ml_collections

from drn_jax import tasks
from drn_jax.errors import InputError


class Size(NamedTuple):
    """Training images and classes of a data set."""

    examples: int
    classes: int


class PlannedSource(NamedTuple):
    """What an experiment needs to know of a data set that is not read: a `data.Source` without it.

    Attributes:
        name: of the data set.
        label_kind: see `tasks.TaskKind`.
        examples: images of every split.
        num_classes: of its classes, which have no names.
    """

    name: str
    label_kind: str
    examples: int
    num_classes: int
    class_names: tuple[str, ...] = ()
    palette: tuple[tuple[int, int, int], ...] = ()
    mean_std: None = None
    remarks: tuple[str, ...] = ()

    def num_examples(self, split: str) -> int:
        """Returns the training images, for any split."""
        return self.examples


# By network and name of the data set, of the split 'train'.
_KNOWN = {
    ('classification', 'imagenet2012'): Size(1_281_167, 1000),
    ('classification', 'digit_scenes'): Size(6000, 10),
    ('segmentation', 'digit_scenes'): Size(6000, 11),
    ('segmentation', 'camvid'): Size(367, 11),
    ('segmentation', 'cityscapes'): Size(2975, 19),
    ('segmentation', 'cityscapes/semantic_segmentation'): Size(2975, 19),
}


def find(config: ml_collections.ConfigDict, examples: int = 0) -> PlannedSource:
    """Finds the numbers of training images and classes.

    They are those that are given, or those of a data set that is known here, or else those of the
    data set itself, if it is prepared; nothing is prepared for a plan.

    Args:
        config: the configuration; `model.num_classes` is taken where it is not 0.
        examples: training images; 0: to be found.

    Returns:
        A `PlannedSource`.

    Raises:
        InputError: the data set is neither known nor there.

    Example:
        >>> from drn_jax import recipes
        >>> find(recipes.classification())[:4]
        ('imagenet2012', 'classes', 1281167, 1000)
    """
    kind, split = tasks.kind_of(config), config.data.train_split
    labels = kind.label_kind
    classes = config.model.num_classes
    known = _KNOWN.get((kind.network, config.data.name)) if split == 'train' else None
    if known is None:
        known = Size(examples, classes) if examples and classes else _opened(config, labels)
    if classes not in (0, known.classes):
        raise InputError(
            f'config.model.num_classes is {classes}, but {config.data.name} has '
            f'{known.classes} classes; leave it 0',
            field='config.model.num_classes',
        )
    return PlannedSource(config.data.name, labels, examples or known.examples, known.classes)


def _opened(config: ml_collections.ConfigDict, labels: str) -> Size:
    """Reads the numbers of a data set that is there already."""
    from drn_jax import data  # it imports TensorFlow, which takes seconds

    name = config.data.name
    if not data.is_there(config.data):
        raise InputError(
            f'data set {name!r} is not prepared in config.data.data_dir '
            f'{config.data.data_dir!r}, so how large it is is not known; give --examples=N and '
            '--config.model.num_classes=N, or prepare it with python -m drn_jax.prepare',
            field='config.data.data_dir',
        )
    source = data.open_source(config.data, labels)
    return Size(source.num_examples(config.data.train_split), source.num_classes)
