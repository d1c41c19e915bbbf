"""Pairs of generated streets and label maps by the names of their files, or by a table."""

import pytest
from support.errors import refused

from drn_jax.data.street_pairs import pair_streets

SCENES = ('frankfurt_000000_000294', 'lindau_000001_000019')


def touch(folder, *names):
    """Makes empty files, whose names are all that is looked at."""
    for name in names:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return folder


@pytest.mark.parametrize(
    'image', ['{}_fake_B.png', '{}_synthesized_image.jpg',
              '{}_gtFine_labelIds_synthesized_image.jpg', '{}_leftImg8bit.png', '{}.png',
              'deep/er/{}_leftImg8bit_fake_B.png'],
)  # fmt: skip
@pytest.mark.parametrize(
    'label', ['{}_gtFine_labelIds.png', '{}_gtFine_trainIds.png', '{}_gtFine_labelTrainIds.png',
              '{}_gtFine_color.png', '{}_color.png', '{}.png', '{}_leftImg8bit.png'],
)  # fmt: skip
def test_names_of_generators_and_of_cityscapes(image, label, tmp_path):
    images = touch(tmp_path / 'images', *[image.format(scene) for scene in SCENES])
    labels = touch(tmp_path / 'labels', *[f'val/{label}'.format(scene) for scene in SCENES])
    pairs, remarks = pair_streets(images, labels)
    assert remarks == [] and [
        (pair.image, pair.label) for pair in sorted(pairs, key=lambda pair: pair.label)
    ] == [
        (f'{images}/{image.format(scene)}', f'{labels}/val/{label.format(scene)}')
        for scene in SCENES
    ]


def test_of_several_label_maps_the_best_is_taken_and_others_are_left_out(tmp_path):
    images = touch(tmp_path / 'images', 'a_fake_B.png', 'a_real_A.png', 'a_real_B.png')
    labels = touch(
        tmp_path / 'labels',
        *[f'a_gtFine_{kind}.png' for kind in ('color', 'instanceIds', 'labelIds', 'trainIds')],
        'b_gtFine_labelIds.png',
    )
    (pair,), remarks = pair_streets(images, labels)
    assert pair == ('a_fake_B', f'{images}/a_fake_B.png', f'{labels}/a_gtFine_trainIds.png')
    assert remarks[0].startswith(f"2 images in '{images}' are left out")
    assert remarks[1:] == [
        f"1 label maps in '{labels}' have no image, and are left out: b_gtFine_labelIds.png"
    ]


def test_label_maps_beside_the_images(tmp_path):
    folder = touch(tmp_path, '1_fake_B.png', '1_real_A.png', '2_fake_B.png', '2_real_A.png')
    pairs, _ = pair_streets(folder, folder)
    assert [pair.label for pair in pairs] == [f'{folder}/1_real_A.png', f'{folder}/2_real_A.png']


def test_a_table_names_the_label_maps(tmp_path):
    images = touch(tmp_path / 'images', '0_fake_B.png', f'{SCENES[1]}_leftImg8bit_fake_B.png')
    names = [f'gtFine/val/{scene}_gtFine_trainIds.png' for scene in SCENES]
    labels = touch(tmp_path / 'labels', *names)
    table = tmp_path / 'table.txt'
    table.write_text(
        ''.join(
            f'{number} {name} leftImg8bit/val/{scene}_leftImg8bit.png\n'
            for number, (name, scene) in enumerate(zip(names, SCENES))
        )
    )
    pairs, _ = pair_streets(images, labels, table)
    assert [pair.label for pair in pairs] == [f'{labels}/{name}' for name in names]
    table.write_text(f'0\t{names[1]}\n{SCENES[1]},{names[0]}\n')
    pairs, _ = pair_streets(images, labels, table)
    assert [pair.label for pair in pairs] == [f'{labels}/{name}' for name in names[::-1]]


def test_what_cannot_be_paired_is_refused(tmp_path):
    images = touch(tmp_path / 'images', 'a_fake_B.png', 'b_fake_B.png')
    labels = touch(tmp_path / 'labels', 'a_gtFine_labelIds.png')
    with refused(path=images, match=r'1 of the 2 images .* have no label map in .*: b_fake_B.png;'):
        pair_streets(images, labels)
    touch(labels, 'x/b_gtFine_labelIds.png', 'y/b_gtFine_labelIds.png')
    with refused(path=labels, match=r'b has 2 label maps in .*: x/b.*, y/b'):
        pair_streets(images, labels)
    touch(images, 'b_synthesized_image.png')
    with refused(path=images, match='would have the same label map'):
        pair_streets(images, labels)
    (images / 'b_synthesized_image.png').unlink()
    (labels / 'x/b_gtFine_labelIds.png').unlink()
    touch(images, 'epoch_2/b_fake_B.png')
    with refused(path=images, match=r'1 of the 3 .* epoch_2/b_fake_B.png \(that of b_fake_B'):
        pair_streets(images, labels)
    with refused(path=tmp_path / 'nothing', match='no directory'):
        pair_streets(tmp_path / 'nothing', labels)
    (tmp_path / 'empty').mkdir()
    with refused(path=tmp_path / 'empty', match='holds no images'):
        pair_streets(tmp_path / 'empty', labels)


@pytest.mark.parametrize(
    'text, match',
    [
        ('', 'no line'),
        ('a b c d', "'a b c d'"),
        ('a x/a.png', '1 of the 1 label maps .* do not exist'),
        ('a x\na x\na y z/a_leftImg8bit.png', 'gives a 2 label maps: x, y; keep one'),
    ],
)
def test_a_table_that_cannot_be_used(text, match, tmp_path):
    images = touch(tmp_path / 'images', 'a_fake_B.png')
    table = tmp_path / 'table.txt'
    table.write_text(text)
    with refused('--table', table, match=match):
        pair_streets(images, tmp_path, table)
    with refused('--table', tmp_path / 'other.txt', match='cannot be read'):
        pair_streets(images, tmp_path, tmp_path / 'other.txt')
    with refused('--table', 'https://host/table', match='not local'):
        pair_streets(images, tmp_path, 'https://host/table')
