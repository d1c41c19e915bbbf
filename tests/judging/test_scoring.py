"""`drn_jax.judge`: folders and arrays, one network for many calls, what does not fit is refused."""

import numpy as np
import pytest
from PIL import Image
from support.errors import refused
from support.street_network import WEIGHTS, color_checkpoint, paint

import drn_jax
from drn_jax import cityscapes
from drn_jax.judging import scoring
from drn_jax.judging.protocols import PROTOCOLS

SMALL = PROTOCOLS['oasis']._replace(image_sizes=((8, 16),), seen=(8, 16), scored=(8, 16))
LABELS = [np.random.default_rng(seed).integers(0, 19, (8, 16)) for seed in range(3)]


@pytest.fixture(autouse=True)
def opened(monkeypatch):
    """Opens the network of colors for any checkpoint; holds the references that were opened."""
    references = []

    def open_network(reference, step=None):
        references.append(reference)
        return color_checkpoint(), WEIGHTS

    scoring._network.cache_clear()
    scoring._judge.cache_clear()
    monkeypatch.setattr(scoring, '_network', scoring.functools.lru_cache(1)(open_network))
    yield references
    scoring._judge.cache_clear()


def judge(images, labels, **options):
    return drn_jax.judge(images, labels, 'some.pth', **({'protocol': SMALL} | options))


def test_the_ground_truth_judged_against_itself_through_colors_is_right(tmp_path):
    for place, labels in enumerate(LABELS):
        for folder, pixels in (
            ('images', paint(labels)),
            ('colors', paint(labels)),
            ('ids', np.array(cityscapes.LABEL_ID_OF_CLASS, np.uint8)[labels]),
        ):
            end = {'images': '_leftImg8bit', 'colors': '_gtFine_color', 'ids': '_gtFine_labelIds'}
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / folder / f'{place}{end[folder]}.png')
    for labels in ('colors', 'ids'):
        verdict = judge(tmp_path / 'images', tmp_path / labels)
        assert verdict.numbers == {'mIoU': 100.0, 'Acc': 100.0}
        assert verdict.metrics['examples'] == 3
        assert verdict.intervals['mean_iou'] == (1, 1)


def test_arrays_give_the_numbers_of_files_and_the_network_is_opened_once(opened, tmp_path):
    images = [paint(labels) for labels in LABELS]
    shifted = [np.roll(labels, 1, 1) for labels in LABELS]
    verdict = judge(np.stack(images), shifted)
    right = np.mean([a == b for a, b in zip(LABELS, shifted)])
    assert verdict.metrics['pixel_accuracy'] == pytest.approx(right) and 0 < right < 0.2
    for folder in ('images', 'labels'):
        (tmp_path / folder).mkdir()
    for place, (image, labels) in enumerate(zip(images, shifted)):
        Image.fromarray(image).save(tmp_path / f'images/{place}.png')
        Image.fromarray(labels.astype(np.uint8)).save(tmp_path / f'labels/{place}.png')
    of_files = judge(str(tmp_path / 'images'), str(tmp_path / 'labels'))
    assert of_files.metrics == verdict.metrics
    compiled = scoring._judge('some.pth', None, SMALL)[0]
    assert compiled._run._cache_size() == 1 and opened == ['some.pth']
    judge(images, shifted, protocol=SMALL._replace(label_filter='bilinear'))
    assert opened == ['some.pth']


def test_other_sizes_are_resized_where_asked_for():
    images, labels = [paint(np.full((20, 40), 13))], [np.full((16, 32), 13)]
    with refused('--resize', match='1 of 1 images .* oasis wants, 8 x 16: image 0 has 20 x 40'):
        judge(images, labels)
    assert judge(images, labels, resize=True).numbers['mIoU'] == 100
    full = PROTOCOLS['gan_compression']._replace(image_sizes=((20, 40),), scored=(40, 80))
    with refused('--resize', match='label maps .* wants, 40 x 80: image 0 has 16 x 32'):
        judge(images, labels, protocol=full)
    assert judge(images, labels, protocol=full, resize=True).numbers['mIoU'] == 100


@pytest.mark.parametrize(
    'images, labels, match',
    [
        ([paint(LABELS[0])], LABELS[:2], 'images are 1 arrays and label maps 2 arrays'),
        ('folder', LABELS, 'images are a folder and label maps 3 arrays'),
        (None, iter(LABELS), 'images are 0 arrays and label maps 3 arrays'),
        ([paint(LABELS[0]) / 255], LABELS[:1], r'\[8, 16, 3\] of float64; give .* uint8'),
        ([paint(LABELS[0])], [LABELS[0] / 1], r'\[8, 16\] of float64; give .* integers'),
        ([paint(LABELS[0])], [LABELS[0][:0]], r'\[0, 16\] of int64; give .* integers'),
    ],
)
def test_arrays_that_do_not_fit(images, labels, match):
    with refused(match=match):
        judge(images, labels)


def test_labels_of_arrays_are_train_ids():
    with refused('--label_kind', None, match='the label map of image 0 .* look like label ids'):
        judge([paint(LABELS[0])], [np.full((8, 16), 26)])


def test_label_ids_of_arrays():
    ids = np.array(cityscapes.LABEL_ID_OF_CLASS)[LABELS[0]]
    assert judge([paint(LABELS[0])], [ids], label_kind='label_ids').numbers['mIoU'] == 100
    with refused('--label_kind', match="'colors' is none of these .* give train_ids or label_ids"):
        judge([paint(LABELS[0])], [ids], label_kind='colors')


@pytest.mark.parametrize('name', ['drn', 'all', None, ['oasis']])
def test_what_is_not_one_protocol_is_refused(name):
    with refused('--protocol', match='give one of gan_compression, spade'):
        judge([paint(LABELS[0])], LABELS[:1], protocol=name)
