"""ImageNet's archives of boxes and CSV files: literal answers, then what is wrong with a file."""

import gzip
import re

import numpy as np
import pytest
from data.box_archives import TRAIN, VALIDATION, tar, write_train_boxes, write_validation_boxes, xml
from support.errors import refused

from drn_jax.data import box_files


def assert_boxes(found, expected):
    assert {name: boxes.tolist() for name, boxes in found.items()} == expected
    assert all(boxes.dtype == np.float32 for boxes in found.values())


def test_upper_ends_become_exclusive_and_all_objects_are_read(tmp_path):
    path = write_validation_boxes(
        tmp_path, {1: [(0, 0, 499, 374)], 2: [(10, 20, 30, 40), (5, 5, 5, 5)], 3: []}
    )
    assert path.name == box_files.ARCHIVES['validation'] == VALIDATION
    assert_boxes(
        box_files.read_archive(path),
        {
            'val/ILSVRC2012_val_00000001': [[0, 0, 375, 500]],
            'val/ILSVRC2012_val_00000002': [[20, 10, 41, 31], [5, 5, 6, 6]],
        },
    )


def test_the_training_archive_holds_an_archive_for_each_class(tmp_path):
    path = write_train_boxes(
        tmp_path,
        {
            ('n01440764', 10026): [(13, 28, 33, 48)],
            ('n01440764', 7): [(0, 0, 1, 1)],
            ('n01443537', 7): [(2, 3, 700, 900)],
        },
    )
    assert path.name == box_files.ARCHIVES['train'] == TRAIN
    assert_boxes(
        box_files.read_archive(path),
        {
            'Annotation/n01440764/n01440764_10026': [[28, 13, 49, 34]],
            'Annotation/n01440764/n01440764_7': [[0, 0, 2, 2]],
            'Annotation/n01443537/n01443537_7': [[3, 2, 901, 701]],
        },
    )


@pytest.mark.parametrize('pack', [bytes, gzip.compress])
def test_files_may_lie_anywhere_in_a_packed_archive_or_a_plain_one(tmp_path, pack):
    path = tmp_path / 'some.tar'
    path.write_bytes(
        pack(
            tar(
                {
                    'readme.txt': b'boxes',
                    'a/b.c.xml': xml('b.c', [(1, 2, 3, 4)]),
                    'inner.tar': tar({'d.xml': xml('d', [(1, 1, 2, 2)])}),
                }
            )
        )
    )
    assert_boxes(box_files.read_archive(path), {'a/b.c': [[2, 1, 5, 4]], 'd': [[1, 1, 3, 3]]})


def test_a_missing_archive_is_named(tmp_path):
    with refused(path=tmp_path / VALIDATION, match='download it from https://image-net.org'):
        box_files.read_archive(tmp_path / VALIDATION)


def boxes_of_many(tmp_path):
    return write_validation_boxes(
        tmp_path, {number: [(number, 1, 2 * number, 9)] for number in range(1, 40)}
    ).read_bytes()


@pytest.mark.parametrize('share', [0, 0.01, 0.3, 0.5, 0.8, 0.99])
def test_an_archive_that_is_cut_off_is_refused(tmp_path, share):
    content, path = boxes_of_many(tmp_path), tmp_path / VALIDATION
    path.write_bytes(content[: int(share * len(content))])
    with refused(path=path, match='is damaged or no archive of boxes .*; download it again$'):
        box_files.read_archive(path)


@pytest.mark.parametrize('blocks', [2, 4, 5, 6, 33])
def test_a_plain_tar_that_is_cut_off_between_blocks_is_refused(tmp_path, blocks):
    """tarfile would take some of these for whole."""
    content, path = gzip.decompress(boxes_of_many(tmp_path)), tmp_path / 'boxes.tar'
    path.write_bytes(content[: 512 * blocks])
    with refused(path=path, match='is damaged or no archive'):
        box_files.read_archive(path)


@pytest.mark.parametrize('place', [0.2, 0.5, 0.9])
def test_a_changed_byte_is_found(tmp_path, place):
    content, path = bytearray(boxes_of_many(tmp_path)), tmp_path / VALIDATION
    content[int(place * len(content))] ^= 0x55
    path.write_bytes(content)
    with refused(path=path):
        box_files.read_archive(path)


@pytest.mark.parametrize(
    'content, message',
    [
        (
            b'<!DOCTYPE html><html><body>Please log in</body></html>' * 20,
            'is damaged or no archive of boxes .*; download it again',
        ),
        (gzip.compress(b'<html></html>' * 99), 'is damaged or no archive of boxes'),
        (
            gzip.compress(tar({'val/1.xml': b'<annotation><object>'})),
            r'is damaged or no archive of boxes \(val/1.xml: no element found',
        ),
        (
            gzip.compress(tar({'val/1.xml': xml('1', [(1, 2, 'three', 4)])})),
            r"no archive of boxes \(val/1.xml: could not convert string to float: 'three'\)",
        ),
        (gzip.compress(tar({'val/1.xml': xml('1', [(1, 2, '', 4)])})), 'val/1.xml'),
        (gzip.compress(tar({'val/1.xml': b'<a><bndbox><xmin>1</xmin></bndbox></a>'})), 'val/1.xml'),
        (
            gzip.compress(
                tar({'outer/a.tar.gz': gzip.compress(tar({'1.xml': xml('1', [])}))[:-9]})
            ),
            'is damaged or no archive of boxes',
        ),
        (gzip.compress(tar({'val/1.jpg': b'image'})), f'holds no boxes; give {VALIDATION}'),
        (gzip.compress(tar({'val/1.xml': xml('1', [])})), f'holds no boxes; give {VALIDATION}'),
    ],
    ids=['page', 'packed page', 'cut xml', 'word', 'nothing', 'no edge', 'inner', 'image', 'empty'],
)
def test_what_is_no_archive_of_boxes_is_refused(tmp_path, content, message):
    path = tmp_path / VALIDATION
    path.write_bytes(content)
    with refused(path=path, match=message):
        box_files.read_archive(path)


