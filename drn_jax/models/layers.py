"""Linen modules that carry out the records of `variants`: convolution, block, level, classifier."""

import functools
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jax.typing import DTypeLike

from drn_jax.models import convolutions, variants
from drn_jax.models.normalization import Affine, apply_affine, batch_norm, mean_of_relu
from drn_jax.ops import rereading, winograd
from drn_jax.ops.conv import dilated_conv
from drn_jax.ops.phases import SpaceToBatchMap, strided_sizes
from drn_jax.ops.smoothing import smooth

# N(0, sqrt(2 / (k * k * outputs))): He and others, Delving deep into rectifiers, 2015, section 2.2.
HE_FAN_OUT = nn.initializers.variance_scaling(2.0, 'fan_out', 'normal')


class ComputeOptions(NamedTuple):
    """How the layers are computed; what they compute is the same in every form.

    Attributes:
        dtype: compute dtype, of inputs and outputs.
        convolution: one of `convolutions.CONVOLUTIONS`.
        platform: 'cpu', 'gpu' or 'tpu', for which 'auto' chooses.
        bn_folded: True for inference only: batch normalization is part of the convolutions, whose
            kernels are already transformed where the algorithm does that.
    """

    dtype: DTypeLike = jnp.float32
    convolution: str = 'native'
    platform: str = ''
    bn_folded: bool = False

    def algorithm(self, spec: variants.Conv, train: bool = False) -> str:
        """Returns the algorithm for one convolution."""
        use = 'training' if train else 'folded' if self.bn_folded else 'plain'
        return convolutions.choose(self.convolution, self.platform, use, spec, self.dtype)

    def sums_anew(self, block: variants.Block, after: variants.Block | None) -> bool:
        """Returns whether in training the next block makes the sum at the end of one anew."""
        return (
            after is not None
            and convolutions.sums_anew(self.platform, block, after)
            and self.algorithm(block.convs[-1], True) == 'native'
        )


class Conv(nn.Module):
    """Convolution; the kernel is kept in float32 and cast to the compute dtype.

    It has a bias in the folded form only, where kernels for 'winograd' are tuples of matrices.

    Attributes:
        spec: kernel size, channels, stride and dilation.
        options: how it is computed.
    """

    spec: variants.Conv
    options: ComputeOptions = ComputeOptions()

    @nn.compact
    def __call__(self, x: SpaceToBatchMap, train: bool = False) -> SpaceToBatchMap:
        """[B, H, W, inputs] -> [B, ceil(H / stride), ceil(W / stride), outputs]."""
        algorithm = self.options.algorithm(self.spec, train)
        if algorithm != 'native':
            x = x.sorted(self.spec.dilation)
        elif self.spec.kernel_size > 1 or self.spec.stride > 1:
            x = x.sorted(1)
        if self.spec.kernel_size > 1:
            x = x.zero_outside()
        images, stride = x.array, self.spec.stride
        if train and convolutions.slices_first(self.options.platform, self.spec):
            images, stride = images[:, ::stride, ::stride], 1
        y = self._product(images.astype(self.options.dtype), stride, algorithm, x.recipe)
        if self.options.bn_folded:
            y += self.param('bias', nn.initializers.zeros, (self.spec.outputs,)).astype(y.dtype)
        if self.spec.stride == 1:
            return x.map(lambda _: y)
        return SpaceToBatchMap.of(y, strided_sizes(x.sizes, self.spec.stride))

    def _product(self, x, stride, algorithm, recipe):
        size = self.spec.kernel_size
        shape = (size, size, self.spec.inputs, self.spec.outputs)
        if self.options.bn_folded and algorithm == 'winograd':
            points = self.param(
                'kernel',
                lambda key: winograd.transform_kernel(
                    HE_FAN_OUT(key, shape, jnp.float32), self.options.dtype
                ),
            )
            return winograd.transformed_conv(x, points)
        kernel = self.param('kernel', HE_FAN_OUT, shape, jnp.float32).astype(x.dtype)
        if self.options.bn_folded and self.options.platform == 'cpu' and size == stride == 1:
            # Sums leave the product in float32: XLA multiplies bfloat16 faster only then.
            return jnp.dot(x, kernel[0, 0], preferred_element_type=jnp.float32).astype(x.dtype)
        if algorithm == 'native':
            conv = functools.partial(dilated_conv, stride=stride, dilation=self.spec.dilation)
            if recipe:
                return rereading.apply(conv, 0, (recipe,), (x,), (kernel,))
            return conv(x, kernel)
        return dilated_conv(x, kernel, algorithm=algorithm)  # on phases it is dense


