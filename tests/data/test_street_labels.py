"""Label maps of Cityscapes as train ids, label ids and colors; one taken for another is refused."""

import numpy as np
import pytest
from PIL import Image
from support.errors import refused

from drn_jax import cityscapes
from drn_jax.data.street_labels import read_street_labels

TRAIN_IDS = np.array([[0, 1, 2, 13], [10, 18, 255, 255]], np.uint8)
LABEL_IDS = np.array([[7, 8, 11, 26], [23, 33, 0, 4]], np.uint8)
COLORS = np.array(
    [[(128, 64, 128), (244, 35, 232), (70, 70, 70), (0, 0, 142)],
     [(70, 130, 180), (119, 11, 32), (0, 0, 0), (81, 0, 81)]], np.uint8
)  # fmt: skip


def save(folder, name, values):
    """Writes an image file."""
    Image.fromarray(np.array(values, np.uint8)).save(folder / name)
    return folder / name


@pytest.mark.parametrize(
    'name, values, kind',
    [
        ('a_gtFine_labelIds.png', LABEL_IDS, ''),
        ('a_gtFine_labelTrainIds.png', TRAIN_IDS, ''),
        ('a_trainIds.png', TRAIN_IDS, ''),
        ('a_gtFine_color.png', COLORS, ''),
        ('a.png', TRAIN_IDS, ''),
        ('a.png', COLORS, ''),
        ('a.png', LABEL_IDS, 'label_ids'),
        ('a_labelIds.png', TRAIN_IDS, 'train_ids'),
        ('a.png', COLORS, 'colors'),
    ],
)
def test_each_form_gives_train_ids(name, values, kind, tmp_path):
    found = read_street_labels(save(tmp_path, name, values), kind)
    np.testing.assert_array_equal(found, TRAIN_IDS)
    assert found.dtype == np.uint8


@pytest.mark.parametrize('name', ['a.png', 'a_gtFine_color.png', 'a_color.png'])
def test_colors_in_a_palette(name, tmp_path):
    """Their indices say nothing, but for train ids that are shown in the colors."""
    Image.fromarray(COLORS).convert('P', palette=Image.Palette.ADAPTIVE).save(tmp_path / name)
    np.testing.assert_array_equal(read_street_labels(tmp_path / name), TRAIN_IDS)


@pytest.mark.parametrize('name', ['a.png', 'a_trainIds.png'])
@pytest.mark.parametrize('palette', [cityscapes.PALETTE, [(i, 9, 9) for i in range(19)]])
def test_train_ids_with_a_palette(name, palette, tmp_path):
    image = Image.fromarray(TRAIN_IDS)
    image.putpalette(np.array(palette).ravel().tolist())
    image.save(tmp_path / name)
    np.testing.assert_array_equal(read_street_labels(tmp_path / name), TRAIN_IDS)


def test_colors_with_alpha_and_all_of_the_palette(tmp_path):
    opaque = np.dstack([COLORS, np.full(COLORS.shape[:2], 255, np.uint8)])
    found = read_street_labels(save(tmp_path, 'a_gtFine_color.png', opaque))
    np.testing.assert_array_equal(found, TRAIN_IDS)
    colors = [[*cityscapes.PALETTE, *cityscapes.VOID_COLORS]]
    found = read_street_labels(save(tmp_path, 'all.png', colors))
    assert found.tolist() == [[*range(19), *[255] * len(cityscapes.VOID_COLORS)]]


@pytest.mark.parametrize(
    'name, values, match',
    [
        ('a.png', LABEL_IDS, 'values 23, 26, 33, which look like label ids'),
        ('a_trainIds.png', LABEL_IDS, 'which look like label ids; give --label_kind=label_ids'),
        ('a_labelIds.png', TRAIN_IDS, 'which look like train ids; give --label_kind=train_ids'),
        ('a_labelIds.png', [[0, 7, 18]], 'only values below 19, as train ids do; say by'),
        ('a.png', [[0, 77]], 'the values 77; allowed are 0 to 18'),
        ('a_labelIds.png', [[7, 26, 77]], 'the values 77; allowed are 0 to 33'),
        ('a.png', COLORS + np.uint8(3), "8 pixels of colors that are none of Cityscapes', such as"),
    ],
)
def test_one_form_taken_for_another_is_refused(name, values, match, tmp_path):
    file = save(tmp_path, name, values)
    with refused('--label_kind', file, match=match):
        read_street_labels(file)
