"""Reading GPU programs: a short one, written by hand as XLA writes them, with literal answers."""

import pytest

from drn_jax.models import variants
from drn_jax.planning import gpus, kernels
from drn_jax.planning.hlo import Array

CUDNN = 'backend_config={"cudnn_conv_backend_config":{"activation_mode":"%s"}}'
LEVEL = 'metadata={op_name="jit(step)/%s/Network.levels/level5/block0/%s"}'
FORWARD, BACKWARD = 'jvp(Network)', 'transpose(jvp(Network))'
CONV1 = 'conv1/conv1._product/conv_general_dilated'

TEXT = f"""HloModule jit_step, is_scheduled=true

%sum (a: f32[], b: f32[]) -> f32[] {{
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %add.1 = f32[] add(%a, %b)
}}

%fused_relu (p0: bf16[2,8,8,16], p1: f32[16]) -> bf16[2,8,8,16] {{
  %p0 = bf16[2,8,8,16]{{3,2,1,0}} parameter(0)
  %p1 = f32[16]{{0}} parameter(1)
  ROOT %relu = bf16[2,8,8,16]{{3,2,1,0}} maximum(%p0, %p1)
}}

%fused_reduce (p2: bf16[2,8,8,16]) -> f32[16] {{
  %p2 = bf16[2,8,8,16]{{3,2,1,0}} parameter(0)
  %zero = f32[] constant(0)
  ROOT %reduce.1 = f32[16]{{0}} reduce(%p2, %zero), dimensions={{0,1,2}}, to_apply=%sum
}}

%nested (p3: bf16[128,16], p4: bf16[16,32]) -> bf16[128,32] {{
  %p3 = bf16[128,16]{{1,0}} parameter(0)
  %p4 = bf16[16,32]{{1,0}} parameter(1)
  ROOT %dot.1 = bf16[128,32]{{1,0}} dot(%p3, %p4), lhs_contracting_dims={{1}}, rhs_contracting_dims={{0}}
}}

%gemm (p5: bf16[128,16], p6: bf16[16,32]) -> bf16[128,32] {{
  %p5 = bf16[128,16]{{1,0}} parameter(0)
  %p6 = bf16[16,32]{{1,0}} parameter(1)
  ROOT %inner = bf16[128,32]{{1,0}} fusion(%p5, %p6), kind=kCustom, calls=%nested
}}

%exact_dot (p7: f32[4,512], p8: f32[512,10]) -> f32[4,10] {{
  %p7 = f32[4,512]{{1,0}} parameter(0)
  %p8 = f32[512,10]{{1,0}} parameter(1)
  ROOT %dot.2 = f32[4,10]{{1,0}} dot(%p7, %p8), lhs_contracting_dims={{1}}, rhs_contracting_dims={{0}}, operand_precision={{highest,highest}}
}}

%take (p9: f32[100,64], p10: s32[]) -> f32[1,64] {{
  %p9 = f32[100,64]{{1,0}} parameter(0)
  %p10 = s32[] parameter(1)
  ROOT %row = f32[1,64]{{1,0}} dynamic-slice(%p9, %p10, %p10), dynamic_slice_sizes={{1,64}}
}}

%put (p11: f32[100,64], p12: f32[1,64], p13: s32[]) -> f32[100,64] {{
  %p11 = f32[100,64]{{1,0}} parameter(0)
  %p12 = f32[1,64]{{1,0}} parameter(1)
  %p13 = s32[] parameter(2)
  ROOT %changed = f32[100,64]{{1,0}} dynamic-update-slice(%p11, %p12, %p13, %p13)
}}

%body (state: (s32[], f32[100,64])) -> (s32[], f32[100,64]) {{
  %state = (s32[], f32[100,64]{{1,0}}) parameter(0)
  %i = s32[] get-tuple-element(%state), index=0
  %rows = f32[100,64]{{1,0}} get-tuple-element(%state), index=1
  %taken-start = ((f32[100,64]{{1,0}}, s32[]), f32[1,64]{{1,0}}, u32[]) fusion-start(%rows, %i), kind=kLoop, calls=%take
  %taken = f32[1,64]{{1,0}} fusion-done(%taken-start)
  %filled = f32[100,64]{{1,0}} fusion(%rows, %taken, %i), kind=kLoop, calls=%put
  ROOT %next = (s32[], f32[100,64]{{1,0}}) tuple(%i, %filled)
}}

%condition (state.1: (s32[], f32[100,64])) -> pred[] {{
  %state.1 = (s32[], f32[100,64]{{1,0}}) parameter(0)
  %end = s32[] constant(100)
  %i.1 = s32[] get-tuple-element(%state.1), index=0
  ROOT %less = pred[] compare(%i.1, %end), direction=LT
}}

ENTRY %main (x: bf16[2,8,8,16], w: bf16[32,3,3,16], g: bf16[2,8,8,32], scale: f32[16]) -> f32[16] {{
  %x = bf16[2,8,8,16]{{3,2,1,0}} parameter(0)
  %w = bf16[32,3,3,16]{{3,2,1,0}} parameter(1)
  %g = bf16[2,8,8,32]{{3,2,1,0}} parameter(2)
  %scale = f32[16]{{0}} parameter(3)
  %relu_fusion = bf16[2,8,8,16]{{3,2,1,0}} fusion(%x, %scale), kind=kLoop, calls=%fused_relu, {LEVEL % (FORWARD, 'bn1/max')}
  %conv = (bf16[2,8,8,32]{{3,2,1,0}}, u8[0]{{0}}) custom-call(%relu_fusion, %w), window={{size=3x3 pad=1_1x1_1}}, dim_labels=b01f_o01i->b01f, custom_call_target="__cudnn$convForward", {LEVEL % (FORWARD, CONV1)}, {CUDNN % 'kNone'}
  %y = bf16[2,8,8,32]{{3,2,1,0}} get-tuple-element(%conv), index=0
  %filter = (bf16[32,3,3,16]{{3,2,1,0}}, u8[0]{{0}}) custom-call(%relu_fusion, %g), window={{size=3x3 pad=1_1x1_1}}, dim_labels=b01f_o01i->b01f, custom_call_target="__cudnn$convBackwardFilter", {LEVEL % (BACKWARD, CONV1)}, {CUDNN % 'kNone'}
  %input = (bf16[2,8,8,16]{{3,2,1,0}}, u8[64]{{0}}) custom-call(%g, %w), window={{size=3x3 pad=1_1x1_1}}, dim_labels=b01f_o01i->b01f, custom_call_target="__cudnn$convBackwardInput", {LEVEL % (BACKWARD, CONV1)}, {CUDNN % 'kNone'}
  %fused = (bf16[2,8,8,32]{{3,2,1,0}}, u8[0]{{0}}) custom-call(%x, %w, %scale), window={{size=3x3 pad=1_1x1_1}}, dim_labels=b01f_o01i->b01f, custom_call_target="__cudnn$convBiasActivationForward", {LEVEL % (FORWARD, CONV1)}, {CUDNN % 'kRelu'}
  %map_sized = (bf16[16,3,3,32]{{3,2,1,0}}, u8[0]{{0}}) custom-call(%x, %g), window={{size=8x8 pad=2_2x2_2 rhs_dilate=2x2}}, dim_labels=f01b_i01o->f01b, custom_call_target="__cudnn$convForward", {LEVEL % (BACKWARD, CONV1)}, {CUDNN % 'kNone'}
  %left = bf16[2,8,8,32]{{3,2,1,0}} convolution(%x, %w), window={{size=3x3 pad=1_1x1_1}}, dim_labels=b01f_o01i->b01f, {LEVEL % (FORWARD, CONV1)}
  %flat = bf16[128,16]{{1,0}} bitcast(%x)
  %kernel = bf16[16,32]{{1,0}} bitcast(%w)
  %triton = bf16[128,32]{{1,0}} fusion(%flat, %kernel), kind=kCustom, calls=%gemm, {LEVEL % (FORWARD, 'shortcut/conv/dot_general')}
  %pooled = f32[4,512]{{1,0}} bitcast(%g)
  %weights = f32[512,10]{{1,0}} bitcast(%w)
  %logits = f32[4,10]{{1,0}} fusion(%pooled, %weights), kind=kCustom, calls=%exact_dot, metadata={{op_name="jit(step)/jvp(Network)/head/dot_general"}}
  %cublas = (f32[4,10]{{1,0}}, s8[100]{{0}}) custom-call(%pooled, %weights), custom_call_target="__cublas$gemm", backend_config={{"gemm_backend_config":{{"dot_dimension_numbers":{{"lhs_contracting_dimensions":["1"],"rhs_contracting_dimensions":["0"]}}}}}}
  %loop = (s32[], f32[100,64]{{1,0}}) while(%scale), condition=%condition, body=%body
  %all-reduce-start.1 = f32[16]{{0}} all-reduce-start(%scale), replica_groups={{{{0,1}}}}, to_apply=%sum
  %all-reduce-done.1 = f32[16]{{0}} all-reduce-done(%all-reduce-start.1)
  ROOT %statistics = f32[16]{{0}} fusion(%y), kind=kInput, calls=%fused_reduce, {LEVEL % (FORWARD, 'bn1/reduce_sum')}
}}
"""  # noqa: E501