def normalize(
    name: str, x: SpaceToBatchMap, options: ComputeOptions, train: bool
) -> SpaceToBatchMap:
    """Applies batch normalization inside the images, or nothing where it is folded."""
    if options.bn_folded:
        return x
    norm = batch_norm(name, options.dtype, train)
    return x.map(lambda array: norm(array, mask=x.inside() if train else None))


class Smoothing(nn.Module):
    """One kernel that smooths every channel alike, at first the identity.

    It mixes the phases that a dilated convolution after it keeps apart.

    Attributes:
        size: side of the kernel, odd.

    Source: Wang and Ji, Smoothed dilated convolutions for improved dense prediction, 2018,
    separable and shared convolutions.
    """

    size: int

    @nn.compact
    def __call__(self, x: SpaceToBatchMap) -> SpaceToBatchMap:
        """[B, H, W, C] -> [B, H, W, C], not sorted into phases."""
        taps = self.param('taps', _identity, (self.size, self.size))
        return x.sorted(1).zero_outside().map(lambda images: smooth(images, taps))


def _identity(key, shape):
    del key
    return jnp.zeros(shape).at[shape[0] // 2, shape[1] // 2].set(1.0)


def normalize_anew(name: str, x: SpaceToBatchMap) -> SpaceToBatchMap:
    """Applies batch normalization in training, to a map of one phase that its readers make anew."""
    recipe = Partial(apply_affine, x.array, *Affine(name=name)(x.array))
    return x._replace(array=recipe(), recipe=recipe)


def relu_of_sum_anew(x: SpaceToBatchMap, y: SpaceToBatchMap) -> SpaceToBatchMap:
    """Applies ReLU to the sum of two maps; the readers make it anew."""
    recipes = [each.recipe or rereading.recipe_of(each.array) for each in (x, y)]
    total = rereading.apply(_relu_of_sum, 1, recipes, (x.array, y.array))
    return x._replace(array=total, recipe=Partial(_relu_of_recipes, *recipes))


def _relu_of_sum(x, y):
    return nn.relu(x + y)


def _relu_of_recipes(x, y):
    return _relu_of_sum(x(), y())


class ConvNorm(nn.Module):
    """Convolution and batch normalization: the projection of a shortcut."""

    spec: variants.Conv
    options: ComputeOptions = ComputeOptions()

    @nn.compact
    def __call__(
        self, x: SpaceToBatchMap, train: bool = False, anew: bool = False
    ) -> SpaceToBatchMap:
        """[B, H, W, inputs] -> [B, ceil(H / stride), ceil(W / stride), outputs]."""
        x = Conv(self.spec, self.options, name='conv')(x, train)
        return normalize_anew('bn', x) if anew else normalize('bn', x, self.options, train)


class Block(nn.Module):
    """Convolution, normalization and ReLU, in a row; the shortcut joins before the last ReLU.

    This is every block of every variant: basic, bottleneck, those without the shortcut, the plain
    layer and the stem differ in `spec` only.
    """

    spec: variants.Block
    options: ComputeOptions = ComputeOptions()

    @nn.compact
    def __call__(
        self, x: SpaceToBatchMap, train: bool = False, averaged: bool = False, anew: bool = False
    ) -> SpaceToBatchMap:
        """[B, H, W, inputs] -> [B, ceil(H / stride), ceil(W / stride), outputs].

        With `averaged`, which needs `train` and no shortcut: [B, 1, 1, outputs], float32, the mean.
        With `anew`, which needs `train` and the shortcut, readers of the result make it anew.
        """
        if self.spec.projection is not None:  # two would read it, the projection a large part
            x = x._replace(recipe=None)
        y = x
        for i, conv in enumerate(self.spec.convs):
            y = y.map(nn.relu) if i > 0 else y
            if conv.smoothing:
                y = Smoothing(conv.smoothing, name=conv.smoothing_name)(y)
            y = Conv(conv, self.options, name=conv.name)(y, train)
            last = conv is self.spec.convs[-1]
            if averaged and last:
                array = y.sorted(1).array
                factors = Affine(name=conv.norm_name)(array)
                return SpaceToBatchMap.of(mean_of_relu(array, *factors))
            if anew and last:
                y = normalize_anew(conv.norm_name, y)
            else:
                y = normalize(conv.norm_name, y, self.options, train)
        if self.spec.residual:
            x = x.sorted(y.dilation)
            if self.spec.projection is not None:
                x = ConvNorm(self.spec.projection, self.options, name='shortcut')(x, train, anew)
            if anew:
                return relu_of_sum_anew(y, x)
            y = y._replace(array=y.array + x.array)
            if self.options.bn_folded and self.options.platform == 'cpu':
                return y.map(_relu_once)
        return y.map(nn.relu)


def _relu_once(x):
    """ReLU whose result XLA:CPU stores.

    The next block reads a sum twice, for its convolution and its shortcut; XLA would compute it
    twice and keep all summands until then. It does not repeat what it concatenates. DRN-D-22 with
    an image of 1024 x 2048: 284 MiB of temporary memory, with `relu` 348.
    """
    middle = x.shape[1] // 2
    return jnp.concatenate([nn.relu(x[:, :middle]), nn.relu(x[:, middle:])], axis=1)


class Level(nn.Module):
    """Blocks of one resolution and one dilation, one after the other.

    Maps are sorted into phases once and back once, where the algorithm wants phases.

    Attributes:
        blocks: this level's.
        options: how they are computed.
        follower: the block after them, if there is one.
    """

    blocks: tuple[variants.Block, ...]
    options: ComputeOptions = ComputeOptions()
    follower: variants.Block | None = None

    @nn.compact
    def __call__(
        self,
        images: jax.Array,
        train: bool = False,
        averaged: bool = False,
        recipe: Partial | None = None,
        sizes: jax.Array | None = None,
    ) -> tuple[jax.Array, Partial | None]:
        """[B, H, W, inputs] -> [B, ceil(H / stride), ceil(W / stride), outputs].

        With `averaged`, as in `Block`: [B, 1, 1, outputs], float32. Recipes, as in
        `SpaceToBatchMap`, come and go beside the arrays, and sizes come.
        """
        x = SpaceToBatchMap.of(images, sizes)._replace(recipe=recipe)
        for block, after in zip(self.blocks, (*self.blocks[1:], self.follower)):
            last = averaged and block is self.blocks[-1]
            anew = train and self.options.sums_anew(block, after)
            x = Block(block, self.options, name=block.name)(x, train, last, anew)
        x = x.sorted(1)
        return x.array, x.recipe


class Classifier(nn.Module):
    """1x1 convolution with bias, all in float32: channels to class scores, at every position."""

    classes: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[..., C] -> [..., classes], float32."""
        kernel = self.param('kernel', HE_FAN_OUT, (1, 1, x.shape[-1], self.classes), jnp.float32)
        bias = self.param('bias', nn.initializers.zeros, (self.classes,), jnp.float32)
        # By default accelerators would round the factors of a float32 product to bfloat16.
        return jnp.dot(x.astype(jnp.float32), kernel[0, 0], precision='highest') + bias