@pytest.mark.parametrize('header', ['', 'image,x0,y0,x1,y1\n', '\ufeffimage, x0, y0, x1, y1\r\n'])
def test_lines_of_a_csv_file(tmp_path, header):
    path = tmp_path / 'boxes.csv'
    path.write_text(
        f'{header}cats/1.jpg,10,20,30.5,40\n\n cats/1.jpg , 0, 0, 5, 5\n'
        'a/b/n01440764_10.JPEG,-3,-4,600,700\nplain,1,2,3,4\n"x,y.z.png",1,2,3,4\n'
    )
    assert_boxes(
        box_files.read_csv(path),
        {
            'cats/1': [[20, 10, 40, 30.5], [0, 0, 5, 5]],
            'a/b/n01440764_10': [[-4, -3, 700, 600]],
            'plain': [[2, 1, 4, 3]],
            'x,y.z': [[2, 1, 4, 3]],
        },
    )


@pytest.mark.parametrize(
    'line',
    [
        '1.jpg,1,2,3',
        '1.jpg,1,2,3,4,5',
        '1.jpg,1,2,three,4',
        '1.jpg,1,2,nan,4',
        '1.jpg,1,2,inf,4',
        '1.jpg,5,2,5,4',
        '1.jpg,1,4,3,2',
        ',1,2,3,4',
        'image,x0,y0,x1,y1',
        '1.jpg;1;2;3;4',
    ],
)
def test_a_line_that_is_no_box_is_named(tmp_path, line):
    path = tmp_path / 'boxes.csv'
    path.write_text(f'0.jpg,0,0,1,1\n{line}\n')
    with refused(path=path, match=re.escape(f'line 2 of {path} is {line!r}; a line is image,')):
        box_files.read_csv(path)


def test_files_that_macos_adds_are_left_out(tmp_path):
    path = tmp_path / VALIDATION
    path.write_bytes(
        gzip.compress(tar({'val/._1.xml': b'\0\5\x16', 'val/1.xml': xml('1', [(1, 2, 3, 4)])}))
    )
    assert list(box_files.read_archive(path)) == ['val/1']


def test_fractions_of_the_image_are_refused(tmp_path):
    path = tmp_path / 'boxes.csv'
    path.write_text('0.jpg,0,0,1,1\n1.jpg,0.25,0.1,0.75,1\n')
    with refused(path=path, match='holds fractions of the image, such as 0.1; multiply x with the'):
        box_files.read_csv(path)
    path.write_text('0.jpg,0,0,1,1\n1.jpg,0.25,0.1,7.75,1\n')  # some of several pixels
    assert set(box_files.read_csv(path)) == {'0', '1'}
    path = tmp_path / VALIDATION
    path.write_bytes(gzip.compress(tar({'val/1.xml': xml('1', [(0.1, 0.25, 1, 0.75)])})))
    with refused(path=path, match='holds fractions of the image, such as 0.25; multiply x with'):
        box_files.read_archive(path)
    path.write_bytes(gzip.compress(tar({'val/1.xml': xml('1', [(0, 0, 1, 1)])})))  # of two pixels
    assert_boxes(box_files.read_archive(path), {'val/1': [[0, 0, 2, 2]]})


def test_two_images_of_one_name_are_refused(tmp_path):
    path = tmp_path / 'boxes.csv'
    path.write_text('cats/1.jpg,0,0,1,1\ndogs/1.jpg,0,0,1,1\ncats/1.png,0,0,1,1\n')
    with refused(
        path=path, match='two images cats/1, cats/1.jpg and cats/1.png; boxes are found by'
    ):
        box_files.read_csv(path)


@pytest.mark.parametrize(
    'content, message',
    [
        (b'', 'holds no boxes; a line is image,x0,y0,x1,y1 in pixels'),
        (b'image,x0,y0,x1,y1\n', 'holds no boxes'),
        (
            b'\x1f\x8b\x08\x00\xff\xff',
            f'cannot be read as a CSV file of boxes .*directory of {VALIDATION}',
        ),
        (None, 'cannot be read as a CSV file of boxes .*No such file'),
    ],
)
def test_what_is_no_csv_file_of_boxes_is_refused(tmp_path, content, message):
    path = tmp_path / 'boxes.csv'
    if content is not None:
        path.write_bytes(content)
    with refused(path=path, match=message):
        box_files.read_csv(path)
