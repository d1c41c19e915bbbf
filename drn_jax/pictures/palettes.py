"""Names and colors of classes where a checkpoint brings none."""

import colorsys
from typing import NamedTuple

from drn_jax import cityscapes


class Palette(NamedTuple):
    """What classes are called and how they are drawn.

    Attributes:
        names: a string for each class.
        colors: RGB for each class, 0 to 255.
    """

    names: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...]


def of_data(name: str, classes: int) -> Palette:
    """Returns names and colors for the classes of a data set.

    Args:
        name: of the data set.
        classes: how many there are.

    Returns:
        A `Palette`: that of Cityscapes for its 19 classes, else names like 'class 12' and hues
        that differ as much as they can between neighbors.

    Example:
        >>> of_data('cityscapes', 19).names[10], of_data('mine', 2).names
        ('sky', ('class 0', 'class 1'))
    """
    if name.startswith('cityscapes') and classes == len(cityscapes.CLASS_NAMES):
        return Palette(cityscapes.CLASS_NAMES, cityscapes.PALETTE)
    return Palette(
        tuple(f'class {place}' for place in range(classes)), tuple(map(_color, range(classes)))
    )


def _color(place):
    """Returns a color: the golden section spreads hues evenly, however many are drawn."""
    hue, lightness = (0.1 + 0.618034 * place) % 1, (0.45, 0.65, 0.3)[place % 3]
    return tuple(round(255 * value) for value in colorsys.hls_to_rgb(hue, lightness, 0.75))
