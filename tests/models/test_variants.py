import numpy as np
import pytest

from drn_jax.models import variants


def column(name, field, **options):
    return [getattr(level, field) for level in variants.lookup(name, **options).levels]


def test_list_models():
    assert variants.list_models() == [
        'drn_a_101',
        'drn_a_18',
        'drn_a_34',
        'drn_a_50',
        'drn_b_26',
        'drn_b_42',
        'drn_c_26',
        'drn_c_42',
        'drn_c_58',
        'drn_d_105',
        'drn_d_107',
        'drn_d_22',
        'drn_d_24',
        'drn_d_38',
        'drn_d_40',
        'drn_d_54',
        'drn_d_56',
        'resnet_101',
        'resnet_18',
        'resnet_34',
        'resnet_50',
    ]


@pytest.mark.parametrize(
    'name, strides, dilations',
    [
        ('resnet_18', [1, 2, 2, 2], [1, 1, 1, 1]),
        ('drn_a_50', [1, 2, 1, 1], [1, 1, 2, 4]),
        ('drn_b_26', [1, 2, 2, 2, 1, 1, 1, 1], [1, 1, 1, 1, 2, 4, 2, 1]),
        ('drn_d_105', [1, 2, 2, 2, 1, 1, 1, 1], [1, 1, 1, 1, 2, 4, 2, 1]),
    ],
)
def test_strides_and_dilations(name, strides, dilations):
    assert column(name, 'stride') == strides
    assert column(name, 'dilation') == dilations


@pytest.mark.parametrize(
    'name, numbers, outputs, stride',
    [
        ('resnet_34', [3, 4, 5, 6], [64, 128, 256, 512], 32),
        ('drn_a_50', [3, 4, 5, 6], [256, 512, 1024, 2048], 8),
        ('drn_c_26', [1, 2, 3, 4, 5, 6, 7, 8], [16, 32, 64, 128, 256, 512, 512, 512], 8),
        ('drn_c_58', [1, 2, 3, 4, 5, 6, 7, 8], [16, 32, 256, 512, 1024, 2048, 512, 512], 8),
    ],
)
def test_levels_and_their_channels(name, numbers, outputs, stride):
    assert column(name, 'number') == numbers
    assert column(name, 'outputs') == outputs
    assert variants.lookup(name).stride == stride
    assert variants.lookup(name).outputs == outputs[-1]


def test_families_differ_where_figure_5_says():
    assert column('drn_b_26', 'residual') == [True] * 8
    assert column('drn_c_26', 'residual') == [True] * 6 + [False] * 2
    assert column('drn_d_54', 'kind') == ['plain'] * 2 + ['bottleneck'] * 4 + ['plain'] * 2
    assert column('drn_c_58', 'kind') == ['basic'] * 2 + ['bottleneck'] * 4 + ['basic'] * 2


@pytest.mark.parametrize('name', variants.list_models())
def test_name_counts_the_layers(name):
    row = variants.lookup(name)
    convs = sum(len(block.convs) for _, blocks in row.expand() for block in blocks)
    assert name.endswith(f'_{1 + convs + 1}')  # the stem and the classifier are two of them


def dilations_of_first_blocks(name, **options):
    return {
        level.name: [conv.dilation for conv in blocks[0].convs if conv.kernel_size == 3]
        for level, blocks in variants.lookup(name, **options).expand()
        if level.dilation > 1
    }


def test_first_block_of_drn_a():
    assert dilations_of_first_blocks('drn_a_18') == {'level5': [1, 2], 'level6': [2, 4]}
    assert dilations_of_first_blocks('drn_a_50') == {'level5': [1], 'level6': [2]}
    assert dilations_of_first_blocks('drn_a_18', first_block='release') == {
        'level5': [1, 1],
        'level6': [1, 1],
    }
    assert dilations_of_first_blocks('drn_a_50', first_block='release') == {
        'level5': [1],
        'level6': [1],
    }


def test_first_block_elsewhere_has_the_dilation_of_its_level():
    assert dilations_of_first_blocks('drn_b_26') == {
        'level5': [2, 2],
        'level6': [4, 4],
        'level7': [2, 2],
    }


def test_only_the_first_block_is_special():
    level6 = variants.lookup('drn_a_34').levels[-1]
    assert [[conv.dilation for conv in block.convs] for block in level6.expand(256)] == [
        [2, 4],
        [4, 4],
        [4, 4],
    ]


def dilations(variant, **options):
    """Dilations of the 3x3 convolutions, by level."""
    return {
        level.name: [
            conv.dilation for block in blocks for conv in block.convs if conv.kernel_size == 3
        ]
        for level, blocks in variants.lookup(variant, **options).expand()
        if level.dilation > 1
    }


@pytest.mark.parametrize(
    'variant, own', [('drn_a_34', 'none'), ('drn_b_42', 'levels_residual'), ('drn_c_42', 'levels')]
)
def test_the_paper_s_ways_against_gridding_are_those_of_its_networks(variant, own):
    assert variants.lookup(variant, 0.25, degridding=own) == variants.lookup(variant, 0.25)


