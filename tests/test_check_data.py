"""The check_data command: what it counts, what it finds wrong, how it ends."""

import json
import subprocess
import sys

import numpy as np
import pytest
from data.own_maps import write, write_folders, write_info, write_listed, write_lists, write_pair
from support.errors import refused

from drn_jax import check_data, cityscapes
from drn_jax.errors import InputError


def check(tmp_path, *flags):
    """Checks a data set; gives its report, and the error that it ends with."""
    error = None
    try:
        check_data.main([f'--data_dir={tmp_path}', f'--output={tmp_path}/out', *flags])
    except InputError as raised:
        assert raised.field == '--split' or raised.path == str(tmp_path)
        error = str(raised)
    report = tmp_path / 'out' / 'report.json'
    return (json.loads(report.read_text()) if report.exists() else None), error


def test_what_a_good_data_set_holds_is_counted(tmp_path, capsys):
    write_listed(tmp_path, train=2, val=1)
    report, error = check(tmp_path)
    assert error is None and report['problems'] == []
    assert 'check_data' in report['command'] and report['data']['name'] == 'label_maps'
    train = report['data']['splits']['train']
    assert train['images'] == 2 and train['sizes'] == {'12 x 16': 2}
    assert train['pixels'] == {'sky': 96, 'sea': 96, 'land': 96}
    assert train['pixels_without_class'] == 96 and train['pixels_out_of_range'] == {}
    assert train['mean'] == pytest.approx([5 / 255] * 3)  # images of 0 and of 10
    assert train['std'] == pytest.approx([5 / 255] * 3)
    assert report['data']['splits']['validation']['mean'] == [0, 0, 0]
    (remark,) = report['remarks']
    assert remark.startswith('mean and std of info.json are more than 0.02 off; measured are "mean')
    printed = capsys.readouterr().out
    assert 'train: 2 images, of the sizes 12 x 16 (2)' in printed
    assert 'sky                 96   25.000 %' in printed and '(none)' in printed
    assert 'No problems were found.' in printed
    assert not (tmp_path / 'prepared').exists()  # straight from the files


def test_every_problem_is_told_by_file(tmp_path, capsys):
    write_folders(tmp_path, train=6, val=1)
    write_pair(tmp_path, 'images/train/a/0.jpg', 'labels/train/a/0.png', value=7)
    write(tmp_path, 'labels/train/a/1.png', np.zeros((12, 16), np.uint16))
    write(tmp_path, 'labels/train/a/2.png', np.zeros((12, 16, 3), np.uint8))
    write(tmp_path, 'labels/train/a/3.png', np.zeros((6, 16), np.uint8))
    image = tmp_path / 'images/train/a/4.jpg'
    image.write_bytes(image.read_bytes()[:400])  # its head can be read
    report, error = check(tmp_path)
    assert error == '5 problems would spoil training; correct the files and check again'
    labels = f'train: {tmp_path}/labels/train/a'
    assert [problem.replace(labels, '') for problem in report['problems']] == [
        '/0.png holds 192 pixels out of range, of the values 7; allowed are 0 to 2 and 255',
        '/1.png has 16 bits or more; a label map has one channel of 8 bits, which holds a class in '
        'every pixel: save it as PNG',
        '/2.png has 3 channels (RGB); a label map has one channel of 8 bits, which holds a class '
        'in every pixel: save it as PNG',
        f'train: {tmp_path}/images/train/a/3.jpg has 12 x 16 pixels, {labels[7:]}/3.png 6 x 16; '
        'both must have the same',
        f'train: {image} cannot be read as an image (Truncated File Read); repair or replace it',
    ]
    assert report['data']['splits']['train']['pixels_out_of_range'] == {'7': 192}
    printed = capsys.readouterr().out
    assert '(out of range: 7)' in printed and printed.count('problem: ') == 5


