"""Data sets of the user's own, and folders read straight from their files."""

import json
import os
import re
import shutil

import numpy as np
import pytest
from data.own_maps import (
    INFO,
    write,
    write_camvid,
    write_folders,
    write_info,
    write_listed,
    write_lists,
    write_pair,
)
from data.test_tfds_label_maps import map_settings
from support.errors import refused

from drn_jax import cityscapes, recipes
from drn_jax.data import evaluation_batches, open_pairs, open_source, training_batches
from drn_jax.data.dataset_info import default_palette, read_info
from drn_jax.data.split_checks import training_remarks
from drn_jax.errors import InputError

PATTERN = [0, 1, 2, 255]


def own(root, **changes):
    return map_settings(
        name='label_maps', data_dir=str(root), crop_px=8, **{'shards': 1, **changes}
    )


def batches_of(source, data, **arguments):
    return list(evaluation_batches(source, data, **{'batch_size': 4, **arguments}))


@pytest.mark.parametrize('write_all', [write_listed, write_folders])
def test_lists_and_folders_are_built_and_read(tmp_path, write_all):
    write_all(tmp_path)
    data = own(tmp_path)
    source = open_source(data, 'maps')
    assert source.class_names == tuple(INFO['classes']) and source.label_kind == 'maps'
    assert source.mean_std == ((0.5, 0.4, 0.3), (0.2, 0.2, 0.1))
    assert source.palette == ((0, 0, 0), (128, 0, 0), (0, 128, 0))
    assert source.image_size == (12, 16)
    assert source.num_examples('train') == 4 and source.num_examples('validation') == 2
    (batch,) = batches_of(source, data, split='train')
    assert batch['mask'].all()
    for image, label, name in zip(batch['image'], batch['label'], batch['name']):
        number = int(name[-1])
        assert np.abs(image.astype(int) - 10 * number).max() <= 1
        np.testing.assert_array_equal(label, np.resize(PATTERN, (12, 16)))
    training = next(training_batches(source, data, batch_size=4, seed=0))
    assert training['image'].shape == (4, 8, 8, 3) and training['mask'].all()


def test_names_are_relative_paths_without_their_suffixes(tmp_path):
    write_listed(tmp_path, train=1, val=1)
    data = own(tmp_path)
    (batch,) = batches_of(open_source(data, 'maps'), data)
    assert batch['name'].tolist() == ['photos/val0', '', '', '']


def test_a_data_set_is_built_once_and_anew_where_a_file_changed(tmp_path):
    write_listed(tmp_path)
    data = own(tmp_path)
    open_source(data, 'maps')
    (built,) = (tmp_path / 'prepared').iterdir()
    records = next(built.rglob('*train.tfrecord*'))
    before = records.stat().st_mtime_ns
    open_source(data, 'maps')
    assert list((tmp_path / 'prepared').iterdir()) == [built]
    assert records.stat().st_mtime_ns == before
    write_info(tmp_path, mean=[0.1, 0.1, 0.1])  # is not built into it
    assert open_source(data, 'maps').mean_std[0] == (0.1, 0.1, 0.1)
    assert list((tmp_path / 'prepared').iterdir()) == [built]
    changed = tmp_path / 'masks' / 'train0_m.png'
    write(tmp_path, changed, np.full((12, 16), 2, np.uint8))
    os.utime(changed, (1, 1))
    (batch,) = batches_of(open_source(data, 'maps'), data, split='train')
    assert len(list((tmp_path / 'prepared').iterdir())) == 2
    row = batch['name'].tolist().index('photos/train0')
    assert (batch['label'][row] == 2).all()


