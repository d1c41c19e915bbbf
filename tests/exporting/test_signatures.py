"""What goes into an exported network and what comes out."""

import pytest
from support.errors import refused

import drn_jax
from drn_jax.exporting import signatures
from drn_jax.exporting.signatures import Signature


def model(**settings):
    return drn_jax.create_model('drn_d_22', **{'num_classes': 3, 'width': 1 / 16, **settings})


def test_the_answers_of_each_network():
    assert signatures.make_signature(model()) == ('uint8', 'logits', None)
    assert signatures.make_signature(model(), 'normalized', 'class_maps', (8, 9)) == (
        'normalized',
        'class_maps',
        (8, 9),
    )
    assert signatures.make_signature(model(num_classes=0)).answers == 'features'
    assert signatures.make_signature(model(task='segmentation'), answers='labels', size=(8, 9)) == (
        'uint8',
        'labels',
        (8, 9),
    )


@pytest.mark.parametrize(
    'settings, answers, field, message',
    [
        ({}, 'labels', '--answers', 'is for segmentation, but the checkpoint is for class'),
        ({'task': 'segmentation'}, 'class_maps', '--answers', 'is for classification, but the'),
        (
            {'num_classes': 0},
            'logits',
            '--answers',
            'needs a classifier, but',
        ),
        ({'task': 'segmentation'}, 'labels', '--size', '--answers=labels needs a fixed image size'),
    ],
)
def test_answers_that_a_network_does_not_give(settings, answers, field, message):
    with refused(field, match=message):
        signatures.make_signature(model(**settings), answers=answers)


def test_labels_are_bytes():
    with refused('--answers', match='has 256 classes, but a label map holds 255'):
        signatures.make_signature(
            model(task='segmentation', num_classes=256), answers='labels', size=(8, 8)
        )


@pytest.mark.parametrize(
    'settings, signature, shape',
    [
        ({}, Signature('uint8', 'logits', None), ('batch', 3)),
        ({}, Signature('uint8', 'class_maps', (17, 8)), ('batch', 3, 1, 3)),
        ({'task': 'segmentation'}, Signature('uint8', 'logits', (16, 9)), ('batch', 2, 2, 3)),
        ({'task': 'segmentation'}, Signature('uint8', 'labels', (16, 9)), ('batch', 16, 9)),
        (
            {'num_classes': 0},
            Signature('uint8', 'features', None),
            ('batch', 'ceil(height / 8)', 'ceil(width / 8)', 32),
        ),
    ],
)
def test_shapes_of_answers(settings, signature, shape):
    assert signatures.answer_shape(model(**settings), signature) == shape
