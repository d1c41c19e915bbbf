"""The network that judges: images at the size that a protocol shows it, label maps as it scores."""

import functools
import hashlib
import os
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from drn_jax import cityscapes
from drn_jax.checkpoints import weight_files
from drn_jax.distributed import memory, meshes
from drn_jax.errors import InputError
from drn_jax.judging.protocols import Protocol
from drn_jax.models import convolutions
from drn_jax.ops import pillow
from drn_jax.prediction import checkpoint as prediction
from drn_jax.prediction.inputs import resize
from drn_jax.reporting import reports
from drn_jax.tasks import preprocessing

BATCH_SIZE = 1  # images at a time, for each device


class Weights(NamedTuple):
    """Which weights judge.

    Attributes:
        sha256: of them, in hex.
        of: what it is of: the file, or the variables.
    """

    sha256: str
    of: str


class Judge:
    """A segmentation network for Cityscapes, ready for one protocol; compiled once for each size.

    It computes in float32, and enlarges scores as the authors' release does, whatever its
    configuration says.

    Args:
        network: the checkpoint in the form for inference, of `open_network`.
        protocol: the row of the table.
        batch_size: images at a time, a multiple of the devices; None: `BATCH_SIZE` for each.

    Raises:
        InputError: the devices do not divide the batch.

    Attributes:
        network, protocol, batch_size: as given.
        statistics: mean and standard deviation of the channels: the protocol's, but for a network
            that was trained with others.
        own_statistics: whether it was.
        settings: a text of all that its answers depend on, but for the weights.
    """

    def __init__(
        self,
        network: prediction.LoadedCheckpoint,
        protocol: Protocol,
        batch_size: int | None = None,
    ):
        devices = network.mesh.devices.size
        self.network, self.protocol = network, protocol
        trained, wanted = (network.config.data.mean, network.config.data.std), protocol.statistics
        self.own_statistics = wanted is not None and not np.allclose(trained, wanted, 0, 1e-3)
        self.statistics = trained if wanted is None or self.own_statistics else wanted
        self.batch_size = batch_size or BATCH_SIZE * devices
        meshes.check_batch_size(self.batch_size, devices, '--batch_size')
        self.settings = repr(
            (protocol, self.statistics, network.config.model.to_json(), reports.versions())
        )
        self._axes = functools.lru_cache(maxsize=None)(self._find_axes)
        self._run = jax.jit(
            self._forward,
            compiler_options=convolutions.compiler_options(given=network.config.compiler_options),
        )

    def predict(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Finds the class of every scored pixel.

        Args:
            images: uint8 [S, h, w, 3], see `copies`, up to `batch_size` of one shape.

        Returns:
            uint8 [B, H, W].

        Raises:
            InputError: the memory does not suffice, or scores are not finite.
        """
        size = images[0].shape[1:3]
        rows = np.stack([*images, *[images[-1]] * (self.batch_size - len(images))])
        with memory.explain_out_of_memory(memory.images(rows.shape[:1] + size), ADVICE):
            fed = jax.device_put(rows, meshes.batch_sharding(self.network.mesh))
            labels, close, maps = map(np.array, self._run(self.network.variables, fed))
        if not np.isfinite(maps).all():
            raise InputError(
                'scores of the network are not finite, so its weights are damaged; give another '
                'checkpoint',
                field='--checkpoint',
            )
        for label, unsure, scores in zip(labels[: len(images)], close, maps):
            y, x = np.nonzero(unsure)
            if len(y):
                label[y, x] = pillow.exact_classes(scores, y, x, *self._axes(size))
        return labels[: len(images)]

    def _forward(self, variables, images):
        """uint8 [B, S, h, w, 3] -> labels and whether they are close, [B, H, W]; class maps."""
        seen = preprocessing.normalize(images.reshape(-1, *images.shape[2:]), *self.statistics)
        maps = jnp.asarray(self.network.model.apply(variables, seen, method='class_maps'))
        maps = maps.reshape(*images.shape[:2], *maps.shape[1:])
        # The logarithm of the sum over classes is the same for all of them, and what follows is
        # linear: it changes no order, and sums over scales may be taken before.
        total = maps.sum(1, dtype=jnp.float32)
        weights = [axis.weights for axis in self._axes(images.shape[2:4])]
        return *pillow.best_classes(total, *weights), maps

    def _find_axes(self, size):
        """Returns the `pillow.Axis` of rows and of columns for images of a size."""
        stride = self.network.model.table.stride
        return [
            pillow.axis(-(-seen // stride), stride, seen, scored)
            for seen, scored in zip(size, self.protocol.scored)
        ]


ADVICE = 'give a smaller --batch_size'


def open_network(
    reference: str | os.PathLike, step: int | None = None
) -> tuple[prediction.LoadedCheckpoint, Weights]:
    """Opens the network of a checkpoint for judging.

    Args:
        reference, step: see `checkpoints.restore.find`; `.pth` files of the release are among them.

    Returns:
        The checkpoint, in the form for inference and in float32, and what its weights are.

    Raises:
        InputError: there is no such checkpoint, or it does not segment Cityscapes' 19 classes.
    """
    loaded = prediction.load_checkpoint(reference, step, ['--config.model.dtype=float32'])
    task = loaded.config.task
    if task != 'segmentation':
        raise InputError(
            f'{os.fspath(reference)} holds a network for {task}, but streets are judged by one for '
            'segmentation; give such a checkpoint, as drn-d-105_ms_cityscapes.pth',
            field='--checkpoint',
            path=reference,
        )
    if tuple(loaded.class_names) != cityscapes.CLASS_NAMES:
        raise InputError(
            f'{os.fspath(reference)} has {len(loaded.class_names)} classes that are not the 19 of '
            'Cityscapes; give a checkpoint of a network that was trained on these',
            field='--checkpoint',
            path=reference,
        )
    return prediction.optimized(loaded, prediction.FEW), _weights(reference, loaded.variables)


def _weights(reference: str | os.PathLike, variables: Any) -> Weights:
    """Digests the file of weights that was named, or else the variables in order of their names."""
    file = pathlib.Path(os.path.expanduser(reference))
    if file.is_file():
        return Weights(weight_files.digests(file)[1], file.name)
    digest = hashlib.sha256()
    for path, value in jax.tree.leaves_with_path(jax.device_get(variables)):
        digest.update(jax.tree_util.keystr(path).encode() + np.asarray(value).tobytes())
    return Weights(digest.hexdigest(), 'the variables')


def copies(image: np.ndarray, protocol: Protocol) -> np.ndarray:
    """Makes what the network sees of an image.

    Args:
        image: uint8 [H, W, 3].
        protocol: the row of the table.

    Returns:
        uint8 [S, h, w, 3], the image at each of the scales.

    Source: `SegListMS` of the release's segment.py.
    """
    height, width = image.shape[:2]
    size = protocol.seen_size((height, width))
    scaled = [
        resize(image, (max(int(height * scale), 1), max(int(width * scale), 1)), 'bicubic')
        for scale in protocol.scales
    ]
    return np.stack([resize(each, size, protocol.image_filter) for each in scaled])
