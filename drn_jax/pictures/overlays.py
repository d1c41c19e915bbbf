"""Heat maps, boxes and label maps, alone and laid over photographs."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from drn_jax.cityscapes import IGNORE_LABEL
from drn_jax.ops.resize import bilinear_weights
from drn_jax.pictures import text

Color = tuple[int, int, int]  # red, green and blue in 0..255

# Colors from low to high, dark to light, so that they can be told apart in gray as well.
_HEAT_ENDS = np.array(
    [
        (68, 1, 84),
        (71, 44, 122),
        (59, 81, 139),
        (44, 113, 142),
        (33, 144, 141),
        (39, 173, 129),
        (92, 200, 99),
        (170, 220, 50),
        (253, 231, 37),
    ]
)
_PLACES = np.linspace(0, len(_HEAT_ENDS) - 1, 256)
_HEAT = np.stack(
    [np.interp(_PLACES, np.arange(len(_HEAT_ENDS)), channel) for channel in _HEAT_ENDS.T], axis=-1
)
STEPS = _HEAT.round().astype(np.uint8)

# Of boxes, one after another: they differ in lightness and hue, also for the color-blind.
BOX_COLORS = ((255, 194, 10), (12, 123, 220), (230, 60, 60), (26, 190, 130), (200, 90, 230))


def heat_map(
    values: np.ndarray, *, low: float | None = None, high: float | None = None
) -> np.ndarray:
    """Colors a map: `low` dark violet, over green, to `high` yellow.

    Args:
        values: [h, w], a float type; what is not finite is drawn as `low`.
        low, high: ends of the scale; by default the smallest and the largest finite value.

    Returns:
        [h, w, 3], uint8; all of the lowest color where the scale has no length.

    Example:
        >>> heat_map(np.array([[0., 1., 2.]])).tolist()
        [[[68, 1, 84], [33, 144, 141], [253, 231, 37]]]
    """
    values, low, high = _color_scale(values, low, high)
    if not high > low:
        return np.broadcast_to(STEPS[0], (*values.shape, 3)).copy()
    fraction = (values - low) / (high - low)
    return STEPS[(fraction.clip(0, 1) * 255).round().astype(np.uint8)]


def _color_scale(values, low, high):
    """Returns a map with `low` where it is not finite, and the ends of its scale.

    Not `ops.scores.minmax_scale`: ends may be given, and what is finite is drawn all the same.
    """
    values = np.asarray(values, np.float32)
    finite = np.isfinite(values)
    known = values[finite] if finite.any() else np.zeros(1, np.float32)
    low, high = (known.min() if low is None else low), (known.max() if high is None else high)
    return np.where(finite, values, low), low, high


def enlarge(
    values: np.ndarray, height: int, width: int, region: Sequence[float] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Interpolates a map bilinearly at the pixels of an image of which it covers a region.

    Args:
        values: [h, w], a float type.
        height, width: of the image in pixels.
        region: what the map covers, y0, x0, y1, x1 in pixels of the image, upper ends exclusive;
            it may end between pixels or outside the image. The whole image by default.

    Returns:
        [height, width], float32, which repeats the outermost cells beyond their centers; and
        whether the region covers a pixel's center, [height, width], bool.

    Example:
        >>> values, inside = enlarge(np.array([[0., 2.]]), 1, 6, region=(0, 0, 1, 4))
        >>> values.tolist(), inside.tolist()
        ([[0.0, 0.5, 1.5, 2.0, 2.0, 2.0]], [[True, True, True, True, False, False]])
    """
    y0, x0, y1, x1 = region if region is not None else (0, 0, height, width)
    values = np.asarray(values, np.float32)
    rows, columns = (
        bilinear_weights(pixels, cells, (end - start) / cells, start=start)
        for pixels, cells, start, end in zip((height, width), values.shape, (y0, x0), (y1, x1))
    )
    y, x = np.arange(height)[:, None] + 0.5, np.arange(width) + 0.5
    return rows @ values @ columns.T, (y0 <= y) & (y < y1) & (x0 <= x) & (x < x1)


def overlay_heatmap(
    photograph: np.ndarray,
    values: np.ndarray,
    *,
    region: Sequence[float] | None = None,
    alpha: float = 0.5,
    low: float | None = None,
    high: float | None = None,
) -> np.ndarray:
    """Lays a colored map over a photograph at its full size.

    out = (1 - alpha) * photograph + alpha * color inside the region, the photograph elsewhere.

    Args:
        photograph: [H, W, 3], uint8.
        values: the map, [h, w], a float type; what is not finite is drawn as `low`.
        region: what the map covers, as in `enlarge`.
        alpha: strength of the colors in [0, 1].
        low, high: ends of the scale; by default those of the map.

    Returns:
        [H, W, 3], uint8.

    Example:
        >>> overlay_heatmap(np.zeros((2, 2, 3), np.uint8), np.ones((1, 1)), low=0.)[0, 0].tolist()
        [127, 116, 19]
    """
    values, low, high = _color_scale(values, low, high)
    height, width, _ = photograph.shape
    large, inside = enlarge(values, height, width, region)
    return _blend(photograph, heat_map(large, low=low, high=high), inside, alpha)


