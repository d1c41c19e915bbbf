"""The HTML page: parsed again, its pictures decoded, and drawn by Chromium where there is one."""

import base64
import html.parser
import io
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image
from support.errors import refused

from drn_jax.pictures import page

CHROMIUM = next(
    filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome', 'chrome'))),
    None,
)
RED, BLUE = (200, 30, 30), (30, 60, 220)


class Reader(html.parser.HTMLParser):
    """Collects the pictures, the text of every element and every tag."""

    def __init__(self, text):
        super().__init__()
        self.images, self.texts, self.tags, self.open = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag == 'img':
            self.images.append(dict(attributes))
        if tag not in ('img', 'meta'):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if data.strip():
            self.texts.append((self.open[-1], data.strip()))


def decoded(image):
    kind, data = image['src'].removeprefix('data:image/').split(';base64,')
    opened = Image.open(io.BytesIO(base64.b64decode(data, validate=True)))
    assert opened.format.lower() == kind
    return opened


def plain(height, width, color):
    return np.broadcast_to(np.array(color, np.uint8), (height, width, 3))


def items():
    cells = np.random.default_rng(0).integers(0, 256, (12, 12, 3), np.uint8)
    return [
        page.Item(
            'one.jpg',
            [
                page.Picture('photograph', plain(1500, 2000, RED)),
                page.Picture('map', cells, photograph=False),
            ],
            [('cat', '98.1 %'), ('dog', '1.2 %')],
            section='good',
        ),
        page.Item('two.jpg', [page.Picture('photograph', plain(300, 200, BLUE))], section='good'),
        page.Item('gray', [page.Picture('gray', cells[..., 0], photograph=False, wide=True)]),
    ]


def test_pictures_are_embedded_whole(tmp_path):
    assert page.write_page(tmp_path / 'index.html', 'Results', items(), ['a note']) == 3
    reader = Reader((tmp_path / 'index.html').read_text(encoding='utf-8'))
    pictures = list(map(decoded, reader.images))
    assert [picture.size for picture in pictures] == [(1024, 768), (12, 12), (200, 300), (12, 12)]
    assert [picture.format for picture in pictures] == ['JPEG', 'PNG', 'JPEG', 'PNG']
    np.testing.assert_array_equal(pictures[1], items()[0].pictures[1].pixels)
    np.testing.assert_array_equal(pictures[3], items()[2].pictures[0].pixels)
    assert np.abs(np.asarray(pictures[0]).astype(int) - RED).max() < 5
    for image, picture in zip(reader.images, pictures):
        assert (int(image['width']), int(image['height'])) == picture.size
    assert [image.get('class') for image in reader.images] == [None, 'cells', None, None]
    assert reader.open == []
    assert [text for tag, text in reader.texts if tag == 'h2'] == ['good']
    assert [text for tag, text in reader.texts if tag in ('th', 'td')] == [
        'cat',
        '98.1 %',
        'dog',
        '1.2 %',
    ]


def test_the_page_needs_nothing_else(tmp_path):
    page.write_page(tmp_path / 'index.html', 'Results', items())
    text = (tmp_path / 'index.html').read_text(encoding='utf-8')
    assert not {'script', 'link', 'iframe'} & set(Reader(text).tags)
    assert 'http' not in text and 'url(' not in text and '@import' not in text
    assert all(image['src'].startswith('data:') for image in Reader(text).images)
    assert [file.name for file in tmp_path.iterdir()] == ['index.html']


def test_colors_stand_before_their_names(tmp_path):
    page.write_page(
        tmp_path / 'i.html',
        'Labels',
        [page.Item('one', [], [('sky', '3 %', (70, 130, 180)), ('rest', '97 %')])],
    )
    text = (tmp_path / 'i.html').read_text(encoding='utf-8')
    assert text.count('<span') == 1
    assert 'style="background: rgb(70, 130, 180)"></span>sky</th><td>3 %</td>' in text


def test_names_are_escaped(tmp_path):
    nasty = '<script>"&\' \udcff é.jpg'
    picture = page.Picture(nasty, plain(2, 2, RED))
    page.write_page(
        tmp_path / 'i.html',
        nasty,
        [page.Item(nasty, [picture], [(nasty, nasty)], section=nasty)],
        [nasty],
    )
    reader = Reader((tmp_path / 'i.html').read_text(encoding='utf-8'))
    shown = nasty.replace('\udcff', '\\udcff')
    assert 'script' not in reader.tags and reader.images[0]['alt'] == shown
    assert [text for tag, text in reader.texts if tag != 'style'] == [shown] * 8


def test_a_page_that_fails_leaves_the_earlier_one(tmp_path):
    path = tmp_path / 'index.html'
    page.write_page(path, 'First', items())
    before = path.read_bytes()

    def broken():
        yield items()[0]
        raise RuntimeError('stopped')

    with pytest.raises(RuntimeError, match='stopped'):
        page.write_page(path, 'Second', broken())
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1
    with refused(path=tmp_path / 'missing'):
        page.write_page(tmp_path / 'missing' / 'index.html', 'Third', [])


@pytest.mark.skipif(CHROMIUM is None, reason='no Chromium is installed')
@pytest.mark.parametrize('width, dark', [(1200, False), (420, True)])
def test_chromium_draws_the_pictures_in_place(tmp_path, width, dark):
    page.write_page(tmp_path / 'index.html', 'Results', items(), ['a note'])
    command = [
        CHROMIUM,
        '--headless',
        '--no-sandbox',
        '--disable-gpu',
        '--hide-scrollbars',
        f'--user-data-dir={tmp_path / "profile"}',
        f'--window-size={width},1600',
        *['--blink-settings=preferredColorScheme=0'] * dark,
        f'--screenshot={tmp_path / "shot.png"}',
        (tmp_path / 'index.html').as_uri(),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    shot = np.asarray(Image.open(tmp_path / 'shot.png').convert('RGB')).astype(int)
    (red_y, red_x), (blue_y, blue_x) = (
        np.nonzero((np.abs(shot - color) < 6).all(-1)) for color in (RED, BLUE)
    )
    for ys, xs, aspect in ((red_y, red_x, 0.75), (blue_y, blue_x, 1.5)):
        high, wide = np.ptp(ys) + 1, np.ptp(xs) + 1
        assert wide >= 200 and high / wide == pytest.approx(aspect, abs=0.03)
        assert len(ys) > 0.97 * high * wide  # nothing lies over it; corners are rounded
    assert red_y.max() < blue_y.min() and red_x.min() == blue_x.min()
    assert (shot[2, 2].mean() < 90) == dark
