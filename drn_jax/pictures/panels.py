"""Pictures side by side, with titles: the figures."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from drn_jax.pictures import text

TEXT_PX, ROW_TITLE_PX = 15, 180  # height of letters, largest width of a row's title


def fit(picture: np.ndarray, side_px: int) -> np.ndarray:
    """Resizes a picture so that its longer side has a given length.

    Larger pictures are averaged down; smaller ones repeat their pixels, so that the cells of a
    small map stay visible.

    Args:
        picture: [H, W, 3], uint8.
        side_px: length of the longer side.

    Returns:
        [h, w, 3], uint8.

    Example:
        >>> fit(np.zeros((10, 20, 3), np.uint8), 40).shape
        (20, 40, 3)
    """
    height, width = picture.shape[:2]
    scale = side_px / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    method = Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.NEAREST
    return np.array(Image.fromarray(picture).resize(size, method))


def panel(
    rows: Sequence[Sequence[np.ndarray | None]],
    *,
    column_titles: Sequence[str] = (),
    row_titles: Sequence[str] = (),
    side_px: int | None = None,
    padding_px: int = 8,
) -> np.ndarray:
    """Puts pictures into a table on white ground, each in the middle of its cell.

    Args:
        rows: lists of pictures, [H, W, 3] uint8, or None where a cell stays empty; rows may
            differ in length.
        column_titles: a line above each column, cut where it is wider than the column.
        row_titles: a line left of each row.
        side_px: longer side that every picture gets by `fit`; None leaves sizes as they are.
        padding_px: white space round every picture.

    Returns:
        [H, W, 3], uint8.

    Raises:
        ValueError: there is no picture, or titles outnumber columns or rows.

    Example:
        >>> black = np.zeros((10, 20, 3), np.uint8)
        >>> panel([[black, black], [None, black]], padding_px=5).shape
        (35, 55, 3)
    """
    if side_px is not None:
        rows = [[cell if cell is None else fit(cell, side_px) for cell in row] for row in rows]
    columns = max(map(len, rows), default=0)
    if not any(cell is not None for row in rows for cell in row):
        raise ValueError('a panel needs at least one picture; none was given')
    if len(column_titles) > columns or len(row_titles) > len(rows):
        raise ValueError(
            f'{len(column_titles)} column titles and {len(row_titles)} row titles do '
            f'not fit {columns} columns and {len(rows)} rows; give one each'
        )
    sizes = np.zeros((len(rows), columns, 2), int)
    for line, row in enumerate(rows):
        for column, cell in enumerate(row):
            sizes[line, column] = (0, 0) if cell is None else cell.shape[:2]
    heights, widths = sizes[..., 0].max(1), sizes[..., 1].max(0)
    title_px = max((text.width(title, TEXT_PX) for title in row_titles), default=-padding_px)
    left = min(title_px, ROW_TITLE_PX) + 2 * padding_px
    top = padding_px + (round(1.5 * TEXT_PX) if column_titles else 0)
    xs = left + np.cumsum([0, *(widths + padding_px)])
    ys = top + np.cumsum([0, *(heights + padding_px)])
    image = Image.new('RGB', (int(xs[-1]), int(ys[-1])), 'white')
    for row, y, high in zip(rows, ys, heights):
        for cell, x, wide in zip(row, xs, widths):
            if cell is not None:
                place = int(x + (wide - cell.shape[1]) // 2), int(y + (high - cell.shape[0]) // 2)
                image.paste(Image.fromarray(cell), place)
    pen, font = ImageDraw.Draw(image), text.font(TEXT_PX)
    for title, x, wide in zip(column_titles, xs, widths):
        at, title = (x + wide / 2, top - padding_px / 2), text.shorten(title, wide, TEXT_PX)
        pen.text(at, title, fill='black', font=font, anchor='md')
    for title, y, high in zip(row_titles, ys, heights):
        at, title = (left - padding_px, y + high / 2), text.shorten(title, ROW_TITLE_PX, TEXT_PX)
        pen.text(at, title, fill='black', font=font, anchor='rm')
    return np.array(image)
