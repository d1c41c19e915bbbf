"""Texts of the user's own as editors save them: with a byte-order mark, or in another encoding."""

import json

import pytest
from support.errors import refused

from drn_jax.data import box_files, dataset_info, image_label_pairs


def of_info(folder, encoding):
    (folder / 'info.json').write_bytes(json.dumps({'classes': ['sky', 'sea']}).encode(encoding))
    return dataset_info.read_info(folder).class_names == ('sky', 'sea')


def of_lists(folder, encoding):
    for name in 'a.jpg', 'a.png':
        (folder / name).touch()
    (folder / 'train_images.txt').write_bytes('a.jpg\r\n'.encode(encoding))
    (folder / 'train_labels.txt').write_bytes('a.png'.encode(encoding))
    pairs = image_label_pairs.pair_lists(folder, 'train_images.txt', 'train_labels.txt')
    return [pair.name for pair in pairs] == ['a']


def of_boxes(folder, encoding):
    (folder / 'boxes.csv').write_bytes('image,x0,y0,x1,y1\na.jpg,1,2,3,4\n'.encode(encoding))
    return list(box_files.read_csv(folder / 'boxes.csv')) == ['a']


@pytest.mark.parametrize('read', [of_info, of_lists, of_boxes])
def test_texts_may_begin_with_a_byte_order_mark(tmp_path, read):
    for encoding in 'utf-8', 'utf-8-sig':
        assert read(tmp_path, encoding)
    with refused():
        read(tmp_path, 'utf-16')
