"""Names and colours of classes where a checkpoint brings none."""
import colorsys
from typing import NamedTuple

CITYSCAPES = {
    'road': (128, 64, 128), 'sidewalk': (244, 35, 232), 'building': (70, 70, 70),
    'wall': (102, 102, 156), 'fence': (190, 153, 153), 'pole': (153, 153, 153),
    'traffic light': (250, 170, 30), 'traffic sign': (220, 220, 0), 'vegetation': (107, 142, 35),
    'terrain': (152, 251, 152), 'sky': (70, 130, 180), 'person': (220, 20, 60),
    'rider': (255, 0, 0), 'car': (0, 0, 142), 'truck': (0, 0, 70), 'bus': (0, 60, 100),
    'train': (0, 80, 100), 'motorcycle': (0, 0, 230), 'bicycle': (119, 11, 32),
}


class Palette(NamedTuple):
    """What classes are called and how they are drawn.

    Attributes:
        names: a string for each class.
        colours: RGB for each class, 0 to 255.
    """
    names: tuple[str, ...]
    colours: tuple[tuple[int, int, int], ...]


def of_data(name, classes):
    """Gives names and colours for the classes of a data set.

    Args:
        name: of the data set.
        classes: how many there are.

    Returns:
        A `Palette`: that of Cityscapes for its 19 classes, else names like 'class 12' and hues
        that differ as much as they can between neighbours.

    Example:
        >>> of_data('cityscapes', 19).names[10], of_data('mine', 2).names
        ('sky', ('class 0', 'class 1'))
    """
    if name.startswith('cityscapes') and classes == len(CITYSCAPES):
        return Palette(tuple(CITYSCAPES), tuple(CITYSCAPES.values()))
    return Palette(tuple(f'class {place}' for place in range(classes)),
                   tuple(map(_colour, range(classes))))


def _colour(place):
    """Gives a colour: the golden section spreads hues evenly, however many are drawn."""
    hue, lightness = (.1 + .618034 * place) % 1, (.45, .65, .3)[place % 3]
    return tuple(round(255 * value) for value in colorsys.hls_to_rgb(hue, lightness, .75))
