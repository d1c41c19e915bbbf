"""Files of predicted label maps: classes, colors, overlays, and the zip that Cityscapes takes."""

import io
import os
import pathlib
import zipfile
from collections.abc import Collection, Sequence

import numpy as np
from PIL import Image

from drn_jax.data.batch_specs import Batch
from drn_jax.data.image_folders import is_image
from drn_jax.errors import InputError
from drn_jax.pictures import overlays
from drn_jax.pictures.png_files import write_png


class LabelFiles:
    """Writes the label maps that an evaluation predicts, image by image.

    `labels/NAME.png` holds classes (8-bit gray), `colors/NAME.png` their colors,
    `overlays/NAME.png` the colors over the image, and `label_ids.zip` label ids under the names
    that the evaluation server of Cityscapes expects. NAME is the image's, without its directories
    and suffix.

    Args:
        directory: where; made if needed.
        kinds: some of 'labels', 'colors', 'overlays' and 'zip'.
        palette: color of each class.
        label_ids: for the zip, the label id of each class; None where the data set has none.

    Raises:
        InputError: the zip cannot be made of this data set.

    Source: the evaluation scripts of Cityscapes, for the names in the zip.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        kinds: Collection[str],
        palette: Sequence[tuple[int, int, int]],
        label_ids: Sequence[int] | None = None,
    ):
        if 'zip' in kinds and label_ids is None:
            raise InputError(
                '--save=zip writes label ids of Cityscapes, but the network has other '
                'classes; leave zip out',
                field='--save',
            )
        self._directory, self._kinds, self._palette = pathlib.Path(directory), kinds, palette
        self._ids = np.zeros(256, np.uint8)
        self._names: set[str] = set()
        if label_ids is not None:
            self._ids[: len(label_ids)] = label_ids
        for kind in kinds:
            folder = self._directory / (kind if kind != 'zip' else '')
            folder.mkdir(parents=True, exist_ok=True)
        self._zip = (
            zipfile.ZipFile(self._directory / 'label_ids.zip', 'w') if 'zip' in kinds else None
        )

    def __call__(self, batch: Batch, predictions: np.ndarray) -> None:
        """Writes the files of a batch: NumPy arrays with `image`, `mask` and `name`."""
        for row in np.flatnonzero(batch['mask']):
            self.write(str(batch['name'][row]), batch['image'][row], predictions[row])

    def write(self, name: str, image: np.ndarray, labels: np.ndarray) -> None:
        """Writes the files of one image.

        Args:
            name: of the image; directories and suffix are left away.
            image: uint8 [H, W, 3].
            labels: uint8 [H, W].
        """
        stem = self._stem(name)
        if 'labels' in self._kinds:
            write_png(self._directory / 'labels' / f'{stem}.png', labels)
        if 'colors' in self._kinds:
            colors = overlays.color_labels(labels, self._palette)
            write_png(self._directory / 'colors' / f'{stem}.png', colors)
        if 'overlays' in self._kinds:
            overlay = overlays.overlay_labels(image, labels, self._palette)
            write_png(self._directory / 'overlays' / f'{stem}.png', overlay)
        if self._zip:
            file = io.BytesIO()
            Image.fromarray(self._ids[labels]).save(file, 'png')
            self._zip.writestr(f'{stem}.png', file.getvalue())

    def close(self) -> None:
        """Completes the zip."""
        if self._zip:
            self._zip.close()

    def _stem(self, name):
        """Returns the name of an image's files, another one where two images have the same name."""
        path = pathlib.PurePath(name)
        first = stem = path.stem if is_image(path) else path.name
        number = 1
        while stem in self._names:
            number += 1
            stem = f'{first}_{number}'
        self._names.add(stem)
        return stem
