"""The network: levels in a row, then class scores for the image or for every position."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from drn_jax.models import convolutions, layers, variants
from drn_jax.ops.phases import SpaceToBatchMap, strided_sizes

TASKS = ('classification', 'segmentation')
DTYPES = ('float32', 'bfloat16')


class Network(nn.Module):
    """A residual network, dilated or not, as the table of `variants` gives it.

    Made by `create_model`, which says what the attributes mean and checks them. Parameters are
    named by level: `stem/conv/kernel`, `level3/block0/bn1/scale`, `level3/block0/shortcut/conv`,
    `level1/layer0/conv` (plain layers), `head/kernel`.
    """

    variant: str
    num_classes: int = 1000
    task: str = 'classification'
    width: float = 1.0
    dtype: str = 'float32'
    first_block: str = 'paper'
    stride_in: str = '3x3'
    degridding: str = 'own'
    rematerialize: tuple[str, ...] = ()
    convolution: str = 'auto'
    platform: str = ''  # for which 'auto' chooses; '' is the default device's
    bn_folded: bool = False  # made by `optimize_for_inference`

    @property
    def options(self) -> layers.ComputeOptions:
        """How the layers are computed."""
        return layers.ComputeOptions(
            self.dtype, self.convolution, self.platform or jax.default_backend(), self.bn_folded
        )

    @property
    def table(self) -> variants.Variant:
        """The network's row: stem, levels, stride."""
        return variants.lookup(
            self.variant, self.width, self.first_block, self.stride_in, self.degridding
        )

    def setup(self) -> None:
        self.stem = layers.Block(self.table.stem.expand(), self.options)
        levels = list(self.table.expand())
        followers = [blocks[0] for _, blocks in levels[1:]]
        for (level, blocks), follower in zip(levels, (*followers, None)):
            kind = layers.Level
            if level.name in self.rematerialize:  # after self and x: `train` and `averaged`
                kind = nn.remat(layers.Level, static_argnums=(2, 3))
            setattr(self, level.name, kind(blocks, self.options, follower))
        if self.num_classes:
            self.head = layers.Classifier(self.num_classes)

    def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
        """Returns the class scores before softmax.

        Args:
            images: [B, H, W, 3], float, normalized; any H and W.
            train: True normalizes by the batch and updates `batch_stats` (make it mutable).

        Returns:
            Classification: [B, classes], float32, from the average of the last level over all
            positions. Segmentation: [B, ceil(H / s), ceil(W / s), classes], float32, s the stride
            (8, ResNet 32). Without classes: the last level's map, in the compute dtype.

        Raises:
            ValueError: images have another shape or are integers.
        """
        if self.num_classes and self.task == 'segmentation':
            return self.class_maps(images, train)
        if not self.num_classes:
            return self._last_level(images, train)
        *_, (_, (*_, last)) = self.table.expand()
        averaged = train and convolutions.averages_at_once(self.options.platform, last)
        x = self._last_level(images, train, averaged)
        if self.dtype == 'bfloat16' and self.options.platform in ('cpu', 'any'):
            # XLA:CPU of jax 0.12 gives NaN where it fuses the end of a residual block with a sum.
            x = jax.lax.optimization_barrier(x)
        return self.head(jnp.mean(x, axis=(1, 2), dtype=jnp.float32))

    def class_maps(
        self, images: jax.Array, train: bool = False, sizes: jax.Array | None = None
    ) -> jax.Array:
        """Returns the class scores before softmax at every position of the last level.

        Their average over the positions is what classification gives.

        Args:
            images: [B, H, W, 3], float, normalized; any H and W.
            train: as in `__call__`.
            sizes: heights and widths, [B, 2], int32, of images that lie at the upper left of
                `images` and do not fill it; None: all fill it. What they see beyond is what they
                see beyond a border, so cells inside have the numbers of the image alone, and those
                outside mean nothing. Not for training.

        Returns:
            [B, ceil(H / s), ceil(W / s), classes], float32, s the stride (8, ResNet 32).

        Raises:
            ValueError: the model has no classes, or images have another shape or are integers.

        Source: Yu, Koltun and Funkhouser, Dilated Residual Networks, 2017, section 3.
        """
        return self.levels_and_class_maps(images, train, sizes)[1]

    def levels_and_class_maps(
        self, images: jax.Array, train: bool = False, sizes: jax.Array | None = None
    ) -> tuple[dict[str, jax.Array], jax.Array]:
        """Returns what `levels` and `class_maps` return, and is traced in half the time of both.

        Args:
            images: [B, H, W, 3], float, normalized; any H and W.
            train: as in `__call__`.
            sizes: as in `class_maps`.

        Raises:
            ValueError: as `class_maps`.
        """
        if not self.num_classes:
            raise ValueError(
                'class_maps needs classes and num_classes is 0; '
                'create the model with num_classes above 0'
            )
        levels = self._levels(images, train, sizes=sizes)
        return levels, self.head(levels[self.table.levels[-1].name])

    def levels(self, images: jax.Array, train: bool = False) -> dict[str, jax.Array]:
        """Returns the map of every level.

        Args:
            images: [B, H, W, 3], float, normalized; any H and W.
            train: as in `__call__`.

        Returns:
            {'level1': [B, h, w, c], ...} in order and in the compute dtype; `drn_jax.describe`
            lists strides and channels. ResNet and DRN-A begin at 'level2', the stem before max
            pooling.

        Raises:
            ValueError: images have another shape or are integers.
        """
        return self._levels(images, train)

    def _levels(self, images, train, averaged=False, sizes=None):
        """Returns the maps of `levels`, the last one averaged over the positions if wanted."""
        if images.ndim != 4 or images.shape[-1] != 3:
            raise ValueError(f'images {images.shape} must be [B, H, W, 3]')
        if not jnp.issubdtype(images.dtype, jnp.floating):
            raise ValueError(f'images are {images.dtype}; normalize them to float32 first')
        if train and self.bn_folded:
            raise ValueError(
                'the network is optimized for inference and cannot train; use the one '
                'that was optimized'
            )
        table, maps, recipe = self.table, {}, None
        stem = self.stem(SpaceToBatchMap.of(images, sizes), train)
        x, sizes = stem.array, stem.sizes
        if table.stem.level:
            maps[table.stem.level] = x
        if table.stem.pooled:  # nothing is below 0, so zeros outside are never the largest
            x = stem.zero_outside().array
            x = nn.max_pool(x, (3, 3), strides=(2, 2), padding=((1, 1), (1, 1)))
            sizes = strided_sizes(sizes, 2)
        for level in table.levels:
            last = averaged and level is table.levels[-1]
            x, recipe = getattr(self, level.name)(x, train, last, recipe, sizes)
            sizes = strided_sizes(sizes, level.stride)
            maps[level.name] = x
        return maps

    def _last_level(self, images: jax.Array, train: bool, averaged: bool = False) -> jax.Array:
        return self._levels(images, train, averaged)[self.table.levels[-1].name]