def test_images_of_several_sizes_are_grouped(tmp_path):
    write_info(tmp_path)
    sizes = [(12, 16), (8, 8), (12, 16), (8, 8), (12, 16), (8, 8), (8, 8), (5, 9)]
    images = [f'{number}.png' for number in range(8)]
    for number, size in enumerate(sizes):
        write_pair(tmp_path, images[number], f'l{number}.png', number=number, size=size)
    lists = {
        f'train_{kind}': [f'{start}{name}' for name in images]
        for kind, start in (('images', ''), ('labels', 'l'))
    }
    write_lists(tmp_path, **lists)
    data = own(tmp_path, train_split='train', validation_split='train')
    source = open_source(data, 'maps')
    assert source.image_size is None
    batches = batches_of(source, data, batch_size=2)
    assert [batch['image'].shape[1:3] for batch in batches].count((8, 8)) == 2
    seen = []
    for batch in batches:
        assert len(batch['mask']) == 2 and (batch['label'][~batch['mask']] == 255).all()
        assert not batch['image'][~batch['mask']].any()
        for row in np.flatnonzero(batch['mask']):
            number = int(batch['name'][row])
            assert batch['image'].shape[1:3] == sizes[number]
            assert (batch['image'][row] == 10 * number).all()
            seen.append((int(batch['index'][row]), number))
    assert sorted(index for index, _ in seen) == list(range(8))
    assert sorted(number for _, number in seen) == list(range(8))
    # What is left of each size comes last, smaller sizes first.
    assert [batch['image'].shape[1:3] for batch in batches if not batch['mask'].all()] == [
        (5, 9),
        (12, 16),
    ]
    again = batches_of(source, data, batch_size=2)
    assert [batch['index'].tolist() for batch in again] == [
        batch['index'].tolist() for batch in batches
    ]
    training = next(training_batches(source, data, batch_size=8, seed=0))
    assert training['mask'].all()  # of any size
    both = [batches_of(source, data, batch_size=2, process=(i, 2)) for i in range(2)]
    assert [len(share) for share in both] == [len(batches)] * 2
    for whole, *rows in zip(batches, *both):  # each process has its row of the same batches
        for key in whole:
            np.testing.assert_array_equal(np.concatenate([row[key] for row in rows]), whole[key])
    data.evaluation_size = (6, 7)
    shares = [batches_of(source, data, batch_size=6, process=(i, 2)) for i in range(2)]
    assert [len(share) for share in shares] == [2, 2]
    assert all(batch['image'].shape == (3, 6, 7, 3) for share in shares for batch in share)


def test_processes_without_images_give_padding(tmp_path):
    write_listed(tmp_path, val=1)
    data = own(tmp_path)
    source = open_source(data, 'maps')
    (first,), (second,) = (batches_of(source, data, batch_size=2, process=(i, 2)) for i in (0, 1))
    empty, full = sorted((first, second), key=lambda batch: batch['mask'].sum())
    assert full['mask'].tolist() == [True] and empty['mask'].tolist() == [False]
    assert empty['image'].shape == (1, 12, 16, 3) and not empty['image'].any()
    assert (empty['label'] == 255).all() and empty['name'].tolist() == ['']


def test_a_damaged_image_costs_its_row(tmp_path):
    write_listed(tmp_path)
    image = tmp_path / 'photos' / 'train1.png'
    image.write_bytes(image.read_bytes()[:50])  # the head is whole
    data = own(tmp_path, max_unreadable_fraction=0.3)
    source = open_source(data, 'maps')
    batches = training_batches(source, data, batch_size=4, seed=0)
    batch = next(batches)
    (lost,) = np.flatnonzero(~batch['mask'])
    assert not batch['image'][lost].any() and (batch['label'][lost] == 255).all()
    assert list(batches.unreadable) == ['photos/train1']
    assert next(evaluation_batches(source, data, batch_size=4, split='train'))['mask'].sum() == 3


def test_ignored_values_and_palettes_and_label_ids(tmp_path):
    write_listed(tmp_path, train=1, val=1, value=7)
    write_info(tmp_path, ignore=[7], palette=[[9, 8, 7], [1, 2, 3], [4, 5, 6]])
    data = own(tmp_path)
    source = open_source(data, 'maps')
    assert source.palette == ((9, 8, 7), (1, 2, 3), (4, 5, 6))
    assert (batches_of(source, data)[0]['label'][0] == 255).all()
    (tmp_path / 'info.json').write_text('{"label_ids": true}')
    source = open_source(data, 'maps')
    assert source.class_names == cityscapes.CLASS_NAMES and source.mean_std is None
    assert source.palette == cityscapes.PALETTE
    assert (batches_of(source, data)[0]['label'][0] == 0).all()  # 7 is a road


