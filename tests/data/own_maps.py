"""Small data sets of the user's own: images, label maps, lists, info.json."""

import json
import pathlib

import numpy as np
from PIL import Image

INFO = {'classes': ['sky', 'sea', 'land'], 'mean': [0.5, 0.4, 0.3], 'std': [0.2, 0.2, 0.1]}


def write_pair(root, image, label, *, number=0, size=(12, 16), value=None):
    """Writes an image of one color, 10 * number, and a label map of the values 0, 1, 2 and 255."""
    values = (
        np.resize(np.array([0, 1, 2, 255], np.uint8), size)
        if value is None
        else np.full(size, value, np.uint8)
    )
    write(root, image, np.full((*size, 3), 10 * number, np.uint8))
    write(root, label, values)
    return values


def write(root, path, array):
    """Writes an image file."""
    path = pathlib.Path(root) / path
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def write_info(root, **changes):
    """Writes info.json, of three classes if nothing else is said."""
    pathlib.Path(root).mkdir(parents=True, exist_ok=True)
    (pathlib.Path(root) / 'info.json').write_text(json.dumps({**INFO, **changes}))


def write_lists(root, **lists):
    """Writes list files: train_images=[...] becomes train_images.txt."""
    for name, lines in lists.items():
        (pathlib.Path(root) / f'{name}.txt').write_text('\n'.join(lines) + '\n')


def write_listed(root, train=4, val=2, **options):
    """Writes a data set with lists."""
    write_info(root)
    for split, count in (('train', train), ('val', val)):
        images = [f'photos/{split}{number}.png' for number in range(count)]
        labels = [f'masks/{split}{number}_m.png' for number in range(count)]
        for number, names in enumerate(zip(images, labels)):
            write_pair(root, *names, number=number, **options)
        write_lists(root, **{f'{split}_images': images, f'{split}_labels': labels})


def write_folders(root, train=4, val=2):
    """Writes a data set in folders."""
    write_info(root)
    for split, count in (('train', train), ('val', val)):
        for number in range(count):
            write_pair(
                root,
                f'images/{split}/a/{number}.jpg',
                f'labels/{split}/a/{number}.png',
                number=number,
            )


def write_camvid(root, **splits):
    """Writes CamVid as SegNet's authors did: paths that begin where it lay, 11 for no class."""
    for split, count in splits.items():
        lines = []
        for number in range(count):
            paths = f'{split}/{number}.png', f'{split}annot/{number}.png'
            write_pair(root, *paths, number=number, value=number % 12)
            lines.append(' '.join(f'/SegNet/CamVid/{path}' for path in paths))
        write_lists(root, **{split: lines})