MAP, WIDE = 2 * 8 * 8 * 16 * 2, 2 * 8 * 8 * 32 * 2  # bytes
KERNEL = 32 * 9 * 16 * 2
CONV = 2 * (2 * 8 * 8 * 32) * (9 * 16)  # operations, whichever of its three arrays is the result


@pytest.mark.parametrize(
    'name, kind, window, dtype, operations, moved',
    [
        ('relu_fusion', kernels.ELEMENTWISE, (), '', 0, 2 * MAP + 64),
        ('conv', kernels.FORWARD, (3, 3), 'bf16', CONV, MAP + KERNEL + WIDE),
        ('filter', kernels.WEIGHT_GRADIENT, (3, 3), 'bf16', CONV, MAP + KERNEL + WIDE),
        ('input', kernels.INPUT_GRADIENT, (3, 3), 'bf16', CONV, MAP + KERNEL + WIDE),
        ('fused', 'convolution + bias + relu', (3, 3), 'bf16', CONV, MAP + KERNEL + WIDE + 64),
        ('left', kernels.PLAIN, (3, 3), 'bf16', CONV, MAP + KERNEL + WIDE),
        ('triton', kernels.PRODUCT, (), 'bf16', 2 * 128 * 16 * 32, 4096 + 1024 + 8192),
        ('logits', kernels.PRODUCT, (), 'f32', 2 * 4 * 512 * 10, 4 * (2048 + 5120 + 40)),
        ('cublas', kernels.PRODUCT, (), 'tf32', 2 * 4 * 512 * 10, 4 * (2048 + 5120 + 40)),
        ('statistics', kernels.REDUCTION, (), '', 0, WIDE + 64),
        ('taken-start', kernels.ELEMENTWISE, (), '', 0, 256 + 4 + 256),  # the row alone
        ('filled', kernels.ELEMENTWISE, (), '', 0, 256 + 4 + 256),
    ],
)
def test_a_kernel(name, kind, window, dtype, operations, moved):
    (kernel,) = [each for each in kernels.read(TEXT) if each.name == name]
    assert (kernel.kind, kernel.window, kernel.dtype) == (kind, window, dtype)
    assert (kernel.operations, kernel.bytes) == (operations, moved)


