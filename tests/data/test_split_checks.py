"""What is told, or refused, of the classes of a run's splits before its first step."""

import re

import numpy as np
import pytest
from data.number_sources import NumberSource
from support.errors import refused

from drn_jax.data.split_checks import training_remarks
from drn_jax.recipes import classification


class Counted(NumberSource):
    """Three classes with so many images, or pixels, in training and in validation."""

    def __init__(self, train, validation, kind='classes'):
        super().__init__(train=3, validation=3)
        self.class_names, self.label_kind = ('ant', 'bee', 'cat'), kind
        self._counts = {'train': np.array(train), 'validation': np.array(validation)}

    def class_counts(self, split):
        return self._counts[split]


@pytest.mark.parametrize(
    'train, validation, remarks',
    [
        ((4, 5, 6), (1, 1, 1), []),
        ((4, 5, 0), (1, 1, 0), ["no {} of 'train' and of 'validation' has 1 of the 3 classes "
         '(cat)']),
        ((4, 5, 0), (1, 1, 2), ["no {} of 'train', only of 'validation', has 1 of the 3 classes "
         '(cat): their 2 {}s count as wrong']),
        ((4, 5, 6), (0, 0, 1), ["no {} of 'validation' has 2 of the 3 classes (ant, bee)"]),
    ],
)  # fmt: skip
@pytest.mark.parametrize('kind, unit', [('classes', 'image'), ('maps', 'pixel')])
def test_classes_that_are_missing_are_told(train, validation, remarks, kind, unit):
    found = training_remarks(Counted(train, validation, kind), classification().data)
    assert found == [remark.replace('{}', unit) for remark in remarks]


@pytest.mark.parametrize(
    'train, validation, message',
    [
        ((0, 7, 0), (1, 1, 1), "only the class bee has {}s in 'train', so there is nothing to"),
        ((0, 0, 0), (1, 1, 1), "no class has {}s in 'train', so there is nothing to tell apart"),
        ((3, 3, 3), (0, 0, 0), "no {} of 'validation' has a class, so nothing is measured"),
        ((3, 3, 0), (0, 0, 4), "no class has {}s both in 'train' and in 'validation', so all is"),
    ],
)
@pytest.mark.parametrize('kind, unit', [('classes', 'image'), ('maps', 'pixel')])
def test_what_teaches_nothing_is_refused(train, validation, message, kind, unit):
    advice = re.escape(' (255 is no class: in masks, write 1 for it)') * (kind == 'maps')
    message = f'{re.escape(message.replace("{}", unit))}.*; correct the labels{advice}, or give'
    with refused('config.data.data_dir', match=message):
        training_remarks(Counted(train, validation, kind), classification().data)


def test_images_that_are_trained_on_and_validated_are_told():
    data, source = classification().data, NumberSource(train=8, validation=4)
    assert training_remarks(source, data) == []
    data.train_split, data.validation_split = 'train[:6]', 'train[5:]+validation'
    assert training_remarks(source, data) == [
        "1 of the 7 images of 'train[5:]+validation' are trained on, in 'train[:6]', so what is "
        'measured on them says little of others'
    ]


def test_nothing_is_said_of_what_would_have_to_be_read():
    assert training_remarks(NumberSource(train=3, validation=1), classification().data) == []
