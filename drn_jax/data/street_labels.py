"""Label maps of Cityscapes in any of its forms: train ids, label ids or colors."""

import os

import numpy as np

from drn_jax import cityscapes
from drn_jax.cityscapes import IGNORE_LABEL
from drn_jax.data.image_files import has_colors, read_image, read_label_map, read_palette
from drn_jax.errors import InputError, some

KINDS = ('train_ids', 'label_ids', 'colors')
# How names of files end, and what that says of them.
_NAMED = {
    '_labelIds': 'label_ids',
    '_trainIds': 'train_ids',
    '_labelTrainIds': 'train_ids',
    '_color': 'colors',
}
_CLASSES, _LABEL_IDS = len(cityscapes.CLASS_NAMES), cityscapes.LABEL_IDS


def read_street_labels(file: str | os.PathLike[str], kind: str = '') -> np.ndarray:
    """Reads a label map of Cityscapes as train ids.

    Args:
        file: its path, local or gs://.
        kind: one of `KINDS`; '': what the name says, colors where the file has such or its palette
            holds Cityscapes', else train ids.

    Returns:
        uint8 [H, W], 0 to 18, or 255 where there is no class.

    Raises:
        InputError: it cannot be read, or its values or colors are not of this kind.

    Source: the scripts of Cityscapes, for names, ids and colors.
    """
    stem = os.path.splitext(os.fspath(file))[0]
    named = next((kind for end, kind in _NAMED.items() if stem.endswith(end)), '')
    given, kind = kind, kind or named or ('colors' if has_colors(file) else 'train_ids')
    if kind == 'colors':
        return _of_colors(read_image(file), file)
    labels = read_label_map(file)
    if not (given or named) and (palette := read_palette(file)) is not None:
        colors = palette[labels]
        if (_known(colors)[1] == _codes(colors)).all():
            return _of_colors(colors, file)
    if kind == 'label_ids' and not given and 6 < labels.max() < _CLASSES:
        raise InputError(
            f'{file} is called label ids, but has only values below {_CLASSES}, as train ids do; '
            'say by --label_kind which they are',
            field='--label_kind',
            path=file,
        )
    return to_train_ids(labels, kind, file)


def to_train_ids(labels: np.ndarray, kind: str, name: object) -> np.ndarray:
    """Makes train ids of a label map, whose values are checked.

    Args:
        labels: [H, W], integers.
        kind: 'train_ids' or 'label_ids'.
        name: what the label map is called.

    Returns:
        uint8 [H, W], 0 to 18, or 255 where there is no class.

    Raises:
        InputError: a value is not of this kind; where it looks like one of the other, it says so.

    Example:
        >>> to_train_ids(np.array([[7, 26, 0, -1]]), 'label_ids', 'it').tolist()
        [[0, 13, 255, 255]]
    """
    if kind == 'label_ids':
        _check_label_ids(labels, name)
        return cityscapes.TRAIN_IDS[labels]
    _check_train_ids(labels, name)
    return labels.astype(np.uint8)


def _check_train_ids(labels, name):
    """Refuses values beyond 0 to 18 and 255."""
    present = np.unique(labels)
    wrong = present[((present < 0) | (present >= _CLASSES)) & (present != IGNORE_LABEL)]
    if not len(wrong):
        return
    if wrong.min() >= -1 and 0 <= wrong.max() < _LABEL_IDS:
        raise InputError(
            f'{name} is read as train ids, but has the values {some(wrong)}, which look like label '
            'ids; give --label_kind=label_ids, or files of train ids',
            field='--label_kind',
            path=name,
        )
    raise InputError(
        f'{name} is read as train ids, but has the values {some(wrong)}; allowed are 0 to '
        f'{_CLASSES - 1}, and {IGNORE_LABEL} for no class',
        field='--label_kind',
        path=name,
    )


def _check_label_ids(labels, name):
    """Refuses values that are no label ids; 255 stands among those of train ids only."""
    present = np.unique(labels)
    beyond = present[present >= _CLASSES]
    if len(beyond) == 1 and beyond[0] == IGNORE_LABEL:
        raise InputError(
            f'{name} is read as label ids, but has only 255 and values below {_CLASSES}, which '
            'look like train ids; give --label_kind=train_ids, or files of label ids',
            field='--label_kind',
            path=name,
        )
    wrong = present[(present < -1) | (present >= _LABEL_IDS) & (present != IGNORE_LABEL)]
    if len(wrong):
        raise InputError(
            f'{name} is read as label ids, but has the values {some(wrong)}; allowed are 0 to '
            f'{_LABEL_IDS - 1}',
            field='--label_kind',
            path=name,
        )


def _of_colors(pixels, name):
    """Turns Cityscapes' colors into train ids, [H, W, 3] -> [H, W]."""
    train_ids, codes = _known(pixels)
    strange = codes != _codes(pixels)
    if strange.any():
        red, green, blue = pixels[strange][0]
        raise InputError(
            f"{name} has {strange.sum():,} pixels of colors that are none of Cityscapes', such as "
            f'{red}, {green}, {blue}; give label maps that were saved without loss, unlike JPEG',
            field='--label_kind',
            path=name,
        )
    return train_ids


def _known(pixels):
    """Finds a color of Cityscapes for every pixel, which may be another one.

    Returns:
        Its train id and its code, [H, W].
    """
    palette = np.array((*cityscapes.PALETTE, *cityscapes.VOID_COLORS))
    train_ids = np.full(len(palette), IGNORE_LABEL, np.uint8)
    train_ids[:_CLASSES] = np.arange(_CLASSES)
    known, order = np.unique(_codes(palette), return_index=True)
    place = np.searchsorted(known, _codes(pixels)).clip(max=len(known) - 1)
    return train_ids[order][place], known[place]


def _codes(colors):
    """Makes one number of red, green and blue."""
    return colors.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], np.int32)