def test_kernels_have_their_place_their_arrays_and_their_number():
    found = {kernel.name: kernel for kernel in kernels.read(TEXT)}
    assert list(found) == [
        *('relu_fusion', 'conv', 'filter', 'input', 'fused', 'map_sized', 'left', 'triton'),
        *('logits', 'cublas', 'taken-start', 'filled', 'statistics'),
    ]
    gradient = found['filter']
    assert (gradient.level, gradient.backward, gradient.layer) == (
        'level5',
        True,
        'level5/block0/conv1',
    )
    assert gradient.results == (Array('bf16', (32, 3, 3, 16)),)
    assert found['taken-start'].results == (Array('f32', (1, 64)),)
    assert (found['conv'].repetitions, found['filled'].repetitions) == (1, 100)


def test_what_is_likely_to_be_slow():
    variant = variants.lookup('drn_c_26')
    found = kernels.read(TEXT)
    assert [kernel.name for kernel in kernels.oversized(found, variant)] == ['map_sized']
    assert kernels.warnings(found, variant, 'bfloat16') == [
        'level5: convolution of 3 x 3 that cuDNN does not compute (1 of its layers)',
        'level5: convolution with a kernel of 8 x 8, larger than any of the layer (1 of its '
        'layers)',
    ]


def test_the_roofline():
    (conv,) = [kernel for kernel in kernels.read(TEXT) if kernel.name == 'conv']
    card = gpus.CARDS['h100']
    assert gpus.kernel_seconds(conv, card) == pytest.approx((MAP + KERNEL + WIDE) / 3352e9)
    slow = card._replace(flops=(1e9, None, 1e6))
    assert gpus.kernel_seconds(conv, slow) == pytest.approx(CONV / 1e9)
    assert gpus.kernel_seconds(conv._replace(repetitions=3), slow) == pytest.approx(3 * CONV / 1e9)
    assert gpus.kernel_seconds(conv._replace(dtype='tf32'), slow) == pytest.approx(CONV / 1e6)