def test_label_maps_with_a_palette_hold_indices(tmp_path):
    from PIL import Image

    write_listed(tmp_path, train=1, val=1)
    picture = Image.fromarray(np.resize(np.array(PATTERN, np.uint8), (12, 16)))
    picture.putpalette(list(range(256)) * 3)
    assert picture.mode == 'P'
    picture.save(tmp_path / 'masks' / 'val0_m.png')
    data = own(tmp_path)
    (batch,) = batches_of(open_source(data, 'maps'), data, batch_size=1)
    np.testing.assert_array_equal(batch['label'][0], np.resize(PATTERN, (12, 16)))


def test_a_test_split_needs_no_labels(tmp_path):
    write_listed(tmp_path)
    write_lists(tmp_path, test_images=['photos/train0.png'])
    assert set(open_source(own(tmp_path), 'maps').splits) == {'train', 'validation'}


def test_the_default_colors_are_pascals():
    assert default_palette(21)[15] == (192, 128, 128) and default_palette(21)[20] == (0, 64, 128)
    assert len(set(default_palette(255))) == 255


def lists(**changed):
    return lambda root: write_lists(root, **changed)


IMAGES = [f'photos/train{number}.png' for number in range(4)]


@pytest.mark.parametrize(
    'damage, message',
    [
        (lambda root: (root / 'info.json').unlink(), 'info.json is missing; write {"classes"'),
        (
            lambda root: (root / 'info.json').write_text('{'),
            'info.json is no JSON: .*; correct it$',
        ),
        (
            lambda root: (root / 'info.json').write_bytes(b'\xff\xfe{'),
            'info.json is no JSON: .*utf-8',
        ),
        (
            lambda root: (root / 'train_images.txt').write_bytes(b'photos/tr\xe4in.png\n'),
            '^train_images.txt in .* is no UTF-8 text .*; save it as UTF-8$',
        ),
        (
            lambda root: write_info(root, clases=[]),
            'info.json: clases is unknown; known are classes, ',
        ),
        (lambda root: write_info(root, classes=['a', 'a']), 'classes is .*; give a list of 1 to'),
        (lambda root: write_info(root, classes=[]), r'classes is \[\]; give a list'),
        (
            lambda root: write_info(root, mean=[123.0, 117.0, 104.0]),
            r'mean is \[123.0, 117.0, 104.0\]; give three numbers, .* in 0 to 1, white being 1$',
        ),
        (
            lambda root: write_info(root, std=[0, 0, 0]),
            r'std is \[0, 0, 0\]; .* above 0, at most 1',
        ),
        (lambda root: write_info(root, ignore=[256]), r'ignore is \[256\]; give a list of'),
        (
            lambda root: write_info(root, palette=[[1, 2, 3]]),
            'palette must hold .* each of the 3 cla',
        ),
        (
            lambda root: write_info(root, label_ids=True),
            'label_ids is true but there are 3 classes',
        ),
        (
            lists(train_images=[]),
            "^train_images.txt in '.*' is empty; give one relative path a line$",
        ),
        (lists(train_labels=[]), '^train_labels.txt in .* is empty'),
        (lambda root: (root / 'train_labels.txt').unlink(), '^train_labels.txt is missing in .*; '),
        (
            lists(train_images=IMAGES[:3]),
            '^train_images.txt names 3 images but train_labels.txt 4 label maps, '
            'in .*; line i of both',
        ),
        (
            lists(train_images=[*IMAGES[:3], '../secret.png']),
            "^path 4 of train_images.txt, '../secret.png', leads out of '.*'; give "
            'paths inside it, rel',
        ),
        (
            lists(train_images=[*IMAGES[:3], 'photos/../../a.png']),
            '^path 4 of train_images.txt, .*out',
        ),
        (
            lists(train_images=['/etc/passwd', *IMAGES[:3]]),
            "^path 1 .* '/etc/passwd', leads out of",
        ),
        (
            lists(train_images=[*IMAGES[:2], 'no.png', 'none.png']),
            '^2 of the 4 files in train_images.txt do not exist in .*: no.png, none.png; correct',
        ),
        (
            lambda root: write(root, 'masks/val0_m.png', np.zeros((6, 8), np.uint8)),
            '/photos/val0.png has 12 x 16 pixels, .*/masks/val0_m.png 6 x 8; both '
            'must have the same$',
        ),
        (
            lambda root: write_pair(root, 'photos/train3.png', 'masks/train3_m.png', value=3),
            '^.*/masks/train3_m.png holds 192 pixels out of range, of the values 3; allowed are '
            '0 to 2 and 255$',
        ),
        (
            lambda root: [
                write_pair(root, 'photos/train3.png', f'masks/train{number}_m.png', value=9)
                for number in (1, 3)
            ],
            r'^.*/train1_m.png holds .* \(2 files have problems; python -m '
            r'drn_jax.check_data lists',
        ),
        (
            lambda root: write(root, 'masks/val1_m.png', np.zeros((12, 16), np.uint16)),
            '^.*/masks/val1_m.png has 16 bits or more; a label map has one channel '
            'of 8 bits, which',
        ),
        (
            lambda root: write(root, 'masks/val1_m.png', np.zeros((12, 16, 3), np.uint8)),
            r'^.*/masks/val1_m.png has 3 channels \(RGB\); a label map has one channel of 8 bits',
        ),
        (
            lambda root: (root / 'masks' / 'val1_m.png').write_text('no image'),
            '^.*/masks/val1_m.png cannot be read as an image; repair or replace it$',
        ),
        (
            lambda root: (root / 'photos' / 'val1.png').write_text('no image'),
            '^.*/photos/val1.png cannot be read as an image; repair or replace it$',
        ),
    ],
)
def test_bad_input_is_told_in_a_sentence(tmp_path, damage, message):
    write_listed(tmp_path)
    damage(tmp_path)
    with pytest.raises(InputError, match=message) as error:
        open_source(own(tmp_path), 'maps')
    assert '\n' not in str(error.value) and error.value.path.startswith(str(tmp_path))
    assert not (tmp_path / 'prepared').exists()  # nothing was built