def create_model(
    variant: str,
    num_classes: int = 1000,
    task: str = 'classification',
    width: float = 1.0,
    dtype: DTypeLike = 'float32',
    first_block: str = 'paper',
    rematerialize: Sequence[str] = (),
    convolution: str = 'auto',
    stride_in: str = '3x3',
    degridding: str = 'own',
) -> Network:
    """Creates a network; its variables come from `init`, `from_torch` or a checkpoint.

    Args:
        variant: one of `list_models()`.
        num_classes: at least 0; 0 leaves out the classifier and gives the last level's map.
        task: 'classification', scores per image, or 'segmentation', scores per position.
        width: a multiple of all channel counts, above 0.
        dtype: float32 or bfloat16, of activations and products; parameters, statistics and class
            scores are float32 in both.
        first_block: 'paper' or, in DRN-A, 'release'; see `variants.lookup`.
        rematerialize: levels, such as ('level1', 'level2'), whose inner activations training
            computes a second time instead of keeping them: less memory, more time, same numbers.
        convolution: 'native', 'phase', 'winograd' or 'strips' (see `ops.conv`), for the
            convolutions that it can do, or 'auto', the fastest one for the layer and the platform
            (the table in `models.convolutions`). Variables serve all of them.
        stride_in: '3x3' or, in ResNets and DRN-A with bottlenecks, '1x1', where weights of Keras,
            Caffe and He et al. have the stride; see `variants.lookup`.
        degridding: 'own' or, in dilated networks, another way against gridding than the variant's:
            'none', 'levels_residual', 'levels', 'smooth' or 'hdc'; see `variants.lookup`.

    Returns:
        A Linen module with methods `__call__`, `class_maps` and `levels`, and with these
        arguments as attributes (dtype as its name).

    Raises:
        ValueError: an argument is none of these.

    Example:
        >>> import functools
        >>> model = create_model('drn_c_26', num_classes=10, width=0.0625)
        >>> images = jnp.zeros((2, 40, 56, 3))
        >>> variables = jax.eval_shape(model.init, jax.random.key(0), images)  # or model.init
        >>> jax.eval_shape(model.apply, variables, images).shape
        (2, 10)
        >>> class_maps = functools.partial(model.apply, method='class_maps')
        >>> jax.eval_shape(class_maps, variables, images).shape
        (2, 5, 7, 10)

    Source: Yu, Koltun and Funkhouser, Dilated Residual Networks, 2017, and the authors' release.
    """
    table = variants.lookup(variant, width, first_block, stride_in, degridding)
    levels = [level.name for level in table.levels]
    classes = variants.whole_number('num_classes', num_classes, least=0)
    if task not in TASKS:
        raise ValueError(f'task {task!r} is unknown; known: {", ".join(TASKS)}')
    if unknown := [name for name in rematerialize if name not in levels]:
        raise ValueError(
            f'{variant} has no {", ".join(map(repr, unknown))} to rematerialize; it '
            f'has {", ".join(levels)}'
        )
    if convolution not in convolutions.CONVOLUTIONS:
        raise ValueError(
            f'convolution {convolution!r} is unknown; known: {", ".join(convolutions.CONVOLUTIONS)}'
        )
    return Network(
        variant,
        classes,
        task,
        width,
        _dtype_name(dtype),
        first_block,
        stride_in,
        degridding,
        tuple(rematerialize),
        convolution,
    )


def _dtype_name(dtype: DTypeLike) -> str:
    try:
        name = jnp.dtype(dtype).name
    except TypeError:
        name = ''
    if name not in DTYPES:
        raise ValueError(f'dtype {dtype!r} is not possible; allowed: {", ".join(DTYPES)}')
    return name
