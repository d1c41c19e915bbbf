"""What a data set of the user's own holds: info.json says it, or it is a known one."""

import json
from typing import Any, NamedTuple

from etils import epath

from drn_jax import cityscapes
from drn_jax.errors import InputError
from drn_jax.files import read_text

_KEYS = ('classes', 'mean', 'std', 'palette', 'ignore', 'label_ids')


class Info(NamedTuple):
    """What info.json says of a data set.

    Attributes:
        class_names: names of the classes; () where they are left out.
        palette: color of each class, (r, g, b) in 0..255.
        mean_std: mean and standard deviation of each channel, white being 1, or None.
        ignore: label values that mean no class.
        label_ids: whether label maps hold Cityscapes' label ids.
    """

    class_names: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    mean_std: tuple[tuple[float, ...], tuple[float, ...]] | None
    ignore: tuple[int, ...]
    label_ids: bool


# CamVid's 11 classes as SegNet's authors prepared them (Badrinarayanan et al. 2017), 11 for none,
# in the colors of the data set (Brostow et al. 2009).
_CAMVID = {
    'sky': (128, 128, 128),
    'building': (128, 0, 0),
    'pole': (192, 192, 128),
    'road': (128, 64, 128),
    'pavement': (0, 0, 192),
    'tree': (128, 128, 0),
    'sign': (192, 128, 128),
    'fence': (64, 64, 128),
    'car': (64, 0, 128),
    'pedestrian': (64, 64, 0),
    'bicyclist': (0, 128, 192),
}
# What lies in a directory of the user's own, by the name of the data set; None: info.json says it.
OWN = {
    'camvid': Info(tuple(_CAMVID), tuple(_CAMVID.values()), None, (len(_CAMVID),), False),
    'label_maps': None,
}


def read_info(root: str, name: str = 'label_maps') -> Info:
    """Reads info.json of a data set of the user's own, or tells what is known of it.

    Args:
        root: directory of the data set, local or gs://.
        name: of the data set, one of `OWN`.

    Returns:
        Info. Classes may be left out where they are those of Cityscapes; without a palette, the
        colors are Cityscapes' or Pascal VOC's.

    Raises:
        InputError: the file is missing, is no JSON, or something in it cannot be used.
    """
    if not root or not epath.Path(root).is_dir():
        raise InputError(
            f'config.data.data_dir {root!r} is no directory; give the one that holds '
            f'{"train.txt" if OWN[name] else "info.json"}',
            field='config.data.data_dir',
        )
    if known := OWN[name]:
        return known
    path = epath.Path(root) / 'info.json'
    if not path.exists():
        raise InputError(
            f'{path} is missing; write {{"classes": [...], "mean": [r, g, b], "std": '
            '[r, g, b]} into it',
            path=path,
        )
    try:
        return parse_info(json.loads(read_text(path)))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f'{path} is no JSON: {error}; correct it', path=path) from error
    except InputError as error:
        raise InputError(f'{path}: {error}', path=path) from error


def parse_info(given: Any) -> Info:
    """Checks what info.json holds.

    Args:
        given: its content.

    Returns:
        Info.

    Raises:
        InputError: something in it is unknown or cannot be used.

    Example:
        >>> parse_info({'classes': ['sky', 'sea'], 'ignore': [9]}).ignore
        (9,)
    """
    _check(isinstance(given, dict), 'it must be an object, {"classes": [...], ...}')
    unknown = ', '.join(sorted(set(given) - set(_KEYS)))
    _check(not unknown, f'{unknown} is unknown; known are {", ".join(_KEYS)}')
    label_ids, ignore = given.get('label_ids', False), given.get('ignore', [])
    _check(isinstance(label_ids, bool), f'label_ids is {label_ids!r}; give true or false')
    _check(
        isinstance(ignore, list) and all(map(_is_byte, ignore)),
        f'ignore is {ignore!r}; give a list of label values in 0 to 255',
    )
    class_names = _class_names(given, label_ids)
    of_cityscapes, count = label_ids or not class_names, len(class_names or cityscapes.CLASS_NAMES)
    return Info(
        class_names,
        _palette(given, of_cityscapes, count),
        _mean_std(given),
        tuple(ignore),
        label_ids,
    )


def _class_names(given, label_ids):
    cityscapes_names = list(cityscapes.CLASS_NAMES)
    if 'classes' not in given:
        return cityscapes.CLASS_NAMES if label_ids else ()
    names = given['classes']
    _check(
        isinstance(names, list)
        and 1 <= len(names) <= 255
        and all(isinstance(name, str) and name for name in names)
        and len(set(names)) == len(names),
        f'classes is {names!r}; give a list of 1 to 255 different names',
    )
    _check(
        not label_ids or len(names) == len(cityscapes_names),
        f'label_ids is true but there are {len(names)} classes; label ids mean the 19 of '
        'Cityscapes',
    )
    return tuple(names)


def _palette(given, of_cityscapes, count):
    if 'palette' not in given:
        return cityscapes.PALETTE if of_cityscapes else default_palette(count)
    palette = given['palette']
    _check(
        isinstance(palette, list)
        and len(palette) == count
        and all(
            isinstance(color, list) and len(color) == 3 and all(map(_is_byte, color))
            for color in palette
        ),
        f'palette must hold [r, g, b] in 0 to 255 for each of the {count} classes',
    )
    return tuple(map(tuple, palette))


def _mean_std(given):
    _check(('mean' in given) == ('std' in given), 'give mean and std, or neither')
    if 'mean' not in given:
        return None
    for key, least, allowed in (('mean', 0, 'in 0 to 1'), ('std', 1e-6, 'above 0, at most 1')):
        numbers = given[key]
        _check(
            isinstance(numbers, list)
            and len(numbers) == 3
            and all(type(number) in (int, float) and least <= number <= 1 for number in numbers),
            f'{key} is {numbers!r}; give three numbers, for red, green and blue, {allowed}, '
            'white being 1',
        )
    return tuple(map(float, given['mean'])), tuple(map(float, given['std']))


def _check(good, what):
    if not good:
        raise InputError(what)


def _is_byte(value):
    return type(value) is int and 0 <= value <= 255


def default_palette(count: int) -> tuple[tuple[int, int, int], ...]:
    """Returns Pascal VOC's colors: bits 0, 3, 6 of a class are the highest bits of red, and so on.

    Args:
        count: number of classes, at most 256.

    Returns:
        Tuple of (r, g, b) in 0..255.

    Example:
        >>> default_palette(5)
        ((0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128))
    """

    def level(number, channel):
        return sum((number >> (3 * bit + channel) & 1) << (7 - bit) for bit in range(3))

    return tuple((level(each, 0), level(each, 1), level(each, 2)) for each in range(count))