def test_images_without_label_maps_are_named(tmp_path):
    write_folders(tmp_path)
    for number in (1, 3):
        (tmp_path / f'labels/train/a/{number}.png').unlink()
    with refused(path=tmp_path / 'images/train', match='^2 of the 4 .*: a/1.jpg, a/3.jpg; give'):
        open_source(own(tmp_path), 'maps')


@pytest.mark.parametrize('root', ['', 'nowhere'])
def test_a_missing_directory_is_named(tmp_path, root):
    with refused('config.data.data_dir'):
        read_info(root and str(tmp_path / root))


def test_a_directory_of_nothing_is_named(tmp_path):
    write_info(tmp_path)
    with refused(path=tmp_path):
        open_source(own(tmp_path), 'maps')


def test_label_ids_taken_for_train_ids_are_told(tmp_path):
    write_listed(tmp_path, value=26)
    write_info(tmp_path, classes=list(cityscapes.CLASS_NAMES))
    with refused(
        path=tmp_path / 'masks/train0_m.png', match='label ids, not train ids: .*6 files have'
    ):
        open_source(own(tmp_path), 'maps')
    write_pair(tmp_path, 'images/train/a_leftImg8bit.png', 'labels/train/a_gtFine_labelIds.png')
    for name in tmp_path.glob('*.txt'):
        name.unlink()
    with refused(path=tmp_path / 'labels/train/a_gtFine_labelIds.png', match='named as'):
        open_source(own(tmp_path), 'maps')


