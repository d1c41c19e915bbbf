"""The check finds files that answer otherwise."""

import jax
import numpy as np
import pytest
from exporting import narrow
from support.errors import refused

from drn_jax.exporting import artifacts, checks, signatures


def artifact(answer, signature, source):
    """An artifact without a file."""
    return artifacts.Artifact(
        'network', narrow.card(source, signature, 'stablehlo', ('cpu',)), answer
    )


@pytest.fixture(scope='module')
def source():
    return narrow.source('drn_a_18')


@pytest.mark.parametrize(
    'scale, offset, passes',
    [(1, 0, True), (1, 9e-4, True), (1, 1.1e-3, False), (1.1, 0, False), (np.nan, 0, False)],
)
def test_the_bound_is_a_share_of_the_largest_answer(monkeypatch, source, scale, offset, passes):
    signature = signatures.make_signature(source.model, size=(8, 8))
    wanted = np.tile(np.float32([[-10, 0, 3]]), (4, 1))
    other = artifact(lambda images: wanted[: len(images)] * scale + offset, signature, source)
    monkeypatch.setattr(artifacts, 'load_exported', lambda path: other)
    monkeypatch.setattr(
        checks.forward,
        'of_model',
        lambda *_: lambda images: jax.numpy.asarray(wanted[: len(images)]),
    )
    if passes:
        (outcome,) = checks.check('network', source, signature)
        assert outcome[:1] + outcome[2:4] == ('cpu', 10, pytest.approx(1e-3))
        assert outcome.difference == pytest.approx(offset, rel=1e-2)
    else:
        with refused(
            path='network', match='unlike the network on cpu, by .* where 0.001 is allowed'
        ):
            checks.check('network', source, signature)


def test_one_label_in_a_thousand_may_differ_and_more_in_bfloat16(source):
    signature = signatures.Signature('uint8', 'labels', (40, 50))
    wanted = np.zeros((3, 40, 50), np.uint8)
    found = wanted.copy()
    found[0, 0, :3] = 1
    outcome = checks.compare(
        artifact(lambda images: found[: len(images)], signature, source),
        lambda images: wanted[: len(images)],
        signature,
        jax.devices()[0],
        'float32',
    )
    assert outcome[:4] == ('cpu', pytest.approx(0.0015), 0, 0.001)
    outcome = checks.compare(
        artifact(lambda images: found[: len(images)], signature, source),
        lambda images: wanted[: len(images)],
        signature,
        jax.devices()[0],
        'bfloat16',
    )
    assert outcome[:4] == ('cpu', pytest.approx(0.0015), 0, 0.05)


def test_images_of_several_shapes():
    shapes = [
        images.shape
        for images in checks.random_images(signatures.Signature('uint8', 'logits', None))
    ]
    assert shapes == [(1, 64, 96, 3), (3, 75, 53, 3)]
    fixed = list(checks.random_images(signatures.Signature('normalized', 'logits', (8, 9))))
    assert [(images.shape, images.dtype) for images in fixed] == [
        ((1, 8, 9, 3), np.float32),
        ((3, 8, 9, 3), np.float32),
    ]
