"""Parity with pytorchcv, which nobody here wrote: its names, and its networks' logits."""

import jax
import numpy as np
import pytest

import drn_jax
from drn_jax.models import weights

torch = pytest.importorskip('torch')
drn = pytest.importorskip('pytorchcv.models.drn')
resnet = pytest.importorskip('pytorchcv.models.resnet')

NETWORKS = {
    'drnc26': 'drn_c_26',
    'drnc42': 'drn_c_42',
    'drnc58': 'drn_c_58',
    'drnd22': 'drn_d_22',
    'drnd38': 'drn_d_38',
    'drnd54': 'drn_d_54',
    'drnd105': 'drn_d_105',
    'resnet18': 'resnet_18',
    'resnet34': 'resnet_34',
    'resnet50': 'resnet_50',
    'resnet50b': 'resnet_50',
    'resnet101': 'resnet_101',
    'resnet101b': 'resnet_101',
}
FEW = ('drnc26', 'drnd22', 'resnet50')  # a family each, the last with its stride in the 1x1
SHARED = {'drn_c_26': {'drn_b_26'}, 'drn_c_42': {'drn_b_42'}} | {
    f'resnet_{depth}': {f'drn_a_{depth}'} for depth in (18, 34, 50, 101)
}


def network(name):
    return getattr(drn if name.startswith('drn') else resnet, name)().eval()


@pytest.mark.parametrize('name', NETWORKS)
def test_its_names_fit_the_variant_and_no_other(name):
    with torch.device('meta'):
        state = {key: tuple(value.shape) for key, value in network(name).state_dict().items()}
    state = {key: np.broadcast_to(np.float32(0), shape) for key, shape in state.items()}
    variant = NETWORKS[name]
    assert set(weights.fitting_variants(state)) == {variant} | SHARED.get(variant, set())


@pytest.mark.parametrize(
    'name',
    [name if name in FEW else pytest.param(name, marks=pytest.mark.long) for name in NETWORKS],
)
def test_its_weights_give_its_logits(name):
    torch.manual_seed(0)
    net = network(name)
    net.features.final_pool = torch.nn.AdaptiveAvgPool2d(1)  # theirs pools 28 x 28 or 7 x 7 cells
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0, 0.1)
    images = np.random.default_rng(0).standard_normal((2, 64, 72, 3), np.float32)
    with torch.no_grad():
        wanted = net(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()
    variant = NETWORKS[name]
    model = drn_jax.create_model(
        variant, stride_in='1x1' if name in ('resnet50', 'resnet101') else '3x3'
    )
    variables = drn_jax.from_torch(variant, net.state_dict())
    logits = jax.jit(model.apply)(variables, images)
    assert np.abs(logits - wanted).max() <= 1e-5 * wanted.std()
