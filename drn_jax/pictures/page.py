"""One HTML page that holds its pictures, for looking through results without a network."""

import base64
import html
import io
import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from drn_jax.errors import InputError
from drn_jax.files import replacing

SIDE_PX, QUALITY = 1024, 85  # of photographs on a page
CELLS_PX = 256  # a map of at most this side is so coarse that its cells should be seen

STYLE = """
:root { color-scheme: light dark; --ground: #fff; --ink: #1b1f24; --soft: #57606a;
  --line: #d0d7de; --card: #f6f8fa; }
@media (prefers-color-scheme: dark) { :root { --ground: #0d1117; --ink: #e6edf3; --soft: #9da7b1;
  --line: #30363d; --card: #161b22; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem; max-width: 100rem; background: var(--ground);
  color: var(--ink); font: 1rem/1.45 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 .5rem; } h2 { font-size: 1.2rem; margin: 2rem 0 .5rem; }
h3 { font-size: 1rem; margin: 0 0 .75rem; overflow-wrap: anywhere; }
p { margin: .25rem 0; color: var(--soft); }
article { margin: 1rem 0; padding: 1rem; background: var(--card); border: 1px solid var(--line);
  border-radius: .5rem; }
.pictures { display: grid; gap: .75rem; align-items: start;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 13rem), 1fr)); }
figure { margin: 0; } img { display: block; width: 100%; height: auto; border-radius: .25rem; }
img.cells { image-rendering: pixelated; }
figure.wide { grid-column: 1 / -1; } .wide img { width: auto; max-width: 100%; }
figcaption { padding-top: .25rem; color: var(--soft); font-size: .875rem;
  overflow-wrap: anywhere; }
table { margin-top: .75rem; border-collapse: collapse; font-size: .9375rem; }
th, td { padding: .15rem .75rem .15rem 0; text-align: left; vertical-align: top;
  overflow-wrap: anywhere; font-variant-numeric: tabular-nums; } th { font-weight: 500; }
.swatch { display: inline-block; width: .9em; height: .9em; margin-right: .5em;
  vertical-align: -.1em; border: 1px solid var(--line); }
@media print { article { break-inside: avoid; } }
"""


class Picture(NamedTuple):
    """A picture with its caption.

    Attributes:
        caption: a line below it.
        pixels: [H, W, 3] or [H, W], uint8.
        photograph: True embeds it as JPEG of quality 85, at most 1024 pixels a side; False, for
            maps and drawings, as PNG of its own size. Up to 256 pixels a side show as squares.
        wide: whether it gets a row to itself at its own size, for panels and drawings with text.
    """

    caption: str
    pixels: np.ndarray
    photograph: bool = True
    wide: bool = False


class Item(NamedTuple):
    """What belongs to one image or one figure.

    Attributes:
        title: its heading.
        pictures: shown side by side.
        table: pairs of key and value, a line each, such as classes and probabilities; a tuple of
            values has a cell for each. A third entry, RGB, puts a square of that color before the
            key.
        section: heading above the first of neighboring items with the same one; '' for none.
    """

    title: str
    pictures: Sequence[Picture]
    table: Sequence[tuple] = ()
    section: str = ''


def write_page(
    path: str | os.PathLike[str], title: str, items: Iterable[Item], notes: Iterable[str] = ()
) -> int:
    """Writes a page that needs no other file, no script and no network.

    Items are written as they come, so an iterator of many does not fill the memory; an earlier
    page is replaced when the new one is whole. Texts may hold any characters.

    Args:
        path: the file, whose directory exists.
        title: heading of the page.
        items: an iterable of `Item`.
        notes: lines below the heading, such as the command and the checkpoint.

    Returns:
        How many items there are.

    Raises:
        InputError: the directory does not exist.

    Example:
        >>> import tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), 'index.html')
        >>> picture = Picture('the digit', np.zeros((8, 8), np.uint8), photograph=False)
        >>> write_page(path, 'Digits', [Item('a.png', [picture], [('seven', '98.2 %')])])
        1
        >>> 'data:image/png;base64,' in path.read_text()
        True
    """
    path = pathlib.Path(path)
    if not path.parent.is_dir():
        raise InputError(
            f'{path.parent} is not a directory; make it before writing {path.name}',
            path=path.parent,
        )
    section, count = '', 0
    # File names may hold bytes that are no text; they are shown as escapes.
    with (
        replacing(path) as partial,
        open(partial, 'w', encoding='utf-8', errors='backslashreplace') as file,
    ):
        file.write(
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f'<title>{_text(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n'
            f'<h1>{_text(title)}</h1>\n'
        )
        file.writelines(f'<p>{_text(note)}</p>\n' for note in notes)
        for item in items:
            if item.section and item.section != section:
                file.write(f'<h2>{_text(item.section)}</h2>\n')
            section, count = item.section, count + 1
            file.write(_article(item))
        file.write('</body>\n</html>\n')
    return count


def _article(item):
    """Returns an item as HTML."""
    figures = ''.join(_figure(picture) for picture in item.pictures)
    lines = ''.join(
        f'<tr><th scope="row">{"".join(map(_swatch, color))}{_text(key)}</th>'
        f'{"".join(map(_cell, value if isinstance(value, tuple) else (value,)))}</tr>\n'
        for key, value, *color in item.table
    )
    table = f'<table>\n{lines}</table>\n' if lines else ''
    return (
        f'<article>\n<h3>{_text(item.title)}</h3>\n<div class="pictures">\n{figures}</div>\n'
        f'{table}</article>\n'
    )


def _figure(picture):
    """Returns a picture as HTML, with its pixels in the address."""
    image = Image.fromarray(np.asarray(picture.pixels))
    if picture.photograph:
        image.thumbnail((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS)
    kind, options = ('jpeg', {'quality': QUALITY}) if picture.photograph else ('png', {})
    file = io.BytesIO()
    image.save(file, format=kind, **options)
    data = base64.b64encode(file.getvalue()).decode()
    cells = not (picture.photograph or picture.wide) and max(image.size) <= CELLS_PX
    caption = _text(picture.caption)
    return (
        f'<figure{_class("wide", picture.wide)}><img{_class("cells", cells)} '
        f'width="{image.width}" height="{image.height}" alt="{caption}" '
        f'src="data:image/{kind};base64,{data}"><figcaption>{caption}</figcaption></figure>\n'
    )


def _cell(value):
    return f'<td>{_text(value)}</td>'


def _swatch(color):
    red, green, blue = map(int, color)
    return f'<span class="swatch" style="background: rgb({red}, {green}, {blue})"></span>'


def _class(name, given):
    return f' class="{name}"' if given else ''


def _text(value):
    return html.escape(str(value))
