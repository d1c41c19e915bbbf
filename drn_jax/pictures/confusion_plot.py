"""The confusion matrix as a picture and as a table in a file."""

import csv
import os
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from drn_jax.files import replacing
from drn_jax.pictures import text

# A cell is as large as keeps the matrix near SIDE_PX, within these bounds. Names need 10 pixels
# and percentages 26.
SIDE_PX, CELL_PX, NAME_PX, NUMBER_PX, MARGIN_PX = 1000, (2, 52), 10, 26, 220
FULL = np.array([8, 64, 129])  # the color of a share of 1; 0 is white


def confusion_picture(matrix: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Draws a confusion matrix: every cell is colored by its share of its row.

    Rows are true classes and columns predicted ones. Names are left out where cells have less than
    10 pixels, which is above 100 classes, and percentages where they have less than 26 or the
    share rounds to 0. A row without examples is gray.

    Args:
        matrix: examples (or pixels) of every true class by predicted class, [C, C], integers.
        names: of the classes, C strings.

    Returns:
        [H, W, 3], uint8.

    Raises:
        ValueError: the matrix is not square, or the number of names differs.

    Example:
        >>> confusion_picture(np.array([[9, 1], [0, 5]]), ['cat', 'dog']).ndim
        3
    """
    matrix, names = _checked(matrix, names)
    classes = len(names)
    cell = int(np.clip(SIDE_PX // max(classes, 1), *CELL_PX))
    letters = min(14, cell - 2) if cell >= NAME_PX else 0
    names = [text.shorten(name, MARGIN_PX, letters) if letters else '' for name in names]
    margin = 34 + (max(text.width(name, letters) for name in names) if letters else 0)
    totals = matrix.sum(1, keepdims=True)
    share = matrix / np.maximum(totals, 1)
    colors = 255 + share[..., None] * (FULL - 255)
    colors = np.where(totals[..., None] > 0, colors, 225).round().astype(np.uint8)
    image = Image.new('RGB', (margin + classes * cell + 10,) * 2, 'white')
    image.paste(Image.fromarray(colors.repeat(cell, 0).repeat(cell, 1)), (margin, margin))
    pen = ImageDraw.Draw(image)
    centers = margin + (np.arange(classes) + 0.5) * cell
    font = text.font(max(letters, 1))
    for place, name in zip(centers, names):
        pen.text((margin - 5, place), name, fill='black', font=font, anchor='rm')
    _upright(image, names, centers, margin - 5, letters)
    if cell >= NUMBER_PX:
        _percentages(pen, share, centers, min(13, cell // 3))
    side = margin + classes * cell
    pen.rectangle((margin - 1, margin - 1, side, side), outline=(120, 120, 120))
    middle = margin + classes * cell / 2
    title = 'predicted, % of the row'
    pen.text((middle, 4), title, fill='black', font=text.font(14), anchor='ma')
    _upright(image, ['true'], [middle], 4, 14, anchor='start')
    return np.array(image)


def write_confusion(path: str | os.PathLike[str], matrix: np.ndarray, names: Sequence[str]) -> None:
    """Writes a confusion matrix as CSV: a row of predicted names, then a row per true class.

    Args:
        path: the file, local or gs://; an earlier one is replaced.
        matrix: examples of every true class by predicted class, [C, C], integers.
        names: of the classes, C strings.

    Raises:
        ValueError: the matrix is not square, or the number of names differs.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), 'confusion.csv')
        >>> write_confusion(path, np.array([[9, 1], [0, 5]]), ['cat', 'dog, wet'])
        >>> print(path.read_text())
        true,cat,"dog, wet"
        cat,9,1
        "dog, wet",0,5
        <BLANKLINE>
    """
    matrix, names = _checked(matrix, names)
    with replacing(path) as partial, open(partial, 'w', encoding='utf-8', newline='') as file:
        writer = csv.writer(file, lineterminator='\n')
        writer.writerow(['true', *names])
        writer.writerows([name, *row] for name, row in zip(names, matrix.tolist()))


def _checked(matrix, names):
    matrix, names = np.asarray(matrix), [str(name) for name in names]
    if matrix.shape != (len(names),) * 2 or not names:
        raise ValueError(
            f'a confusion matrix {matrix.shape} does not fit {len(names)} names; give '
            'a square one and a name for each class'
        )
    return matrix, names


def _percentages(pen, share, centers, size_px):
    """Writes the shares that are not 0 as whole percentages into their cells."""
    for row, column in zip(*np.nonzero(np.round(100 * share))):
        pen.text(
            (centers[column], centers[row]),
            f'{100 * share[row, column]:.0f}',
            fill='white' if share[row, column] > 0.5 else 'black',
            font=text.font(size_px),
            anchor='mm',
        )


def _upright(image, names, centers, edge, size_px, anchor='end'):
    """Writes names that read upwards: across the columns' centers, or down the left edge."""
    for name, center in zip(names, centers):
        if not name:
            continue
        wide, high = text.width(name, size_px), round(1.4 * size_px)
        line = Image.new('L', (wide, high), 255)
        ImageDraw.Draw(line).text((0, high / 2), name, fill=0, font=text.font(size_px), anchor='lm')
        line = line.transpose(Image.Transpose.ROTATE_90)
        if anchor == 'end':
            place = round(center - high / 2), edge - wide
        else:
            place = edge, round(center - wide / 2)
        image.paste(line.convert('RGB'), place)
