"""Small archives with the layout of ImageNet's, for the real TFDS builder."""

import io
import pathlib
import tarfile

import numpy as np
from PIL import Image

TRAIN, VALIDATION = 'ILSVRC2012_img_train.tar', 'ILSVRC2012_img_val.tar'
SYNSETS = ('n01440764', 'n01443537', 'n01484850', 'n01491361')  # the first classes in order


def jpeg(seed, height=60, width=80):
    """Encodes a smooth random image, the same for the same seed."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8))
    buffer = io.BytesIO()
    coarse.resize((width, height), Image.Resampling.BICUBIC).save(buffer, 'JPEG', quality=90)
    return buffer.getvalue()


def write_imagenet_tars(directory, train_per_class=4, classes=2, validation=5):
    """Writes ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar into a directory.

    The first holds one tar for each class, with files like n01440764_1.JPEG; the second holds
    files like ILSVRC2012_val_00000001.JPEG, whose labels TFDS knows.
    """
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    with tarfile.open(directory / TRAIN, 'w') as outer:
        for number, synset in enumerate(SYNSETS[:classes]):
            buffer = io.BytesIO()
            with tarfile.open(fileobj=buffer, mode='w') as inner:
                for image in range(1, train_per_class + 1):
                    _add(inner, f'{synset}_{image}.JPEG', jpeg(1000 * number + image))
            _add(outer, f'{synset}.tar', buffer.getvalue())
    with tarfile.open(directory / VALIDATION, 'w') as tar:
        for image in range(1, validation + 1):
            _add(tar, f'ILSVRC2012_val_{image:08d}.JPEG', jpeg(-image % 997, 70, 50 + image))


def _add(tar, name, content):
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))
