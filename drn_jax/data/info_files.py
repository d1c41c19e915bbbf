"""info.json: what a data set of the user's own says of itself."""
import json
from typing import NamedTuple

from etils import epath

from drn_jax.data import cityscapes
from drn_jax.errors import InputError

_KEYS = ('classes', 'mean', 'std', 'palette', 'ignore', 'label_ids')


class Info(NamedTuple):
    """What info.json says of a data set.

    Attributes:
        class_names: names of the classes.
        palette: colour of each class, (r, g, b) in 0..255.
        mean_std: mean and standard deviation of each channel, white being 1, or None.
        ignore: label values that mean no class.
        label_ids: whether label maps hold Cityscapes' label ids.
    """
    class_names: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    mean_std: tuple[tuple[float, ...], tuple[float, ...]] | None
    ignore: tuple[int, ...]
    label_ids: bool


def read_info(root):
    """Reads info.json of a data set of the user's own.

    Args:
        root: directory of the data set, local or gs://.

    Returns:
        Info. Where label_ids is true, classes may be left out; without a palette, the colours are
        Cityscapes' or Pascal VOC's.

    Raises:
        InputError: the file is missing, is no JSON, or something in it cannot be used.
    """
    if not root or not epath.Path(root).is_dir():
        raise InputError(f'config.data.data_dir {root!r} is no directory; give the one that holds '
                         'info.json')
    path = epath.Path(root) / 'info.json'
    if not path.exists():
        raise InputError(f'{path} is missing; write {{"classes": [...], "mean": [r, g, b], "std": '
                         '[r, g, b]} into it')
    try:
        given = json.loads(path.read_text())
    except ValueError as error:
        raise InputError(f'{path} is no JSON: {error}; correct it') from error

    def check(good, what):
        if not good:
            raise InputError(f'{path}: {what}')

    check(isinstance(given, dict), 'it must be an object, {"classes": [...], ...}')
    unknown = sorted(set(given) - set(_KEYS))
    check(not unknown, f'{", ".join(unknown)} is unknown; known are {", ".join(_KEYS)}')
    label_ids = given.get('label_ids', False)
    check(isinstance(label_ids, bool), f'label_ids is {label_ids!r}; give true or false')
    classes = given.get('classes', list(cityscapes.CLASS_NAMES) if label_ids else None)
    check(isinstance(classes, list) and 1 <= len(classes) <= 255
          and all(isinstance(name, str) and name for name in classes)
          and len(set(classes)) == len(classes),
          f'classes is {classes!r}; give a list of 1 to 255 different names')
    check(not label_ids or len(classes) == len(cityscapes.CLASS_NAMES),
          f'label_ids is true but there are {len(classes)} classes; label ids mean the 19 of '
          'Cityscapes')
    ignore = given.get('ignore', [])
    check(isinstance(ignore, list) and all(_whole(value) for value in ignore),
          f'ignore is {ignore!r}; give a list of label values in 0 to 255')
    check(('mean' in given) == ('std' in given), 'give mean and std, or neither')
    for key, least in (('mean', 0), ('std', 1e-6)):
        numbers = given.get(key, [.5] * 3)
        check(_numbers(numbers, least), f'{key} is {numbers!r}; give three numbers, for red, green '
              f'and blue, {"in 0 to 1" if key == "mean" else "above 0, at most 1"}, white being 1')
    palette = given.get(
        'palette', cityscapes.PALETTE if label_ids else default_palette(len(classes)))
    check(isinstance(palette, (list, tuple)) and len(palette) == len(classes)
          and all(isinstance(colour, (list, tuple)) and len(colour) == 3
                  and all(_whole(value) for value in colour) for colour in palette),
          f'palette must hold [r, g, b] in 0 to 255 for each of the {len(classes)} classes')
    if not label_ids and ignore:
        check(not set(range(len(classes))) <= set(ignore), 'ignore holds all classes')
    return Info(tuple(classes), tuple(map(tuple, palette)),
                (tuple(given['mean']), tuple(given['std'])) if 'mean' in given else None,
                tuple(ignore), label_ids)


def default_palette(count):
    """Gives Pascal VOC's colours: bits 0, 3, 6 of a class become the highest bit of red, and so on.

    Args:
        count: number of classes, at most 256.

    Returns:
        Tuple of (r, g, b) in 0..255.

    Example:
        >>> default_palette(5)
        ((0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128))
    """
    return tuple(
        tuple(sum((number >> (3 * bit + channel) & 1) << (7 - bit) for bit in range(3))
              for channel in range(3)) for number in range(count))


def _whole(value):
    return type(value) is int and 0 <= value <= 255


def _numbers(values, least):
    return (isinstance(values, list) and len(values) == 3
            and all(type(value) in (int, float) and least <= value <= 1 for value in values))
