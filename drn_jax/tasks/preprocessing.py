"""What every task does to a batch before the network sees it: augmentation and normalization."""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import ml_collections

from drn_jax.ops import color
from drn_jax.tasks.task import Batch


def normalize(images: jax.Array, mean: Sequence[float], std: Sequence[float]) -> jax.Array:
    """Computes what the network sees: (image / 255 - mean) / std.

    Args:
        images: [..., H, W, 3], uint8.
        mean: mean of each channel, white being 1.
        std: standard deviation of each channel, white being 1.

    Returns:
        [..., H, W, 3], float32.
    """
    images = images.astype(jnp.float32) / 255
    return (images - jnp.array(mean, jnp.float32)) / jnp.array(std, jnp.float32)


def create_preprocess(config: ml_collections.ConfigDict) -> Callable[..., Batch]:
    """Makes the function `Task.preprocess` of a configuration, as `preprocess`.

    Args:
        config: uses `data.mean`, `data.std` and `augmentation`.
    """
    return functools.partial(
        preprocess, mean=config.data.mean, std=config.data.std, augmentation=config.augmentation
    )


@jax.named_scope('augmentation')  # by which plans and profiles find its operations
def preprocess(
    batch: Batch,
    key: jax.Array | None,
    train: bool,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    augmentation: ml_collections.ConfigDict,
) -> Batch:
    """Normalizes the images of a batch and, for training, perturbs their colors and mirrors them.

    Every example draws from its own key, `fold_in(key, index)`, so the result does not depend on
    how the batch is split over devices.

    Args:
        batch: `image` uint8 [..., H, W, 3]; with `train` also `index` uint32 [B]. A `label` that
            is a map, uint8 [B, H, W], is mirrored with its image.
        key: a JAX random key; None without `train`.
        train: whether to augment.
        mean: mean of each channel, white being 1.
        std: standard deviation of each channel, white being 1.
        augmentation: `mirror` (half of the images are), `color_jitter` (smallest and largest),
            `lighting` (standard deviation).

    Returns:
        The batch with `image` float32, (image / 255 - mean) / std.
    """
    if not train:
        return {**batch, 'image': normalize(batch['image'], mean, std)}
    assert key is not None
    images = batch['image']
    means, deviations = jnp.array(mean, jnp.float32), jnp.array(std, jnp.float32)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, batch['index'])
    mirror_keys, color_keys = jnp.unstack(jax.vmap(jax.random.split)(keys), axis=1)
    if augmentation.mirror:
        mirrored = jax.vmap(jax.random.bernoulli)(mirror_keys)
        images = jnp.where(mirrored[:, None, None, None], images[:, :, ::-1], images)
        labels = batch.get('label')
        if labels is not None and labels.ndim == 3:
            batch = {
                **batch,
                'label': jnp.where(mirrored[:, None, None], labels[:, :, ::-1], labels),
            }
    matrix, offset = jax.vmap(
        functools.partial(
            color.random_color,
            factor_range=augmentation.color_jitter,
            lighting=augmentation.lighting,
        )
    )(color_keys, batch['image'].astype(jnp.float32).mean((1, 2)) / 255)
    # Normalizing is affine in the colors too, so one pass over the pixels does both.
    images = color.transform_color(
        images.astype(jnp.float32),
        matrix / (255 * deviations[:, None]),
        (offset - means) / deviations,
    )
    return {**batch, 'image': images}