def draw_boxes(
    photograph: np.ndarray,
    boxes: np.ndarray | Sequence[Sequence[float]],
    labels: Sequence[str] | None = None,
    *,
    colors: Sequence[Color] = BOX_COLORS,
) -> np.ndarray:
    """Draws boxes, and a label at the upper left corner of each.

    Lines and letters grow with the photograph. A box without area is not drawn; a label stays
    within the photograph and is cut where it does not fit.

    Args:
        photograph: [H, W, 3], uint8.
        boxes: y0, x0, y1, x1, upper ends exclusive, in pixels, [N, 4].
        labels: N strings, or None.
        colors: used in turn.

    Returns:
        [H, W, 3], uint8, a copy.

    Raises:
        ValueError: there are not as many labels as boxes.

    Example:
        >>> drawn = draw_boxes(np.zeros((9, 9, 3), np.uint8), [[1, 2, 8, 7]])
        >>> drawn[1, 2].tolist(), drawn[7, 6].tolist(), drawn[4, 4].tolist(), drawn[8, 7].tolist()
        ([255, 194, 10], [255, 194, 10], [0, 0, 0], [0, 0, 0])
    """
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    labels = [''] * len(boxes) if labels is None else list(labels)
    if len(labels) != len(boxes):
        raise ValueError(f'{len(labels)} labels do not fit {len(boxes)} boxes; give one each')
    image = Image.fromarray(photograph)
    pen, side = ImageDraw.Draw(image), min(photograph.shape[:2])
    line_px, text_px = max(2, round(side / 150)), max(11, round(side / 24))
    for place, ((y0, x0, y1, x1), label) in enumerate(zip(boxes.round(), labels)):
        if y1 <= y0 or x1 <= x0:
            continue
        color = colors[place % len(colors)]
        pen.rectangle((x0, y0, x1 - 1, y1 - 1), outline=color, width=line_px)
        if label:
            _write(pen, image.size, label, x0, y0, color, text_px)
    return np.array(image)


def _write(pen, size, label, x0, y0, color, text_px):
    """Writes a label on a ground of the box's color, above the box where there is room."""
    width, height = size
    label = text.shorten(str(label), width - 6, text_px)
    wide, high = text.width(label, text_px) + 6, round(1.35 * text_px)
    x = max(0, min(x0, width - wide))
    y = y0 - high if y0 >= high else max(0, min(y0, height - high))
    pen.rectangle((x, y, x + wide - 1, y + high - 1), fill=color)
    light = np.dot(color, (0.299, 0.587, 0.114)) > 140
    fill = 'black' if light else 'white'
    pen.text((x + 3, y + high / 2), label, fill=fill, font=text.font(text_px), anchor='lm')


def color_labels(
    labels: np.ndarray,
    palette: Sequence[Color],
    *,
    ignore: int = IGNORE_LABEL,
    ignore_color: Color = (0, 0, 0),
) -> np.ndarray:
    """Colors a map of labels by a palette.

    Args:
        labels: [H, W], uint8.
        palette: of every class.
        ignore: the label that stands for no class.
        ignore_color: its color.

    Returns:
        [H, W, 3], uint8.

    Raises:
        ValueError: a label is neither a place in the palette nor `ignore`.

    Example:
        >>> color_labels(np.array([[0, 1, 255]], np.uint8), [(9, 9, 9), (0, 0, 200)]).tolist()
        [[[9, 9, 9], [0, 0, 200], [0, 0, 0]]]
    """
    table = np.zeros((256, 3), np.uint8)
    table[: len(palette)] = palette
    table[ignore] = ignore_color
    unknown = np.unique(labels[(labels >= len(palette)) & (labels != ignore)])
    if len(unknown):
        raise ValueError(
            f'label {unknown[0]} has no color in a palette of {len(palette)}; '
            f'labels are 0 to {len(palette) - 1}, or {ignore} for none'
        )
    return table[labels]


def overlay_labels(
    photograph: np.ndarray,
    labels: np.ndarray,
    palette: Sequence[Color],
    *,
    alpha: float = 0.5,
    ignore: int = IGNORE_LABEL,
) -> np.ndarray:
    """Lays a colored map of labels over a photograph; pixels without a class stay as they are.

    Args:
        photograph: [H, W, 3], uint8.
        labels: [H, W], uint8.
        palette: of every class.
        alpha: strength of the colors in [0, 1].
        ignore: the label that stands for no class.

    Returns:
        [H, W, 3], uint8.

    Raises:
        ValueError: sizes differ, or a label has no color.

    Example:
        >>> photograph = np.full((1, 2, 3), 100, np.uint8)
        >>> labels = np.array([[0, 255]], np.uint8)
        >>> overlay_labels(photograph, labels, [(200, 0, 0)]).tolist()
        [[[150, 50, 50], [100, 100, 100]]]
    """
    if photograph.shape[:2] != labels.shape:
        raise ValueError(
            f'labels {labels.shape} do not fit a photograph of '
            f'{photograph.shape[:2]} pixels; resize one of them'
        )
    return _blend(photograph, color_labels(labels, palette, ignore=ignore), labels != ignore, alpha)


def _blend(photograph, colors, inside, alpha):
    """Mixes colors into the pixels of a photograph that are inside."""
    mixed = photograph + (colors.astype(np.float32) - photograph) * np.float32(alpha)
    return np.where(inside[..., None], (mixed + 0.5).astype(np.uint8), photograph)
