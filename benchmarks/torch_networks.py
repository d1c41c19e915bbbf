"""The networks of the table as PyTorch modules, for comparison only.

They are made from the records of `drn_jax.models.variants` and take the state dicts that
`drn_jax.to_torch` gives. Modules are named as our parameters are (`level3.block0.conv1`).
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from drn_jax.models import torch_names, variants

# Our names of arrays -> PyTorch's.
ARRAYS = {
    'kernel': 'weight',
    'scale': 'weight',
    'bias': 'bias',
    'mean': 'running_mean',
    'var': 'running_var',
}


class Layers(nn.Module):
    """Convolutions in a row, each with its batch normalization, and a ReLU between them."""

    def __init__(self, convs):
        super().__init__()
        self.names = [(conv.name, conv.norm_name) for conv in convs]
        for conv, (name, norm) in zip(convs, self.names):
            reach = conv.dilation * (conv.kernel_size // 2)
            self.add_module(
                name,
                nn.Conv2d(
                    conv.inputs,
                    conv.outputs,
                    conv.kernel_size,
                    conv.stride,
                    reach,
                    conv.dilation,
                    bias=False,
                ),
            )
            self.add_module(norm, nn.BatchNorm2d(conv.outputs))

    def forward(self, x):
        """[B, inputs, H, W] -> [B, outputs, ceil(H / stride), ceil(W / stride)]."""
        for i, (name, norm) in enumerate(self.names):
            x = F.relu(x, inplace=True) if i else x
            x = getattr(self, norm)(getattr(self, name)(x))
        return x

    def fold(self):
        """Makes the batch normalizations part of the convolutions."""
        for name, norm in self.names:
            setattr(self, name, fuse_conv_bn_eval(getattr(self, name), getattr(self, norm)))
            setattr(self, norm, nn.Identity())


class Block(Layers):
    """One block of the table: layers, perhaps a shortcut, a ReLU."""

    def __init__(self, spec):
        super().__init__(spec.convs)
        self.residual = spec.residual
        projects = spec.residual and spec.projection
        self.shortcut = Layers((spec.projection,)) if projects else nn.Identity()

    def forward(self, x):
        """[B, inputs, H, W] -> [B, outputs, ceil(H / stride), ceil(W / stride)]."""
        y = super().forward(x)
        if self.residual:
            y += self.shortcut(x)
        return F.relu(y, inplace=True)


class Network(nn.Module):
    """A whole network.

    Args:
        row: the variant, as `variants.lookup` gives it.
        classes: number of classes.
        task: 'classification' gives [B, classes], 'segmentation' class scores at every position of
            the last level, [B, classes, h, w].
    """

    def __init__(self, row, classes, task):
        super().__init__()
        self.row, self.classes, self.task = row, classes, task
        self.stem = Block(row.stem.expand())
        for level, blocks in row.expand():
            self.add_module(level.name, nn.Sequential())
            for block in blocks:
                getattr(self, level.name).add_module(block.name, Block(block))
        self.head = nn.Conv2d(row.outputs, classes, 1)

    def forward(self, images):
        """[B, 3, H, W] -> class scores."""
        x = self.stem(images)
        if self.row.stem.pooled:
            x = F.max_pool2d(x, 3, 2, 1)
        for level in self.row.levels:
            x = getattr(self, level.name)(x)
        if self.task == 'segmentation':
            return self.head(x)
        return self.head(F.adaptive_avg_pool2d(x, 1)).flatten(1)

    def load_release(self, state_dict):
        """Loads a state dict in the release's names, name -> NumPy array; all must be there."""
        shapes = self.state_dict()
        found = {}
        for entry in torch_names.entries(self.row, self.classes, self.task):
            if entry.path:
                name = '.'.join((*entry.path[1:-1], ARRAYS[entry.path[-1]]))
                # A linear layer is a 1x1 convolution here.
                found[name] = torch.tensor(state_dict[entry.name]).reshape(shapes[name].shape)
        missing, extra = self.load_state_dict(found, strict=False)
        if extra or any(not name.endswith('num_batches_tracked') for name in missing):
            raise ValueError(f'missing: {missing}, extra: {extra}')

    def fold(self):
        """Makes every batch normalization part of its convolution; only for evaluation mode."""
        for module in list(self.modules()):
            if isinstance(module, Layers):
                module.fold()


class Labels(nn.Module):
    """The most probable class of every pixel: bilinear enlargement, then the largest score."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, images):
        """[B, 3, H, W] -> uint8 [B, H, W]."""
        scores = F.interpolate(
            self.network(images), images.shape[2:], mode='bilinear', align_corners=False
        )
        return scores.argmax(1).to(torch.uint8)


def create(variant, state_dict, *, classes, task, width=1.0, first_block='paper'):
    """Builds a network in evaluation mode and channels last, with the weights of a state dict.

    Args:
        variant, width, first_block: as in `variants.lookup`.
        state_dict: as `drn_jax.to_torch` gives it.
        classes: number of classes.
        task: 'classification' or 'segmentation'.
    """
    network = Network(variants.lookup(variant, width, first_block), classes, task)
    network.load_release(state_dict)
    return network.eval().to(memory_format=torch.channels_last)
