import jax
import pytest
from fills import shapes

import drn_jax
from drn_jax.models.descriptions import Row, description

# variant: parameters, 10^9 multiply-accumulates at 224 pixels, receptive field in pixels
PUBLISHED = {
    'resnet_18': (11_689_512, 1.81, 435),
    'resnet_34': (21_797_672, 3.66, 899),
    'resnet_50': (25_557_032, 4.09, 427),
    'resnet_101': (44_549_160, 7.80, 971),
    'drn_a_18': (11_689_512, 9.21, 435),
    'drn_a_34': (21_797_672, 17.30, 899),
    'drn_a_50': (25_557_032, 19.08, 427),
    'drn_a_101': (44_549_160, 33.93, 971),
    'drn_b_26': (21_126_584, 16.97, 581),
    'drn_b_42': (31_234_744, 25.06, 1045),
    'drn_c_26': (21_126_584, 16.97, 581),
    'drn_c_42': (31_234_744, 25.06, 1045),
    'drn_c_58': (40_542_008, 32.42, 573),
    'drn_d_22': (16_393_752, 13.03, 527),
    'drn_d_24': (21_114_392, 16.73, 575),
    'drn_d_38': (26_501_912, 21.13, 991),
    'drn_d_40': (31_222_552, 24.83, 1039),
    'drn_d_54': (35_809_176, 28.49, 519),
    'drn_d_56': (40_529_816, 32.19, 567),
    'drn_d_105': (54_801_304, 43.34, 1063),
    'drn_d_107': (59_521_944, 47.03, 1111),
}


def test_every_variant_is_in_the_table():
    assert sorted(PUBLISHED) == drn_jax.list_models()


@pytest.mark.parametrize('variant', PUBLISHED)
def test_totals_are_the_published_ones(variant):
    parameters, giga, field = PUBLISHED[variant]
    total = description(variant).total
    without_head = description(variant, num_classes=0).total
    assert total.parameters == parameters
    assert round(without_head.multiply_accumulates / 1e9, 2) == giga
    assert total.receptive_field == field
    assert variant.endswith(f'_{total.layers}')


def test_rows_by_hand():
    first, level3, *_, head = description('resnet_18', size=(60, 90), num_classes=10).rows
    stem_weights = 7 * 7 * 3 * 64
    assert first == Row('level2', 1, 64, 2, 1, 7, stem_weights + 128, 30 * 45 * stem_weights)
    # Max pooling is at the entry of level 3: 7 + 2 * 2 = 11, then four convolutions at stride 4.
    weights = 4 * 3 * 3 * 64 * 64
    assert level3 == Row(
        'level3', 4, 64, 4, 1, 11 + 4 * 2 * 4, weights + 4 * 128, 15 * 23 * weights
    )
    assert head == Row('head', 1, 10, 32, 1, 435, 5130, 5120)


def test_rows_are_the_levels_of_the_model():
    model = drn_jax.create_model('drn_c_58', width=0.125, num_classes=0)
    variables = shapes(model, size=64)
    images = jax.ShapeDtypeStruct((1, 64, 64, 3), 'float32')
    maps = jax.eval_shape(lambda v, x: model.apply(v, x, method='levels'), variables, images)
    stem, *rows = description('drn_c_58', size=64, num_classes=0, width=0.125).rows
    assert stem.level == 'stem'
    assert {row.level: (1, 64 // row.stride, 64 // row.stride, row.channels) for row in rows} == {
        name: leaf.shape for name, leaf in maps.items()
    }
    for row in rows:
        leaves = jax.tree.leaves(variables['params'][row.level])
        assert sum(leaf.size for leaf in leaves) == row.parameters


def test_release_reading_of_drn_a_sees_less():
    assert description('drn_a_50', first_block='release').total.receptive_field == 411
    # 435 less 2 * 8 pixels for every step of dilation: 1 of level 5, 1 and 3 of level 6.
    assert description('drn_a_18', first_block='release').total.receptive_field == 435 - 16 * 5


def test_prints_a_table():
    lines = str(description('drn_a_18', size=(1024, 2048), num_classes=19)).split('\n')
    assert lines[0] == 'drn_a_18, one image of 1024 x 2048 pixels'
    assert lines[1].split() == [
        'level',
        'layers',
        'channels',
        'stride',
        'dilation',
        'receptive',
        'field',
        'parameters',
        'MACs',
    ]
    assert [line.split()[0] for line in lines[2:]] == [
        'level2',
        'level3',
        'level4',
        'level5',
        'level6',
        'head',
        'total',
    ]
    assert len({len(line) for line in lines[1:]}) == 1


@pytest.mark.parametrize(
    'options, text',
    [
        ({'size': 0}, 'size 0 must be a whole number, 1 or above'),
        ({'size': 22.5}, 'size 22.5 must be a whole number, 1 or above'),
        ({'size': (1, 2, 3)}, 'size (1, 2, 3) must be a side in pixels, or height and width'),
        ({'num_classes': -1}, 'num_classes -1 must be a whole number, 0 or above'),
        ({'first_block': 'release'}, 'is a choice in drn_a variants only'),
    ],
)
def test_errors_quote_what_was_given(options, text):
    with pytest.raises(ValueError) as error:
        description('drn_c_26', **options)
    assert text in str(error.value)


def test_describe_prints_what_it_gives(capsys):
    found = drn_jax.describe('resnet_18')
    assert found == description('resnet_18')
    assert capsys.readouterr().out == f'{found}\n'