def test_pairs_are_read_straight_from_their_files(tmp_path):
    for number in range(3):
        write_pair(tmp_path, f'images/b/{number}.jpg', f'labels/b/{number}.png', number=number)
    data = own('')
    source = open_pairs(
        f'{tmp_path}/images', f'{tmp_path}/labels', like=(INFO['classes'], default_palette(3))
    )
    assert source.num_examples('all') == 3 and source.image_size == (12, 16)
    assert source.class_names == tuple(INFO['classes']) and len(source.palette) == 3
    (batch,) = batches_of(source, data, split='all')
    assert batch['name'].tolist() == ['b/0', 'b/1', 'b/2', '']
    assert batch['mask'].tolist() == [True, True, True, False]
    np.testing.assert_array_equal(batch['label'][1], np.resize(PATTERN, (12, 16)))
    (part,) = batches_of(source, data, split='all[1:2]', batch_size=1)
    assert part['name'].tolist() == ['b/1'] and part['index'].tolist() == [0]
    again = open_pairs(f'{tmp_path}/images', f'{tmp_path}/labels', like=source)
    assert again.class_names == source.class_names


def test_pairs_with_cityscapes_names(tmp_path):
    like = cityscapes.CLASS_NAMES, cityscapes.PALETTE
    write_pair(tmp_path, 'x/a_leftImg8bit.png', 'y/a_gtFine_labelIds.png', value=26)
    write_pair(tmp_path, 'x/b_leftImg8bit.png', 'y/b_gtFine_labelIds.png', value=26)
    write(tmp_path, 'y/b_gtFine_labelTrainIds.png', np.full((12, 16), 5, np.uint8))
    write(tmp_path, 'y/a_gtFine_color.png', np.zeros((12, 16, 3), np.uint8))
    source = open_pairs(tmp_path / 'x', tmp_path / 'y', like=like)
    (batch,) = batches_of(source, own(''), split='all', batch_size=2)
    assert (batch['label'][0] == 13).all() and (batch['label'][1] == 5).all()  # 13 is a car
    with refused(path=tmp_path / 'y/a_gtFine_labelIds.png', match='label ids, but there'):
        open_pairs(tmp_path / 'x', tmp_path / 'y', like=(INFO['classes'], ()))


def test_two_images_of_one_name_are_refused(tmp_path):
    for name in ('a.jpg', 'a.png'):
        write_pair(tmp_path, f'x/{name}', 'y/a.png')
    with refused(path=tmp_path / 'x', match='^a.jpg and a.png in .* would have the same label map'):
        open_pairs(tmp_path / 'x', tmp_path / 'y', like=(INFO['classes'], ()))


@pytest.mark.parametrize(
    'images, message',
    [
        ('nowhere', "nowhere' is no directory; give one that exists"),
        ('empty', "empty' holds no images; allowed are files that end in .jpg, .jpeg, .png, .bmp"),
    ],
)
def test_pairs_of_nothing(tmp_path, images, message):
    (tmp_path / 'empty').mkdir()
    with refused(path=tmp_path / images, match=message):
        open_pairs(tmp_path / images, tmp_path / 'empty', like=(('a',), ((0, 0, 0),)))


def test_a_directory_that_cannot_be_written_is_prepared_elsewhere(tmp_path, monkeypatch):
    root, elsewhere = tmp_path / 'data', tmp_path / 'elsewhere'
    write_folders(root, train=1, val=1)
    for hidden in '.ipynb_checkpoints', '__MACOSX':
        (root / 'images' / hidden).mkdir()
    (root / 'prepared').touch()  # as good as a read-only directory, for root too
    config = recipes.segmentation().data
    config.name, config.data_dir = 'label_maps', root.as_uri()
    with refused(match='give another directory as config.data.prepared_dir$'):
        open_source(config, 'maps')
    monkeypatch.setenv('HOME', str(tmp_path))
    config.prepared_dir = '~/elsewhere'
    assert open_source(config, 'maps').num_examples('train') == 1
    assert len(list(elsewhere.iterdir())) == 1
    config.name = 'cityscapes'
    with refused(
        'config.data.prepared_dir', match='cityscapes is prepared in config.data.data_dir'
    ):
        open_source(config, 'maps')


RELEASE_INFO = {'mean': [0.29, 0.33, 0.29], 'std': [0.18, 0.19, 0.18]}  # and nothing else


