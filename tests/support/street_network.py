"""A network that sees Cityscapes' colors, so that what it answers can be written down by hand."""

import types

import jax
import jax.numpy as jnp
import numpy as np

from drn_jax import cityscapes, recipes
from drn_jax.distributed import meshes
from drn_jax.judging import protocols
from drn_jax.judging.judges import Weights
from drn_jax.prediction.checkpoint import LoadedCheckpoint

MEAN, STD = (np.array(each, np.float32) for each in protocols.PROTOCOLS['oasis'].statistics)
WEIGHTS = Weights('0' * 64, 'colors')


class ColorNetwork:
    """Scores every pixel by the distance of its color to those of the classes; stride 1."""

    variant, width, num_classes, task = 'drn_d_105', 1.0, 19, 'segmentation'
    table = types.SimpleNamespace(stride=1)

    def apply(self, variables, images, method):
        """Normalized [B, H, W, 3] -> [B, H, W, 19], 0 where the color is the class's, else less."""
        colors = images * STD + MEAN
        palette = jnp.array(cityscapes.PALETTE, jnp.float32) / 255
        return -jnp.abs(colors[..., None, :] - palette).sum(-1)


def color_checkpoint(devices=1):
    """The network as `judges.open_network` gives one."""
    config = recipes.segmentation()
    mesh = meshes.create_mesh(devices)
    return LoadedCheckpoint(
        ColorNetwork(), {}, config, cityscapes.CLASS_NAMES, cityscapes.PALETTE, mesh, ''
    )


def paint(labels):
    """The image in which every pixel has the color of its class."""
    return np.array(cityscapes.PALETTE, np.uint8)[np.asarray(labels)]


def on_one_device(network):
    """A checkpoint on one device, where a batch may have one image."""
    mesh = meshes.create_mesh(1)
    variables = jax.device_put(jax.device_get(network.variables), meshes.replicated(mesh))
    return network._replace(mesh=mesh, variables=variables)
