"""Finds, before the first step, what would make the numbers of a run mean little or nothing."""

from collections.abc import Sequence

import ml_collections
import numpy as np

from drn_jax.data.source import Source
from drn_jax.errors import InputError, some


def training_remarks(source: Source, data: ml_collections.ConfigDict) -> list[str]:
    """Compares the training images with the validation images: their classes, and which are both.

    Nothing is read for it: of data sets that do not have such counts at hand, nothing is said.

    Args:
        source: the data set.
        data: `config.data`; uses its splits.

    Returns:
        What is odd, sentences without ends, or none.

    Raises:
        InputError: see `class_remarks`.
    """
    train, validation = data.train_split, data.validation_split
    remarks = shared_remarks(source, data)
    trained, validated = source.class_counts(train), source.class_counts(validation)
    if trained is None or validated is None:
        return remarks
    counts = (train, trained), (validation, validated)
    return remarks + class_remarks(source.name, source.label_kind, source.class_names, *counts)


def shared_remarks(source: Source, data: ml_collections.ConfigDict) -> list[str]:
    """Says how many images are both trained on and validated: a sentence without its end, or none.

    Args, Raises: see `training_remarks`.
    """
    train, validation = data.train_split, data.validation_split
    shared = source.shared_examples(train, validation)
    return [
        f'{shared:,} of the {source.num_examples(validation):,} images of {validation!r} are '
        f'trained on, in {train!r}, so what is measured on them says little of others'
    ] * bool(shared)


def class_remarks(
    name: str,
    label_kind: str,
    class_names: Sequence[str],
    training: tuple[str, np.ndarray],
    validating: tuple[str, np.ndarray] | None = None,
) -> list[str]:
    """Compares how often classes occur in the images to train on and in those to validate.

    Args:
        name: of the data set.
        label_kind: 'maps' where pixels are counted, else images are.
        class_names: names of the classes.
        training, validating: the splits, each with the count of every class; None: not known.

    Returns:
        Sentences without ends on classes that only one of the splits has, or none.

    Raises:
        InputError: there are not two classes to tell apart, or no image to validate has a class
            that is trained.
    """
    train, trained = training
    unit, names = 'pixel' if label_kind == 'maps' else 'image', np.array(class_names)
    if np.count_nonzero(trained) < 2:
        held = f'only the class {names[trained > 0][0]}' if trained.any() else 'no class'
        raise _useless(
            name, label_kind, f'{held} has {unit}s in {train!r}, so there is nothing to tell apart'
        )
    if validating is None:
        return []
    validation, validated = validating
    if not validated.any():
        raise _useless(
            name, label_kind, f'no {unit} of {validation!r} has a class, so nothing is measured'
        )
    if not (trained * validated).any():
        raise _useless(
            name,
            label_kind,
            f'no class has {unit}s both in {train!r} and in {validation!r}, so all is wrong',
        )
    untrained = trained == 0
    wrong = f': their {validated[untrained].sum():,} {unit}s count as wrong'
    return [
        f'no {unit} of {split} has {np.count_nonzero(of)} of the {len(names)} classes '
        f'({some(names[of])}){consequence}'
        for split, of, consequence in (
            (f'{train!r} and of {validation!r}', untrained & (validated == 0), ''),
            (f'{train!r}, only of {validation!r},', untrained & (validated > 0), wrong),
            (f'{validation!r}', ~untrained & (validated == 0), ''),
        )
        if of.any()
    ]


def _useless(name, label_kind, what):
    """Returns the error of data that nothing can be learned from."""
    masks = ' (255 is no class: in masks, write 1 for it)' * (label_kind == 'maps')
    return InputError(
        f'{name}: {what}; correct the labels{masks}, or give another split or directory',
        field='config.data.data_dir',
    )