@pytest.mark.parametrize('lists', [True, False])
@pytest.mark.parametrize(
    'end, value, more',
    [
        ('trainIds', 13, {}),  # what the release makes
        ('labelTrainIds', 13, {}),
        ('labelIds', 26, {}),
        ('trainIds', 13, {'label_ids': True}),
        ('labelIds', 26, {'label_ids': True}),
    ],
)
def test_names_of_cityscapes_say_what_label_maps_hold(tmp_path, lists, end, value, more):
    (tmp_path / 'info.json').write_text(json.dumps({**RELEASE_INFO, **more}))
    images, labels = ('leftImg8bit', 'gtFine') if lists else ('images', 'labels')
    for split in ('train', 'val'):
        names = (
            f'{images}/{split}/ulm/ulm_0_leftImg8bit.png',
            f'{labels}/{split}/ulm/ulm_0_gtFine_{end}.png',
        )
        write_pair(tmp_path, *names, value=value)
        write(tmp_path, names[1].replace(end, 'color'), np.zeros((12, 16, 3), np.uint8))
        if lists:
            write_lists(tmp_path, **{f'{split}_images': [names[0]], f'{split}_labels': [names[1]]})
    source = open_source(own(tmp_path), 'maps')
    assert source.class_names == cityscapes.CLASS_NAMES and source.remarks == ()
    assert source.palette == cityscapes.PALETTE and source.mean_std[0] == (0.29, 0.33, 0.29)
    (batch,) = batches_of(source, own(tmp_path), batch_size=1)
    assert (batch['label'] == 13).all()  # a car


def test_an_info_file_without_classes_needs_names_of_cityscapes(tmp_path):
    write_listed(tmp_path, train=1, val=1)
    (tmp_path / 'info.json').write_text(json.dumps(RELEASE_INFO))
    with refused(path=f'{tmp_path}/masks/train0_m.png', match='^info.json names no classes, and'):
        open_source(own(tmp_path), 'maps')


def test_train_ids_that_are_called_label_ids_are_refused(tmp_path):
    write_listed(tmp_path)  # of the values 0, 1, 2 and 255
    (tmp_path / 'info.json').write_text('{"label_ids": true}')
    with refused('config.data.data_dir', match='which look like train ids; remove "label_ids"$'):
        open_source(own(tmp_path), 'maps')
    assert not (tmp_path / 'prepared').exists()


def test_label_maps_whose_image_is_skipped_are_told(tmp_path):
    write_folders(tmp_path)
    for name in ('1.jpg', '3.jpg'):
        image = tmp_path / 'images' / 'train' / 'a' / name
        image.rename(image.with_suffix('.tga'))
    source = open_source(own(tmp_path), 'maps')
    assert source.num_examples('train') == 2
    skipped, remark = source.remarks
    assert skipped == (
        f'what is hidden or no image is skipped in {tmp_path}/images/train, 2 in all: '
        'a/1.tga, a/3.tga'
    )
    assert remark.startswith(
        f"2 label maps in '{tmp_path}/labels/train' have no image in '{tmp_path}/images/train', "
        'and are left out: a/1.png, a/3.png; images are files that end in .jpg, '
    )
    pairs = open_pairs(
        tmp_path / 'images/train', tmp_path / 'labels/train', like=(INFO['classes'], ())
    )
    assert pairs.remarks == source.remarks


def test_images_of_both_splits_are_told(tmp_path):
    write_listed(tmp_path)
    write_lists(tmp_path, val_images=IMAGES[:2], val_labels=['masks/train0_m.png'] * 2)
    assert open_source(own(tmp_path), 'maps').remarks == (
        f'2 images are in train and in validation, such as {tmp_path}/photos/train0.png',
    )


def test_masks_of_0_and_255_teach_nothing(tmp_path):
    write_listed(tmp_path)
    for path in (tmp_path / 'masks').iterdir():
        write(tmp_path, path, np.resize(np.array([0, 255], np.uint8), (12, 16)))
    data = own(tmp_path)
    with refused(
        'config.data.data_dir',
        match="^label_maps: only the class sky has pixels in 'train', so there is nothing to tell "
        r'apart; correct the labels \(255 is no class: in masks, write 1 for it\), or give',
    ):
        training_remarks(open_source(data, 'maps'), data)


