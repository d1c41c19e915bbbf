"""The programs that GPUs run, as the CUDA compiler makes them, which needs no GPU.

Compiled in child processes, since the compiler ends its process where it fails.
"""

import collections
import math

import pytest
from planning import compile_gpu

from drn_jax.errors import InputError
from drn_jax.models import variants
from drn_jax.planning import cuda_compiler, kernels

NETWORKS = ('resnet_18', 'drn_a_50', 'drn_c_26', 'drn_d_54', 'cityscapes_drn_d_22')
USES = ('training', 'evaluation', 'inference')


def unavailable():
    try:
        cuda_compiler.find()
    except InputError as error:
        return str(error)


pytestmark = pytest.mark.skipif(bool(unavailable()), reason=str(unavailable()))


@pytest.fixture(scope='module', params=NETWORKS)
def network(request):
    return request.param


@pytest.fixture(scope='module')
def compiled(network, tmp_path_factory):
    """The folder of a network's programs."""
    folder = tmp_path_factory.mktemp('programs')
    cuda_compiler.run_child([compile_gpu.__file__, network, str(folder)], network)
    return folder


@pytest.fixture(params=('float32', 'bfloat16'))
def dtype(request):
    return request.param


@pytest.fixture
def programs(compiled, dtype):
    """The kernels of the three programs of a network, {use: kernels}."""
    return {use: kernels.read((compiled / f'{dtype}_{use}.txt').read_text()) for use in USES}


@pytest.fixture(scope='module')
def variant(network):
    return variants.lookup(network.removeprefix('cityscapes_'))


def convolutions(found):
    return [kernel for kernel in found if kernel.window]


def expected(variant):
    """Counts convolutions with a kernel or a stride above 1; the others are products."""
    blocks = [variant.stem.expand(), *(block for _, level in variant.expand() for block in level)]
    convs = [conv for block in blocks for conv in (*block.convs, block.projection) if conv]
    return sum(conv.kernel_size > 1 or conv.stride > 1 for conv in convs)


def test_every_convolution_is_cudnns_with_the_kernel_of_its_layer(programs, variant):
    number = expected(variant)
    for use, found in programs.items():
        kinds = collections.Counter(kernel.kind for kernel in convolutions(found))
        if use == 'training':
            assert kinds == {
                kernels.FORWARD: number,
                kernels.WEIGHT_GRADIENT: number,
                kernels.INPUT_GRADIENT: number - 1,  # none of the images
            }
        else:
            assert kinds.keys() <= set(kernels.CUDNN_KINDS)
            assert sum(kinds.values()) == number
        assert kernels.oversized(found, variant) == []


def test_the_inference_form_has_bias_and_relu_in_its_convolutions(programs):
    for kernel in convolutions(programs['inference']):
        fused = {kernels.FUSED['kRelu']}
        if kernel.what.startswith('block0/shortcut'):  # its ReLU comes after the sum
            fused.add(kernels.FUSED['kNone'])
        assert kernel.kind in fused


def test_the_dtype_of_convolutions_is_the_networks(programs, dtype):
    wanted = {'float32': 'tf32', 'bfloat16': 'bf16'}[dtype]
    for found in programs.values():
        assert {kernel.dtype for kernel in convolutions(found)} == {wanted}


@pytest.mark.parametrize('dtype', ['bfloat16'])
def test_bfloat16_programs_hold_no_float32_activations(programs, variant, network):
    """But for those of the loss, and for what XLA keeps of max pooling."""
    batch, side = compile_gpu.BATCH, compile_gpu.SIDE
    smallest = min(
        math.prod(kernel.results[0].shape)
        for kernel in convolutions(programs['training'])
        if kernel.kind == kernels.FORWARD
    )
    if network.startswith('cityscapes'):  # a tile of rows at full resolution, one axis not yet
        smallest = max(smallest, batch * side * side // 8 * 19 + 1)
    pooled = (batch, side // 4, side // 4, variant.stem.channels)
    for use, found in programs.items():
        large = [
            (kernel.name, array.shape)
            for kernel in found
            for array in kernel.results
            if array.dtype == 'f32'
            and any(size % batch == 0 for size in array.shape)
            and math.prod(array.shape) >= smallest
        ]
        if use == 'training' and variant.stem.pooled:
            assert [shape for _, shape in large] == [pooled]
        else:
            assert large == []
