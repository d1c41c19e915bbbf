"""The command `judge`: one protocol and all, two sets, going on, the page, what it refuses."""

import csv
import json

import numpy as np
import pytest
from PIL import Image
from support.errors import refused
from support.street_network import WEIGHTS, color_checkpoint, paint

from drn_jax import cityscapes, judge
from drn_jax.errors import InputError
from drn_jax.judging import judges, protocols
from drn_jax.judging.judges import Judge

SCENES = [f'frankfurt_000000_{number:06d}' for number in range(5)]


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """The network of colors for any checkpoint, and protocols at a sixteenth of their sizes."""
    rows = [
        row._replace(
            image_sizes=tuple((h // 16, w // 16) for h, w in row.image_sizes),
            seen=row.seen and (row.seen[0] // 16, row.seen[1] // 16),
            scored=(row.scored[0] // 16, row.scored[1] // 16),
        )
        for row in protocols.PROTOCOLS.values()
    ]
    monkeypatch.setattr(judges, 'open_network', lambda *_: (color_checkpoint(), WEIGHTS))
    monkeypatch.setattr(protocols, '_ROWS', rows)
    monkeypatch.setattr(protocols, 'PROTOCOLS', {row.name: row for row in rows})


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    """Five label maps; images of their colors, of which `worse` has the more wrong the later."""
    folder = tmp_path_factory.mktemp('streets')
    for name in ('images', 'worse', 'labels'):
        (folder / name).mkdir()
    for number, scene in enumerate(SCENES):
        rng = np.random.default_rng(number)
        blocks = rng.integers(0, 19, (4, 8))
        ids = np.array(cityscapes.LABEL_ID_OF_CLASS, np.uint8)[
            np.kron(blocks, np.ones((16, 16), int))
        ]
        Image.fromarray(ids).save(folder / f'labels/{scene}_gtFine_labelIds.png')
        labels = np.kron(blocks, np.ones((4, 4), int))
        Image.fromarray(paint(labels)).save(folder / f'images/{scene}_fake_B.png')
        labels[:, : 2 * number] = (labels[:, : 2 * number] + 1) % 19
        Image.fromarray(paint(labels)).save(folder / f'worse/{scene}_fake_B.png')
    return folder


def flags(place, output, *more, images='images'):
    """The flags of the command."""
    return [
        '--checkpoint=colors.pth', f'--images={place}/{images}', f'--labels={place}/labels',
        f'--output={output}', *more,
    ]  # fmt: skip


def test_one_protocol(place, tmp_path, capsys):
    judge.main(flags(place, tmp_path, '--protocol=oasis', images='worse'))
    report = json.loads((tmp_path / 'report.json').read_text())
    wrong = np.array([2 * number / 32 for number in range(5)])
    metrics = report['metrics']
    assert metrics['examples'] == 5
    assert metrics['pixel_accuracy'] == pytest.approx(1 - wrong.mean())
    assert report['numbers']['images']['oasis']['Acc'] == round(100 * (1 - wrong.mean()), 2)
    low, high = report['intervals']['images']['oasis']['pixel_accuracy']
    assert low < metrics['pixel_accuracy'] < high
    assert np.sum(report['confusion']['images']['oasis']) == 5 * 16 * 32
    assert report['weights'] == {'sha256': '0' * 64, 'of': 'colors'}
    (protocol,) = report['protocols']
    assert protocol['source'] and protocol['scored'] == [16, 32] and 'pillow' in report['versions']
    assert any('papers judge all 500' in remark for remark in report['remarks'])
    with open(tmp_path / 'images_oasis.csv') as file:
        lines = list(csv.DictReader(file))
    assert [line['name'] for line in lines] == [f'{scene}_fake_B' for scene in SCENES]
    assert [float(line['pixel_accuracy']) for line in lines] == pytest.approx(1 - wrong)
    said = capsys.readouterr().out
    assert (
        f'mIoU {report["numbers"]["images"]["oasis"]["mIoU"]:.2f}' in said and 'Acc 87.50' in said
    )
    page = (tmp_path / 'index.html').read_text()
    worst, best = page.index('Worst by mean IoU'), page.index('Best by mean IoU')
    assert worst < page.index(SCENES[4], worst) < best < page.index(SCENES[0], best)
    assert '0' * 64 in page and 'tzt101/CLADE issue 3' in page


def test_all_protocols_and_two_sets(place, tmp_path, capsys):
    judge.main(flags(place, tmp_path, '--protocol=all', f'--compare={place}/worse'))
    report = json.loads((tmp_path / 'report.json').read_text())
    names = list(protocols.PROTOCOLS)
    for name in names:
        ours, theirs = (report['metrics'][f'{name}/{each}mean_iou'] for each in ('', 'compare/'))
        difference = report['differences'][name]['mean_iou']
        assert difference['difference'] == pytest.approx(theirs - ours) and theirs < ours
        low, high = difference['interval']
        assert low < theirs - ours < high < 0
    assert report['metrics']['oasis/mean_iou'] == 1
    assert {name: list(found) for name, found in report['numbers'].items()} == {
        'images': names,
        'compare': names,
    }
    said = capsys.readouterr().out
    heads = [line.split() for line in said.splitlines() if line.split() == names]
    assert len(heads) == 3 and '\nDifferences, --compare - --images, points' in said
    assert 'oasis, --compare' in (tmp_path / 'index.html').read_text()


def test_a_stopped_command_goes_on(place, tmp_path, monkeypatch):
    judged, predict = [], Judge.predict

    def counting(self, images):
        judged.append(len(images))
        return predict(self, images)

    monkeypatch.setattr(Judge, 'predict', counting)
    monkeypatch.setattr(judge, 'SHOWN', 0)
    command = flags(place, tmp_path, '--protocol=spade', images='worse')
    judge.main(command)
    whole, report = (
        (tmp_path / 'images_spade.csv').read_bytes(),
        (tmp_path / 'report.json').read_text(),
    )
    assert sum(judged) == 5
    judge.main(command)
    assert sum(judged) == 5  # nothing is judged twice
    lines = whole.splitlines(keepends=True)
    (tmp_path / 'images_spade.csv').write_bytes(b''.join(lines[:3]) + lines[3][:40])  # killed
    judge.main(command)
    assert sum(judged) == 5 + 3
    assert (tmp_path / 'images_spade.csv').read_bytes() == whole
    assert (tmp_path / 'report.json').read_text() == report
    # Under other images, or another way to read them, nothing of it holds.
    judge.main([*command, '--resize'])
    assert sum(judged) == 5 + 3 + 5
    (tmp_path / 'images_spade.csv').write_text('another,file\n')
    with refused('--output', tmp_path / 'images_spade.csv', match='no file of judged images'):
        judge.main(command)


def test_what_does_not_fit_is_refused_before_anything_is_judged(place, tmp_path, monkeypatch):
    def refuse(*_):
        raise AssertionError('a network was opened')

    monkeypatch.setattr(judges, 'open_network', refuse)
    output, labels = tmp_path / 'out', f'--labels={place}/labels'
    with refused('--protocol', match='known are gan_compression'):
        judge.main(flags(place, output, '--protocol=pix2pix'))
    with refused('--label_kind', match='invalid choice'):
        judge.main(flags(place, output, '--label_kind=rgb'))
    with refused('--images', match='required'):
        judge.main(['--checkpoint=a', '--labels=b', '--output=c'])
    few = tmp_path / 'few'
    few.mkdir()
    for scene in SCENES[:2]:
        Image.new('RGB', (32, 16)).save(few / f'{scene}_fake_B.png')
    with refused('--compare', few, match='of one only are .*000002_gtFine_labelIds.png'):
        judge.main(flags(place, output, f'--compare={few}'))
    Image.new('RGB', (30, 16)).save(few / f'{SCENES[1]}_fake_B.png')
    with refused('--resize', match=r'1 of 2 images .* spade wants, 16 x 32: .*_fake_B has 16 x 30'):
        judge.main(
            flags(few.parent, output, f'--labels={place}/labels', '--protocol=spade', images='few')
        )
    Image.new('RGB', (32, 16)).save(few / 'oslo_fake_B.png')
    with refused(path=few, match='1 of the 3 images .* no label map .*: oslo_fake_B.png'):
        judge.main(flags(tmp_path, output, labels, images='few'))
    with refused('--images', match='--images is empty'):
        judge.main(['--checkpoint=a', '--images=', labels, f'--output={output}'])
    with refused('--label_kind', None, match='colors that are none of'):
        judge.main(flags(place, output, '--protocol=oasis', '--label_kind=colors'))

    def damaged(*_):
        raise InputError('no checkpoint')

    monkeypatch.setattr(judges, 'open_network', damaged)
    with refused(match='no checkpoint'):
        judge.main(flags(place, output, '--protocol=oasis'))
    assert not output.exists()


def test_label_ids_where_train_ids_are_meant(place, tmp_path):
    with refused('--label_kind', None, match='look like label ids; give --label_kind=label_ids'):
        judge.main(flags(place, tmp_path, '--protocol=oasis', '--label_kind=train_ids'))


def test_it_is_a_function_too(place):
    assert callable(judge) and judge.__call__.__name__ == 'judge'