def test_pixels_are_counted_once_and_kept(tmp_path):
    write_listed(tmp_path)
    write_info(tmp_path, classes=['sky', 'sea', 'land', 'ice', 'fog'])
    write_pair(tmp_path, 'photos/val1.png', 'masks/val1_m.png', value=3)
    data = own(tmp_path)
    for _ in range(2):  # built, and as it lies there
        source = open_source(data, 'maps')
        assert source.class_counts('train').tolist() == [192, 192, 192, 0, 0]
        assert source.class_counts('validation[:1]').tolist() == [48, 48, 48, 192, 0]
        assert training_remarks(source, data) == [
            "no pixel of 'train' and of 'validation' has 1 of the 5 classes (fog)",
            "no pixel of 'train', only of 'validation', has 1 of the 5 classes (ice): their 192 "
            'pixels count as wrong',
        ]


def test_the_fingerprint_is_that_of_the_training_images(tmp_path):
    write_listed(tmp_path)
    before = open_source(own(tmp_path), 'maps').fingerprint('train')
    assert re.fullmatch('4 images, [0-9a-f]{8}', before)
    os.utime(tmp_path / 'masks' / 'val0_m.png', (1, 1))
    assert open_source(own(tmp_path), 'maps').fingerprint('train') == before
    os.utime(tmp_path / 'masks' / 'train0_m.png', (1, 1))
    assert open_source(own(tmp_path), 'maps').fingerprint('train') != before


def camvid(root):
    return map_settings(name='camvid', data_dir=str(root), crop_px=8, shards=1)


def test_camvid_is_read_as_it_is(tmp_path):
    write_camvid(tmp_path, train=12, val=1, test=2)
    source = open_source(camvid(tmp_path), 'maps')
    assert source.num_classes == 11 and source.mean_std is None
    assert source.class_names[3] == 'road' and source.palette[3] == (128, 64, 128)
    assert {split: source.num_examples(split) for split in source.splits} == {
        'train': 12,
        'validation': 1,
        'test': 2,
    }
    assert source.class_counts('train').tolist() == [12 * 16] * 11  # the twelfth image is void
    (batch,) = batches_of(source, camvid(tmp_path), split='test')
    found = zip(batch['name'], batch['label'].max((1, 2)), batch['mask'])
    assert sorted(row for row in found if row[2]) == [('test/0', 0, True), ('test/1', 1, True)]


def test_a_table_of_two_paths_a_line_works_for_own_label_maps(tmp_path):
    write_info(tmp_path)
    for number in range(2):
        write_pair(tmp_path, f'a/{number}.png', f'b/{number}.png', number=number)
    write_lists(
        tmp_path, train=['a/0.png  b/0.png', '', 'a/1.png b/1.png'], val=['a/0.png b/0.png']
    )
    source = open_source(own(tmp_path), 'maps')
    assert source.num_examples('train') == 2 and len(source.remarks) == 1  # a/0.png is in both


@pytest.mark.parametrize(
    'lines, message',
    [
        (['train/0.png'], '^line 1 of .*/train.txt holds 1 paths; give two a line, the image and'),
        (
            ['/x/train/0.png /x/../trainannot/0.png'],
            "^path 1 of train.txt, '../trainannot/0.png', leads out of",
        ),
        (
            ['/x/train/0.png /x/trainannot/1.png'],
            '^1 of the 2 files in train.txt do not exist in .*: trainannot/1.png; correct',
        ),
        (
            ['/x/no/0.png /x/trainannot/0.png'],
            '^2 of the 2 files in train.txt do not exist in .*: x/no/0.png, x/trainannot/0.png; ',
        ),
    ],
)
def test_bad_lines_of_a_table_are_told(tmp_path, lines, message):
    write_camvid(tmp_path, train=1, val=1)
    write_lists(tmp_path, train=lines)
    with refused(path=tmp_path / 'train.txt', match=message):
        open_source(camvid(tmp_path), 'maps')


def test_half_of_camvid_is_refused(tmp_path):
    write_camvid(tmp_path, train=2, val=1)
    shutil.rmtree(tmp_path / 'trainannot')
    with refused(path=tmp_path / 'train.txt', match='^2 of the 4 files in train.txt do not exist'):
        open_source(camvid(tmp_path), 'maps')