def test_label_ids_and_train_ids_are_told_apart(tmp_path):
    write_listed(tmp_path, train=1, val=1, value=26)
    write(tmp_path, 'masks/train0_m.png', np.resize(np.array([26, 7], np.uint8), (12, 16)))
    write_info(tmp_path, classes=list(cityscapes.CLASS_NAMES))
    report, error = check(tmp_path)
    assert error and all(
        'they look like Cityscapes label ids' in problem for problem in report['problems']
    )
    (tmp_path / 'info.json').write_text('{"label_ids": true}')
    report, error = check(tmp_path)
    pixels = report['data']['splits']['train']['pixels']
    assert error is None and pixels['car'] == pixels['road'] == 96
    assert any('has no mean and std; measured are' in remark for remark in report['remarks'])
    write_listed(tmp_path, train=1, val=1)  # 0, 1, 2 and 255
    (tmp_path / 'info.json').write_text('{"label_ids": true}')
    report, error = check(tmp_path)
    assert 'which look like train ids; remove "label_ids"' in report['problems'][0]
    for kind in ('images', 'labels'):
        (tmp_path / f'val_{kind}.txt').unlink()
        (tmp_path / f'train_{kind}.txt').unlink()
    write_info(tmp_path, classes=list(cityscapes.CLASS_NAMES))
    write_pair(tmp_path, 'images/train/a_leftImg8bit.png', 'labels/train/a_gtFine_labelIds.png')
    report, error = check(tmp_path)
    assert 'are named as Cityscapes label ids' in report['problems'][0]


def test_images_in_two_splits_and_maps_of_nothing(tmp_path):
    write_listed(tmp_path, train=2, val=1, value=255)
    write_lists(tmp_path, val_images=['photos/train0.png'])
    report, error = check(tmp_path)
    assert report['problems'] == ['train: no pixel has a class', 'validation: no pixel has a class']
    assert error
    assert (
        f'1 images are in train and in validation, such as {tmp_path}/photos/train0.png'
        in (report['remarks'])
    )


def test_masks_of_0_and_255_are_a_problem(tmp_path):
    write_listed(tmp_path)
    for path in (tmp_path / 'masks').iterdir():
        write(tmp_path, path, np.resize(np.array([0, 255], np.uint8), (12, 16)))
    report, error = check(tmp_path)
    assert error
    (problem,) = report['problems']
    assert problem.startswith("label_maps: only the class sky has pixels in 'train', so there is")


def test_what_training_refuses_is_a_problem(tmp_path):
    write_listed(tmp_path, train=2, val=1)
    write(tmp_path, 'masks/val0_m.png', np.full((12, 16), 2, np.uint8))
    for number in range(2):
        mask = np.resize(np.array([0, 1, 255], np.uint8), (12, 16))
        write(tmp_path, f'masks/train{number}_m.png', mask)
    report, error = check(tmp_path)
    assert error.startswith('One problem would spoil training')
    assert report['problems'][0].startswith(
        "label_maps: no class has pixels both in 'train' and in 'validation', so all is wrong; cor"
    )


def test_many_problems_are_all_in_the_report(tmp_path, capsys):
    write_listed(tmp_path, train=25, val=1, value=9)
    report, error = check(tmp_path, '--split=train')
    assert len(report['problems']) == 25 and 'the first 20 are listed' in error
    assert capsys.readouterr().out.count('problem: ') == 20


def test_a_data_set_of_tfds_is_inspected(tmp_path, digit_scenes_dir, capsys):
    check_data.main(
        [
            '--config=configs/digit_scenes.py',
            '--split=tune[:10],validation[:5]',
            f'--config.data.data_dir={digit_scenes_dir}',
            f'--output={tmp_path}',
        ]
    )
    splits = json.loads((tmp_path / 'report.json').read_text())['data']['splits']
    assert splits['tune[:10]']['images'] == 10 and splits['tune[:10]']['sizes'] == {'96 x 96': 10}
    assert sum(splits['tune[:10]']['pixels'].values()) == 10 * 96 * 96
    assert splits['validation[:5]']['images'] == 5
    assert 'No problems were found.' in capsys.readouterr().out


@pytest.mark.parametrize(
    'flags, field, message',
    [
        ([], '--config', 'give either --config=FILE or --data_dir=DIR'),
        (['--data_dir=x', '--config=y'], '--config', 'give either'),
        (['--data_dir=nowhere'], 'config.data.data_dir', "nowhere' is no directory"),
        (['--data_dir=x', '--config.data.crop=1'], 'config.data.crop', ''),
    ],
)
def test_flags_that_cannot_be_used(flags, field, message):
    with refused(field, match=message):
        check_data.main(flags)


def test_an_unknown_split_is_named(tmp_path):
    write_listed(tmp_path)
    assert check(tmp_path, '--split=val')[1] == "split 'val' is unknown; known: train, validation"


def test_the_command_ends_with_status_1_where_there_are_problems(tmp_path):
    write_listed(tmp_path, train=1, val=1, value=9)
    ended = subprocess.run(
        [sys.executable, '-m', 'drn_jax.check_data', f'--data_dir={tmp_path}'],
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 1
    assert ended.stderr.strip().splitlines()[-1] == (
        'error: 2 problems would spoil training; correct the files and check again'
    )
