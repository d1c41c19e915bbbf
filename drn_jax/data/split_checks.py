"""Finds, before the first step, what would make the numbers of a run mean little or nothing."""

import ml_collections
import numpy as np

from drn_jax.data.source import Source
from drn_jax.errors import InputError, some


def training_remarks(source: Source, data: ml_collections.ConfigDict) -> list[str]:
    """Compares the classes that training images have with those of the validation images.

    Nothing is read for it: of data sets that do not have such counts at hand, nothing is said.

    Args:
        source: the data set.
        data: `config.data`; uses its splits.

    Returns:
        What is odd, sentences without ends: classes that only one of the splits has, or none.

    Raises:
        InputError: there are not two classes to tell apart, or no image to validate has a class
            that is trained.
    """
    train, validation = data.train_split, data.validation_split
    trained, validated = source.class_counts(train), source.class_counts(validation)
    if trained is None or validated is None:
        return []
    unit = 'pixel' if source.label_kind == 'maps' else 'image'
    names = np.array(source.class_names)
    if np.count_nonzero(trained) < 2:
        held = f'only the class {names[trained > 0][0]}' if trained.any() else 'no class'
        raise _useless(
            source, f'{held} has {unit}s in {train!r}, so there is nothing to tell apart'
        )
    if not validated.any():
        raise _useless(source, f'no {unit} of {validation!r} has a class, so nothing is measured')
    if not (trained * validated).any():
        raise _useless(
            source, f'no class has {unit}s both in {train!r} and in {validation!r}, so all is wrong'
        )
    untrained = trained == 0
    wrong = f': their {validated[untrained].sum():,} {unit}s count as wrong'
    return [
        f'no {unit} of {split} has {np.count_nonzero(of)} of the {source.num_classes} classes '
        f'({some(names[of])}){consequence}'
        for split, of, consequence in (
            (f'{train!r} and of {validation!r}', untrained & (validated == 0), ''),
            (f'{train!r}, only of {validation!r},', untrained & (validated > 0), wrong),
            (f'{validation!r}', ~untrained & (validated == 0), ''),
        )
        if of.any()
    ]


def _useless(source, what):
    """Returns the error of data that nothing can be learned from."""
    masks = ' (255 is no class: in masks, write 1 for it)' if source.label_kind == 'maps' else ''
    return InputError(
        f'{source.name}: {what}; correct the labels{masks}, or give another split or directory',
        field='config.data.data_dir',
    )
