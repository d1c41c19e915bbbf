"""What one network makes of one photograph, for figures that put several networks side by side."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import jax
import numpy as np

from drn_jax.distributed import memory
from drn_jax.models import descriptions
from drn_jax.models.networks import Network
from drn_jax.pictures import overlays
from drn_jax.prediction import classification, inputs, maps
from drn_jax.prediction.checkpoint import LoadedCheckpoint
from drn_jax.tasks import preprocessing


class Activations(NamedTuple):
    """What a network makes of a photograph; maps as NumPy arrays.

    Attributes:
        scores: class scores, [h, w, C], float32.
        levels: the strongest map of each level, {name: [h, w]}, float32.
        entering: the strongest map of what enters level 3, [h, w], float32.
        strides: pixels from one cell to the next, by level and for 'scores' and 'entering'.
        image: what the network saw, [H, W, 3], uint8.
    """

    scores: np.ndarray
    levels: dict[str, np.ndarray]
    entering: np.ndarray
    strides: dict[str, int]
    image: np.ndarray

    def probabilities(self) -> np.ndarray:
        """Returns the probability of each class in the whole photograph, [C]."""
        logits = self.scores.mean((0, 1))
        odds = np.exp(logits - logits.max())
        return odds / odds.sum()

    def cells(self, name: str, values: np.ndarray, **scale: float) -> np.ndarray:
        """Draws a map in the size of the image; see `cells`."""
        return cells(values, self.strides[name], self.image.shape, **scale)


def activations_fn(checkpoint: LoadedCheckpoint) -> Callable[[np.ndarray], Activations]:
    """Makes the function that computes the `Activations` of a photograph, uint8 [H, W, 3].

    Sizes are those of `classification.whole_size`; for segmentation the photograph's own.
    """
    model, data = checkpoint.model, checkpoint.config.data
    strides = strides_of(model)

    @jax.jit
    def run(variables, images):
        images = preprocessing.normalize(images, data.mean, data.std)
        levels, scores = cast(Any, model.apply(variables, images, method='levels_and_class_maps'))
        return {
            'scores': scores,
            'levels': {name: maps.strongest(level)[0] for name, level in levels.items()},
            'entering': maps.strongest(maps.entering_level3(model, levels))[0],
        }

    def compute(photograph):
        height, width = size = photograph.shape[:2]
        if model.task == 'classification':
            size = classification.whole_size(height, width, data)
        image = inputs.resize(photograph, size)
        with memory.explain_out_of_memory(memory.images((1, *image.shape)), memory.PREDICT):
            found = jax.device_get(run(checkpoint.variables, image[None]))
        found = jax.tree.map(lambda array: array[0], found)
        return Activations(**found, strides=strides, image=image)

    return compute


def strides_of(model: Network) -> dict[str, int]:
    """Returns the pixels from one cell to the next, by level and for 'scores' and 'entering'.

    Example:
        >>> from drn_jax.models.networks import create_model
        >>> strides = strides_of(create_model('drn_a_18'))
        >>> strides['level2'], strides['entering'], strides['level6'], strides['scores']
        (2, 4, 8, 8)
    """
    strides = {row.level: row.stride for row in descriptions.of_table(model.table).rows}
    pool = 2 if model.table.stem.pooled else 1
    return strides | {'entering': strides['level2'] * pool, 'scores': model.table.stride}


def cells(values: np.ndarray, stride: int, size: Sequence[int], **scale: float) -> np.ndarray:
    """Colors a map so that each cell covers the pixels it stands for.

    Args:
        values: [h, w], a float type.
        stride: pixels from one cell to the next.
        size: height and width of the image in pixels come first; cells beyond it are cut.
        **scale: `low` and `high` of `overlays.heat_map`.

    Returns:
        [height, width, 3], uint8.

    Example:
        >>> cells(np.array([[0., 1.]]), 2, (2, 3))[0].tolist()
        [[68, 1, 84], [68, 1, 84], [253, 231, 37]]
    """
    height, width = size[:2]
    return overlays.heat_map(values, **scale).repeat(stride, 0).repeat(stride, 1)[:height, :width]
