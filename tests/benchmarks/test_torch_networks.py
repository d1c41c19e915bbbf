"""The PyTorch networks of the benchmark against the golden files and against ours."""

import jax
import numpy as np
import pytest
from golden import rebuild
from models import fills

import drn_jax

torch = pytest.importorskip('torch')
import torch_networks  # noqa: E402  (needs PyTorch)


def of_torch(network, images):
    """What the network gives for [B, H, W, 3], as an array."""
    with torch.inference_mode():
        return network(torch.tensor(images).permute(0, 3, 1, 2)).numpy()


@pytest.mark.parametrize('name', ['drn_c_26', 'drn_d_54', 'drn_a_18', 'drn_a_50_release'])
@pytest.mark.parametrize('folded', [False, True])
def test_equals_the_release(name, folded):
    golden = rebuild.load(name)
    first_block = 'release' if name.endswith('release') else 'paper'
    network = torch_networks.create(
        name.removesuffix('_release'),
        rebuild.state_dict(golden['names']),
        classes=1000,
        task='classification',
        first_block=first_block,
    )
    if folded:
        network.fold()
        assert not any(isinstance(each, torch.nn.BatchNorm2d) for each in network.modules())
    logits = of_torch(network, rebuild.images(0, (1, 3, 224, 224)))
    np.testing.assert_allclose(logits, golden['logits'], rtol=0, atol=1e-4 * golden['logits'].std())


def test_labels_equal_the_releases():
    golden = rebuild.load('drn_d_22_segmentation')
    network = torch_networks.create(
        'drn_d_22', rebuild.state_dict(golden['names']), classes=19, task='segmentation'
    )
    labels = of_torch(torch_networks.Labels(network), rebuild.images(2, (1, 3, 96, 136)))
    assert labels.dtype == np.uint8
    assert (labels == golden['bilinear_labels']).mean() > 0.999


@pytest.mark.parametrize('variant', ['drn_c_26', 'drn_c_58', 'drn_a_18', 'resnet_50'])
def test_training_mode_equals_ours(variant):
    model = drn_jax.create_model(variant, num_classes=7, width=0.125)
    variables = fills.random_variables(model)
    network = torch_networks.create(
        variant, drn_jax.to_torch(variant, variables), classes=7, task='classification', width=0.125
    ).train()
    images = np.random.default_rng(0).standard_normal((2, 64, 64, 3)).astype(np.float32)
    ours, _ = jax.jit(
        lambda variables, images: model.apply(
            variables, images, train=True, mutable=['batch_stats']
        )
    )(variables, images)
    found = of_torch(network, images)
    np.testing.assert_allclose(found, ours, rtol=0, atol=1e-4 * np.abs(found).max())


def test_another_networks_weights_are_refused():
    state = drn_jax.to_torch(
        'drn_c_26',
        fills.random_variables(drn_jax.create_model('drn_c_26', num_classes=7, width=0.125)),
    )
    with pytest.raises(KeyError, match='layer0.0.weight'):
        torch_networks.create('drn_d_22', state, classes=7, task='classification', width=0.125)
