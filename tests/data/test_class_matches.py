"""Classes of a data set and those that a network has learned, matched by name."""

import re

import numpy as np
import pytest
from data.number_sources import NumberSource
from support.errors import refused

from drn_jax.data import evaluation_batches
from drn_jax.data.class_matches import match_classes
from drn_jax.recipes import classification

PETS = ('ant', 'bee', 'cat')
NUMBERS = tuple(sorted(map(str, range(11))))
NUMBER_PLACES = [0, 1, 10, 2, 3, 4, 5, 6, 7, 8, 9]


def named(*names):
    """A data set of an image for each class, in this order."""
    source = NumberSource(validation=len(names))
    source.class_names = names
    return source


@pytest.mark.parametrize(
    'names, learned, places, said',
    [
        (PETS, PETS, [0, 1, 2], ''),
        (('cat', 'ant', 'bee'), PETS, [2, 0, 1], 'numbers has all of the 3 classes of the network, '
         'matched by name'),
        (('bee', 'cat'), PETS, [1, 2], 'numbers has only 2 (bee, cat) of the 3 classes of the '
         'network, matched by name; answers of another class count as wrong'),
        (('cat',), PETS, [2], 'only 1 (cat) of the 3 classes'),
        # ImageNetV2's folders: text sorts 10 before 2.
        (NUMBERS, tuple('abcdefghijk'), NUMBER_PLACES, 'all of the 11 classes of the network, its '
         'names are their numbers'),
        (NUMBERS, (), NUMBER_PLACES, 'its names are their numbers'),
        (('2', '0'), ('0', '1', '2'), [2, 0], 'matched by name'),
        (PETS, (), [0, 1, 2], 'the network does not name its classes: those of numbers are taken '
         'for them in their order'),
    ],
)  # fmt: skip
def test_labels_become_those_of_the_network(names, learned, places, said):
    source, remarks = match_classes(named(*names), learned, len(learned) or max(places) + 1)
    assert ' '.join(remarks).count(said) == 1 if said else not remarks
    data = classification().data
    data.image_size, data.crop = 16, False
    (batch,) = evaluation_batches(source, data, batch_size=len(names))
    assert batch['label'].tolist() == places
    if learned:
        assert source.class_names == learned
        assert [learned[place] for place in batch['label']] == [
            learned[int(name)] if name not in learned else name for name in names
        ]


@pytest.mark.parametrize(
    'names, learned, classes, unknown',
    [
        (('bee', 'dog'), ('ant', 'bee'), 2, 'dog; it knows ant, bee;'),
        (('ant', 'bee', 'cat', 'dog'), PETS, 3, 'dog; it knows ant, bee, cat;'),
        (('0', '1'), PETS, 3, '0, 1; it knows ant, bee, cat;'),  # perhaps digits
        (('0', '4'), ('0', '1', '2', '3', '5'), 5, '4; it knows 0, 1, 2, 3, 5;'),
        (('bee', 'cat'), (), 3, 'bee, cat, for it names none;'),
    ],
)
def test_classes_that_were_not_learned_are_refused(names, learned, classes, unknown):
    with refused(
        'config.data.data_dir',
        match=f'^the network has {classes} classes, but numbers has {len(names)}, of which the '
        f'network does not know {re.escape(unknown)} give data of its classes, or of some of them$',
    ):
        match_classes(named(*names), learned, classes)


def test_labels_of_maps_keep_pixels_without_a_class():
    class Maps(NumberSource):
        label_kind = 'maps'

        def read_label(self, record):
            return np.array([[0, 1, 255]], np.uint8)

    source = Maps(validation=2)
    source.class_names = ('cat', 'ant')
    matched, _ = match_classes(source, PETS, 3)
    assert matched.label({}).numpy().tolist() == [[2, 0, 255]]
    assert matched.present == ('cat', 'ant') and source.label({}).tolist() == [[0, 1, 255]]