def test_a_way_against_gridding_replaces_that_of_the_variant():
    found = {
        name: variants.lookup(f'drn_{name}', degridding='levels').levels
        for name in ('b_26', 'c_26', 'a_18')
    }
    assert found['b_26'] == found['c_26']
    assert found['a_18'][-2:] == found['c_26'][-2:]
    assert found['a_18'][:-2] == variants.lookup('drn_a_18').levels
    assert column('drn_d_24', 'number', degridding='none') == [1, 2, 3, 4, 5, 6]
    # After bottlenecks: 2048 channels go in, basic blocks of 512 follow.
    (block,) = variants.lookup('drn_a_50', degridding='levels').levels[-2].expand(2048)
    assert [conv[:4] for conv in block.convs] == [
        ('conv1', 3, 2048, 512),
        ('conv2', 3, 512, 512),
    ]


def test_hybrid_dilations_are_those_of_the_paper():
    # Wang et al. 2018: threes of 1, 2, 3 and two blocks of 2 among the 23; 3, 4, 5 among the 3.
    assert dilations('drn_d_105', degridding='hdc') == {
        'level5': [1, 2, 3] * 7 + [2, 2],
        'level6': [3, 4, 5],
    }
    assert dilations('drn_a_18', degridding='hdc') == {
        'level5': [1, 2, 3, 2],
        'level6': [3, 4, 5, 4],
    }


def test_smoothing_kernels_reach_from_tap_to_tap():
    smoothing = {
        level.name: [conv.smoothing for block in blocks for conv in block.convs]
        for level, blocks in variants.lookup('drn_a_50', degridding='smooth').expand()
    }
    assert smoothing['level4'] == [0, 0, 0] * 4
    assert smoothing['level5'] == [0, 0, 0] + [0, 3, 0] * 5  # the first keeps dilation 1
    assert smoothing['level6'] == [0, 3, 0] + [0, 7, 0] * 2


def test_bottleneck_strides_and_dilates_in_the_middle():
    block, *_ = variants.lookup('resnet_50').levels[1].expand(256)
    assert block.convs == (
        variants.Conv('conv1', 1, 256, 128),
        variants.Conv('conv2', 3, 128, 128, stride=2),
        variants.Conv('conv3', 1, 128, 512),
    )
    assert block.projection == variants.Conv('conv', 1, 256, 512, stride=2)


def test_width_scales_every_level():
    assert column('drn_c_58', 'outputs', width=0.25) == [4, 8, 64, 128, 256, 512, 128, 128]
    assert variants.lookup('drn_c_58', width=0.25).stem.channels == 4
    assert variants.lookup('resnet_18', width=np.float32(2)).outputs == 1024


@pytest.mark.parametrize(
    'arguments, text',
    [
        (('drn_c_27',), "variant 'drn_c_27' is unknown; known: drn_a_101, drn_a_18, "),
        ((None,), 'variant None is unknown; known: '),
        (
            ('drn_a_18', 1.0, 'paperback'),
            "first_block 'paperback' is unknown; allowed: 'paper', 'release'",
        ),
        (
            ('drn_c_26', 1.0, 'release'),
            "first_block 'release' is a choice in drn_a variants only; "
            "leave it at 'paper' for 'drn_c_26'",
        ),
        (('resnet_18', 1.0, 'release'), 'is a choice in drn_a variants only'),
        (
            ('drn_a_18', 1.0, 'paper', '3x3', 'rough'),
            "degridding 'rough' is unknown; allowed: own, none, levels_residual, levels, smooth, ",
        ),
        (
            ('resnet_18', 1.0, 'paper', '3x3', 'hdc'),
            "degridding 'hdc' is a choice in dilated networks only; leave it at 'own' for "
            "'resnet_18'",
        ),
        (('drn_c_26', 0), 'width 0 must be a number above 0'),
        (('drn_c_26', -1.5), 'width -1.5 must be a number above 0'),
        (('drn_c_26', float('nan')), 'width nan must be a number above 0'),
        (('drn_c_26', '1'), "width '1' must be a number above 0"),
        (
            ('drn_c_26', 0.03),
            "width 0.03 rounds the 16 channels that 'drn_c_26' begins with to 0; "
            'use more than 0.03125',
        ),
    ],
)
def test_errors_quote_what_was_given(arguments, text):
    with pytest.raises(ValueError) as error:
        variants.lookup(*arguments)
    assert text in str(error.value)


@pytest.mark.parametrize('value', [1.5, -1, '3', None])
def test_whole_number_refuses(value):
    with pytest.raises(ValueError) as error:
        variants.whole_number('size', value, least=0)
    assert str(error.value) == f'size {value!r} must be a whole number, 0 or above'


def test_whole_number_takes_any_integer_type():
    assert variants.whole_number('size', np.int64(3), least=3) == 3
