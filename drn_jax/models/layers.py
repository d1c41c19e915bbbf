"""Linen modules that carry out the records of `variants`: convolution, block, level, classifier."""
import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from drn_jax.models import variants
from drn_jax.ops.conv import dilated_conv

# N(0, sqrt(2 / (k * k * outputs))): He and others, Delving deep into rectifiers, 2015, section 2.2.
HE_FAN_OUT = nn.initializers.variance_scaling(2.0, 'fan_out', 'normal')


class Conv(nn.Module):
    """Convolution without bias; the kernel is kept in float32 and cast to the compute dtype.

    Attributes:
        spec: kernel size, channels, stride and dilation.
        dtype: compute dtype, of input and output.
    """
    spec: variants.Conv
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, H, W, inputs] -> [B, ceil(H / stride), ceil(W / stride), outputs]."""
        size = self.spec.kernel_size
        kernel = self.param('kernel', HE_FAN_OUT,
                            (size, size, self.spec.inputs, self.spec.outputs), jnp.float32)
        return dilated_conv(x.astype(self.dtype), kernel.astype(self.dtype),
                            stride=self.spec.stride, dilation=self.spec.dilation)


def batch_norm(name: str, dtype: DTypeLike, train: bool) -> nn.BatchNorm:
    """Gives the batch normalization of these networks.

    Parameters, statistics and the arithmetic inside are float32, the output has the compute
    dtype, so that nothing wider than bfloat16 is stored between layers. Flax's momentum 0.9 is
    PyTorch's 0.1. The variance is E[x^2] - E[x]^2, which reads the activation once where
    E[(x - E[x])^2] reads it twice; in float32 it loses about (E[x] / deviation)^2 * 1e-7 of the
    variance, and before a normalization that ratio is of the order of 1.

    Args:
        name: the module's name in the parameter tree.
        dtype: compute dtype, of the output.
        train: True normalizes by the batch and updates the running statistics.

    Returns:
        The module, [..., C] -> [..., C].

    Example:
        >>> batch_norm('bn', jnp.bfloat16, train=False).momentum
        0.9

    Source: Ioffe and Szegedy, Batch normalization, 2015; constants as in the authors' release.
    """
    return nn.BatchNorm(use_running_average=not train, momentum=0.9, epsilon=1e-5, dtype=dtype,
                        param_dtype=jnp.float32, name=name)


class ConvNorm(nn.Module):
    """Convolution and batch normalization: the projection of a shortcut."""
    spec: variants.Conv
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """[B, H, W, inputs] -> [B, ceil(H / stride), ceil(W / stride), outputs]."""
        return batch_norm('bn', self.dtype, train)(Conv(self.spec, self.dtype, name='conv')(x))


class Block(nn.Module):
    """Convolution, normalization and ReLU, in a row; the shortcut joins before the last ReLU.

    This is every block of every variant: basic, bottleneck, those without the shortcut, the plain
    layer and the stem differ in `spec` only.
    """
    spec: variants.Block
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """[B, H, W, inputs] -> [B, ceil(H / stride), ceil(W / stride), outputs]."""
        y = x
        for i, conv in enumerate(self.spec.convs):
            y = nn.relu(y) if i > 0 else y
            y = Conv(conv, self.dtype, name=conv.name)(y)
            y = batch_norm(conv.name.replace('conv', 'bn'), self.dtype, train)(y)
        if self.spec.residual:
            if self.spec.projection is not None:
                x = ConvNorm(self.spec.projection, self.dtype, name='shortcut')(x, train)
            y = y + x
        return nn.relu(y)


class Level(nn.Module):
    """Blocks of one resolution and one dilation, one after the other."""
    blocks: tuple[variants.Block, ...]
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """[B, H, W, inputs] -> [B, ceil(H / stride), ceil(W / stride), outputs]."""
        for block in self.blocks:
            x = Block(block, self.dtype, name=block.name)(x, train)
        return x


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
