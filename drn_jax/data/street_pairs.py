"""Finds which generated street belongs to which label map of Cityscapes, by their names."""

import os
from typing import NamedTuple

from etils import epath

from drn_jax import paths
from drn_jax.data.image_folders import SUFFIXES, find_images
from drn_jax.errors import InputError, some
from drn_jax.files import read_text

# Ends of the names that generators give: pix2pix and CycleGAN, pix2pixHD and SPADE.
_GENERATED = ('_fake_B', '_synthesized_image')
# Ends of the names of label maps, the best first; the last are what generators write beside images.
_LABELS = (
    ('_gtFine_labelTrainIds', '_gtFine_trainIds', '_gtFine_labelIds', '_gtFine_color')
    + ('_labelTrainIds', '_trainIds', '_labelIds', '_color')
    + ('_real_A', '_input_label')
)
_ENDS = (*_GENERATED, *_LABELS, '_leftImg8bit')


class StreetPair(NamedTuple):
    """A generated image and the label map that it was made from.

    Attributes:
        name: what messages and results call it: the image's relative path without its suffix.
        image, label: the files, local or gs://.
    """

    name: str
    image: str
    label: str


def pair_streets(
    images_dir: str | os.PathLike[str],
    labels_dir: str | os.PathLike[str],
    table: str | os.PathLike[str] = '',
) -> tuple[list[StreetPair], list[str]]:
    """Pairs the images of a folder with the label maps of another, searching folders inside too.

    Names agree without suffix and without what generators and Cityscapes append, as in
    `frankfurt_000000_000294_fake_B.png` and `frankfurt_000000_000294_gtFine_labelTrainIds.png`;
    below the folders paths agree, or there is one label map of the name. Where some images end
    in `_fake_B` or `_synthesized_image`, others are left out. Of several label maps of a scene
    train ids are taken, else label ids, else colors.

    Args:
        images_dir, labels_dir: local or gs://.
        table: a file of lines `NAME LABEL` or `NAME LABEL IMAGE`, separated by blanks, tabs or
            commas: the image of this name, or the one that IMAGE's name ends in, has the label map
            LABEL, a path below `labels_dir`; '': names decide.

    Returns:
        Pairs, sorted by name, and sentences on what is left out.

    Raises:
        InputError: a folder or the table cannot be used, an image has no label map or several, or
            several images have one.

    Source: names as generators write them; the table is that of mit-han-lab/gan-compression.
    """
    images, remarks = _images(images_dir)
    label_of = _ByTable(table, labels_dir) if table else _ByName(labels_dir, images_dir, images)
    pairs, alone, twice = [], [], []
    image_of: dict[str, str] = {}
    for key, path in images.items():
        label = label_of(key)
        if label is None:
            alone.append(path)
        else:
            if (first := image_of.setdefault(label, path)) != path:
                twice.append(f'{path} (that of {first})')
            pairs.append(StreetPair(_stem(path), *_joined(images_dir, path, labels_dir, label)))
    if alone:
        raise InputError(
            f'{len(alone)} of the {len(images)} images in {os.fspath(images_dir)!r} have no label '
            f'map in {os.fspath(table or labels_dir)!r}: {some(alone)}; give label maps of the '
            'same names, or --table',
            path=images_dir,
        )
    if twice:
        raise InputError(
            f'{len(twice)} of the {len(images)} images in {os.fspath(images_dir)!r} have the label '
            f'map of another: {some(twice)}; give one image of each',
            path=images_dir,
        )
    if unused := sorted(label_of.known - set(image_of)):
        remarks.append(
            f'{len(unused)} label maps in {os.fspath(labels_dir)!r} have no image, and are left '
            f'out: {some(unused)}'
        )
    missing = [pair.label for pair in pairs if not epath.Path(pair.label).exists()]
    if missing:
        raise InputError(
            f'{len(missing)} of the {len(pairs)} label maps that {os.fspath(table)!r} names do not '
            f'exist: {some(missing)}; correct the table, or --labels',
            field='--table',
            path=table,
        )
    return sorted(pairs), remarks


class _ByName:
    """Finds label maps by the names of images.

    Attributes:
        known: the label maps, of a scene the best one.
    """

    def __init__(self, labels_dir, images_dir, images):
        taken = set(images.values()) if os.fspath(labels_dir) == os.fspath(images_dir) else set()
        files = [path for path in _files(labels_dir).images if path not in taken]
        if named := [path for path in files if _stem(path).endswith(_LABELS)]:
            files = named
        best: dict[str, str] = {}
        for path in sorted(files, key=_rank):
            best.setdefault(_scene(path), path)
        self._labels_dir, self._best, self.known = labels_dir, best, set(best.values())
        self._of_base: dict[str, list[str]] = {}
        for scene, path in best.items():
            self._of_base.setdefault(os.path.basename(scene), []).append(path)

    def __call__(self, key):
        """Returns the path of a label map, or None."""
        if key in self._best:
            return self._best[key]
        found = self._of_base.get(os.path.basename(key), [None])
        if len(found) > 1:
            raise InputError(
                f'{os.path.basename(key)} has {len(found)} label maps in '
                f'{os.fspath(self._labels_dir)!r}: {some(found)}; keep one, or give --table',
                path=self._labels_dir,
            )
        return found[0]


class _ByTable:
    """Finds label maps in a table; attributes as in `_ByName`."""

    def __init__(self, table, labels_dir):
        self._table, table = os.fspath(table), paths.local(table, '--table')
        try:
            lines = read_text(epath.Path(table)).splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(
                f'--table={os.fspath(table)} cannot be read as text ({error}); give lines '
                'NAME LABEL IMAGE',
                field='--table',
                path=table,
            ) from error
        self._rows = [line.replace(',', ' ').split() for line in lines if line.strip()]
        wrong = [' '.join(row) for row in self._rows if len(row) not in (2, 3)]
        if wrong or not self._rows:
            raise InputError(
                f'--table={os.fspath(table)} holds {repr(wrong[0]) if wrong else "no line"}; give '
                'lines NAME LABEL or NAME LABEL IMAGE',
                field='--table',
                path=table,
            )
        self.known = {row[1] for row in self._rows}

    def __call__(self, key):
        """Returns the path of a label map, or None."""
        base = os.path.basename(key)
        found = {
            label: None
            for name, label, *image in self._rows
            if base == name or any(base == os.path.basename(_scene(path)) for path in image)
        }
        if len(found) > 1:
            raise InputError(
                f'--table={self._table} gives {base} {len(found)} label maps: {some(found)}; keep '
                'one',
                field='--table',
                path=self._table,
            )
        return next(iter(found), None)


def _images(folder):
    """Finds the generated images of a folder, {scene: path}, and says what is left out."""
    found = _files(folder)
    generated = [path for path in found.images if _stem(path).endswith(_GENERATED)]
    remarks, chosen = list(found.remarks), generated or found.images
    if others := sorted(set(found.images) - set(chosen)):
        remarks.append(
            f'{len(others)} images in {os.fspath(folder)!r} are left out, since others end in '
            f'{" or ".join(_GENERATED)}: {some(others)}'
        )
    if not chosen:
        raise InputError(
            f'{os.fspath(folder)!r} holds no images; allowed are files that end in '
            f'{", ".join(SUFFIXES)}, in folders inside it too',
            path=folder,
        )
    images: dict[str, str] = {}
    for path in chosen:
        if other := images.get(_scene(path)):
            raise InputError(
                f'{other} and {path} in {os.fspath(folder)!r} would have the same label map; '
                'rename or remove one',
                path=folder,
            )
        images[_scene(path)] = path
    return images, remarks


def _files(folder):
    """Finds the image files below a folder."""
    if not epath.Path(folder).is_dir():
        raise InputError(
            f'{os.fspath(folder)!r} is no directory; give one that exists', path=folder
        )
    return find_images(folder)


def _joined(images_dir, image, labels_dir, label):
    return os.path.join(images_dir, image), os.path.join(labels_dir, label)


def _rank(path):
    """Sorts label maps of one scene by what they hold; PNG files go before others."""
    ends = [place for place, end in enumerate(_LABELS) if _stem(path).endswith(end)]
    return min(ends, default=len(_LABELS)), not path.lower().endswith('.png'), path


def _scene(path):
    """Returns a path without suffix and without the ends of `_ENDS`."""
    scene = _stem(path)
    while end := next((end for end in _ENDS if scene.endswith(end)), ''):
        scene = scene.removesuffix(end)
    return scene


def _stem(path):
    return os.path.splitext(path)[0]
