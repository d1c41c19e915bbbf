"""Every network as a row of one table: a stem and levels of convolutions, pure data.

A level is the paper's (figure 5): layers of one resolution and one dilation. The network, its
description and the names in weight files are all derived from these records, so a new variant is
one more row.
"""

import math
import numbers
import operator
from collections.abc import Iterator
from typing import NamedTuple

# Ways to keep dilated levels from gridding; 'own' is the variant's.
DEGRIDDING = ('own', 'none', 'levels_residual', 'levels', 'smooth', 'hdc')
SMOOTHING = 'smoothing'  # what is smoothed by a kernel is called 'smoothing1' where it is 'conv1'


class Conv(NamedTuple):
    """One convolution; a batch normalization of the same width follows it."""

    name: str
    kernel_size: int
    inputs: int
    outputs: int
    stride: int = 1
    dilation: int = 1
    smoothing: int = 0  # side of the kernel that smooths its input; 0: nothing does

    @property
    def norm_name(self) -> str:
        """Name of the batch normalization."""
        return self.name.replace('conv', 'bn')

    @property
    def smoothing_name(self) -> str:
        """Name of what smooths its input."""
        return self.name.replace('conv', SMOOTHING)


class Block(NamedTuple):
    """Convolutions in a row, with a ReLU after each; a shortcut may join before the last ReLU."""

    name: str
    convs: tuple[Conv, ...]
    residual: bool = False  # the input is added to what the convolutions give
    projection: Conv | None = None  # brings the input to stride and width of the output first


class Kind(NamedTuple):
    """What blocks of one kind are made of."""

    name: str
    conv_names: tuple[str, ...]
    kernel_sizes: tuple[int, ...]
    strided: int  # index of the convolution that carries the block's stride
    expansion: int  # output channels of the last convolution, in multiples of the others'


KINDS = {
    'plain': Kind('layer', ('conv',), (3,), strided=0, expansion=1),
    'basic': Kind('block', ('conv1', 'conv2'), (3, 3), strided=0, expansion=1),
    'bottleneck': Kind('block', ('conv1', 'conv2', 'conv3'), (1, 3, 1), strided=1, expansion=4),
    'bottleneck_v1': Kind('block', ('conv1', 'conv2', 'conv3'), (1, 3, 1), strided=0, expansion=4),
}


class Level(NamedTuple):
    """Blocks of one resolution and one dilation."""

    number: int  # the paper's; the level is called 'level<number>'
    kind: str  # a key of KINDS
    blocks: int
    channels: int  # before expansion
    stride: int
    dilation: int
    # In the first block: of the convolution that strides (or did in the ResNet), and of the others.
    first_dilations: tuple[int, int]
    residual: bool  # blocks have the shortcut
    degridding: str = ''  # inside the blocks: 'smooth', 'hdc' or nothing

    @property
    def name(self) -> str:
        return f'level{self.number}'

    @property
    def outputs(self) -> int:
        """Channels of the level's map."""
        return self.channels * KINDS[self.kind].expansion

    def expand(self, inputs: int) -> tuple[Block, ...]:
        """The level's blocks, given the channels of its input."""
        first = self._block(0, inputs)
        return first, *(self._block(i, self.outputs) for i in range(1, self.blocks))

    def _block(self, index: int, inputs: int) -> Block:
        kind = KINDS[self.kind]
        stride = self.stride if index == 0 else 1
        special, usual = self.first_dilations if index == 0 else (self.dilation, self.dilation)
        dilations = [special if i == kind.strided else usual for i in range(len(kind.conv_names))]
        if self.degridding == 'hdc':
            dilations = self._hybrid_dilations(index)
        smooth = self.degridding == 'smooth'
        widths = (inputs, *[self.channels] * (len(kind.kernel_sizes) - 1), self.outputs)
        convs = tuple(
            Conv(
                name,
                size,
                widths[i],
                widths[i + 1],
                stride=stride if i == kind.strided else 1,
                dilation=1 if size == 1 else dilations[i],
                smoothing=2 * dilations[i] - 1 if smooth and size > 1 and dilations[i] > 1 else 0,
            )
            for i, (name, size) in enumerate(zip(kind.conv_names, kind.kernel_sizes))
        )
        changes = stride > 1 or inputs != self.outputs
        projection = Conv('conv', 1, inputs, self.outputs, stride) if changes else None
        return Block(
            f'{kind.name}{index}', convs, self.residual, projection if len(convs) > 1 else None
        )

    def _hybrid_dilations(self, index: int) -> list[int]:
        """Dilations d - 1, d, d + 1, d - 1, ... of the 3x3 convolutions; d where no three are left.

        Source: Wang and others, Understanding convolution for semantic segmentation, 2018,
        'Dilation-RF'.
        """
        sizes = KINDS[self.kind].kernel_sizes
        of_block, own = sizes.count(3), iter(range(sizes.count(3)))
        places = [index * of_block + (next(own) if size == 3 else 0) for size in sizes]
        threes = self.blocks * of_block // 3 * 3
        return [self.dilation + (place % 3 - 1 if place < threes else 0) for place in places]


class Stem(NamedTuple):
    """The 7x7 convolution that reads the image."""

    channels: int
    stride: int
    level: str  # its map is this level; '' where it belongs to no level of its own
    pooled: bool  # 3x3 max pooling of stride 2 follows, at the entry of the next level

    def expand(self) -> Block:
        """The stem as a block."""
        return Block('stem', (Conv('conv', 7, 3, self.channels, self.stride),))


class Variant(NamedTuple):
    """One network without its classifier."""

    name: str
    family: str
    stem: Stem
    levels: tuple[Level, ...]

    @property
    def stride(self) -> int:
        """Pixels between neighboring cells of the last level's map."""
        pool = 2 if self.stem.pooled else 1
        return self.stem.stride * pool * math.prod(level.stride for level in self.levels)

    @property
    def outputs(self) -> int:
        """Channels of the last level's map."""
        return self.levels[-1].outputs

    def expand(self) -> Iterator[tuple[Level, tuple[Block, ...]]]:
        """Every level with its blocks, in order; the stem comes before them."""
        inputs = self.stem.channels
        for level in self.levels:
            yield level, level.expand(inputs)
            inputs = level.outputs


class _Family(NamedTuple):
    """What the variants of a family share: one entry per level, counted from `first_level`."""

    stem: Stem
    first_level: int
    channels: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    keeps_resnet: bool  # a convolution that strides in the ResNet keeps the dilation before it
    kinds: tuple[str, ...]  # '' is the variant's own block
    residual: tuple[bool, ...]


_RESNET = _Family(
    stem=Stem(64, stride=2, level='level2', pooled=True),
    first_level=3,
    channels=(64, 128, 256, 512),
    strides=(1, 2, 2, 2),
    dilations=(1, 1, 1, 1),
    keeps_resnet=False,
    kinds=('',) * 4,
    residual=(True,) * 4,
)
_DRN_B = _Family(
    stem=Stem(16, stride=1, level='', pooled=False),
    first_level=1,
    channels=(16, 32, 64, 128, 256, 512, 512, 512),
    strides=(1, 2, 2, 2, 1, 1, 1, 1),
    dilations=(1, 1, 1, 1, 2, 4, 2, 1),
    keeps_resnet=False,
    kinds=('basic', 'basic', '', '', '', '', 'basic', 'basic'),
    residual=(True,) * 8,
)
_FAMILIES = {
    'resnet': _RESNET,
    'drn_a': _RESNET._replace(strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4), keeps_resnet=True),
    'drn_b': _DRN_B,
    'drn_c': _DRN_B._replace(residual=(True,) * 6 + (False,) * 2),
    'drn_d': _DRN_B._replace(
        kinds=('plain', 'plain', '', '', '', '', 'plain', 'plain'),
        residual=(False,) * 2 + (True,) * 4 + (False,) * 2,
    ),
}

# name: family, kind of its own blocks, blocks per level
_TABLE = {
    'resnet_18': ('resnet', 'basic', (2, 2, 2, 2)),
    'resnet_34': ('resnet', 'basic', (3, 4, 6, 3)),
    'resnet_50': ('resnet', 'bottleneck', (3, 4, 6, 3)),
    'resnet_101': ('resnet', 'bottleneck', (3, 4, 23, 3)),
    'drn_a_18': ('drn_a', 'basic', (2, 2, 2, 2)),
    'drn_a_34': ('drn_a', 'basic', (3, 4, 6, 3)),
    'drn_a_50': ('drn_a', 'bottleneck', (3, 4, 6, 3)),
    'drn_a_101': ('drn_a', 'bottleneck', (3, 4, 23, 3)),
    'drn_b_26': ('drn_b', 'basic', (1, 1, 2, 2, 2, 2, 1, 1)),
    'drn_b_42': ('drn_b', 'basic', (1, 1, 3, 4, 6, 3, 1, 1)),
    'drn_c_26': ('drn_c', 'basic', (1, 1, 2, 2, 2, 2, 1, 1)),
    'drn_c_42': ('drn_c', 'basic', (1, 1, 3, 4, 6, 3, 1, 1)),
    'drn_c_58': ('drn_c', 'bottleneck', (1, 1, 3, 4, 6, 3, 1, 1)),
    'drn_d_22': ('drn_d', 'basic', (1, 1, 2, 2, 2, 2, 1, 1)),
    'drn_d_24': ('drn_d', 'basic', (1, 1, 2, 2, 2, 2, 2, 2)),
    'drn_d_38': ('drn_d', 'basic', (1, 1, 3, 4, 6, 3, 1, 1)),
    'drn_d_40': ('drn_d', 'basic', (1, 1, 3, 4, 6, 3, 2, 2)),
    'drn_d_54': ('drn_d', 'bottleneck', (1, 1, 3, 4, 6, 3, 1, 1)),
    'drn_d_56': ('drn_d', 'bottleneck', (1, 1, 3, 4, 6, 3, 2, 2)),
    'drn_d_105': ('drn_d', 'bottleneck', (1, 1, 3, 4, 23, 3, 1, 1)),
    'drn_d_107': ('drn_d', 'bottleneck', (1, 1, 3, 4, 23, 3, 2, 2)),
}


def list_models() -> list[str]:
    """Returns the names of all variants, sorted.

    Returns:
        Names that `create_model`, `describe`, `from_torch` and `to_torch` accept.

    Example:
        >>> [name for name in list_models() if name.startswith('drn_c')]
        ['drn_c_26', 'drn_c_42', 'drn_c_58']

    Source: names as in the paper's table 1 and in the authors' release.
    """
    return sorted(_TABLE)


def lookup(
    name: str,
    width: float = 1.0,
    first_block: str = 'paper',
    stride_in: str = '3x3',
    degridding: str = 'own',
) -> Variant:
    """Finds a variant in the table.

    Every channel count c becomes round(width * c). `first_block` is a choice in DRN-A only, where
    a level that is dilated instead of strided can begin in two ways: 'paper', the convolution that
    used to stride keeps the dilation before it and all others have the level's, which keeps the
    ResNet's receptive field; 'release', the whole first block is undilated.

    `stride_in` is a choice in ResNets and DRN-A with bottlenecks: '3x3' strides in the 3x3
    convolution of a first block, as torchvision does, '1x1' in its first convolution, as He et al.,
    Caffe and Keras ("v1"). Where DRN-A dilates instead, nothing of a 'v1' block came after a stride
    but its 3x3, which then takes the level's own dilation.

    `degridding` is a choice in dilated networks, about the levels up to the one of the largest
    dilation and what follows them, whatever the variant has there itself: 'none', nothing (as in
    DRN-A); 'levels_residual', a level of dilation 2 and one of dilation 1, a basic block each (as
    in DRN-B); 'levels', the same without shortcuts (as in DRN-C); 'smooth', nothing, but before
    each convolution of dilation d its input is smoothed by one kernel of 2 d - 1 taps a side, which
    all channels share and which begins as the identity; 'hdc', nothing, but the 3x3 convolutions
    of a level of dilation d take d - 1, d, d + 1 in turn, and d where no three are left.

    Args:
        name: one of `list_models()`.
        width: a multiple of all channel counts, above 0.
        first_block: 'paper' or 'release'.
        stride_in: '3x3' or '1x1'.
        degridding: 'own', 'none', 'levels_residual', 'levels', 'smooth' or 'hdc'.

    Returns:
        The variant's record.

    Raises:
        ValueError: an argument is none of these, or a channel count rounds to 0.

    Example:
        >>> [level.dilation for level in lookup('drn_c_26').levels]
        [1, 1, 1, 1, 2, 4, 2, 1]
        >>> lookup('drn_a_18').levels[-1].first_dilations
        (2, 4)

    Source: Yu, Koltun and Funkhouser, Dilated Residual Networks, 2017, figure 5 and equations 2 to
    4; the D models and 'release' are those of the authors' code. 'smooth': Wang and Ji, Smoothed
    dilated convolutions for improved dense prediction, 2018, separable and shared convolutions;
    'hdc': Wang and others, Understanding convolution for semantic segmentation, 2018, the setting
    'Dilation-RF'.
    """
    if name not in _TABLE:
        raise ValueError(f'variant {name!r} is unknown; known: {", ".join(list_models())}')
    family_name, kind, blocks = _TABLE[name]
    family = _FAMILIES[family_name]
    if first_block not in ('paper', 'release'):
        raise ValueError(f"first_block {first_block!r} is unknown; allowed: 'paper', 'release'")
    if first_block != 'paper' and not family.keeps_resnet:
        raise ValueError(
            f'first_block {first_block!r} is a choice in drn_a variants only; '
            f"leave it at 'paper' for {name!r}"
        )
    if stride_in not in ('3x3', '1x1'):
        raise ValueError(f"stride_in {stride_in!r} is unknown; allowed: '3x3', '1x1'")
    if stride_in == '1x1':
        if kind != 'bottleneck' or not family.stem.pooled:
            raise ValueError(
                f"stride_in '1x1' is a choice in resnet and drn_a variants with bottlenecks only; "
                f"leave it at '3x3' for {name!r}"
            )
        kind = 'bottleneck_v1'
    levels = tuple(_levels(family, kind, blocks, first_block))
    if degridding != 'own':
        levels = _degrid(name, levels, degridding)
    return _widen(Variant(name, family_name, family.stem, levels), width)


def _levels(
    family: _Family, kind: str, blocks: tuple[int, ...], first_block: str
) -> Iterator[Level]:
    before, number = 1, family.first_level
    for own, count, channels, stride, dilation, residual in zip(
        family.kinds, blocks, family.channels, family.strides, family.dilations, family.residual
    ):
        first = (dilation, dilation)
        if family.keeps_resnet and dilation > 1:
            first = (before, dilation) if first_block == 'paper' else (1, 1)
        yield Level(number, own or kind, count, channels, stride, dilation, first, residual)
        before, number = dilation, number + 1


def _degrid(name: str, levels: tuple[Level, ...], degridding: str) -> tuple[Level, ...]:
    if degridding not in DEGRIDDING:
        raise ValueError(f'degridding {degridding!r} is unknown; allowed: {", ".join(DEGRIDDING)}')
    largest = max(level.dilation for level in levels)
    if largest == 1:
        raise ValueError(
            f'degridding {degridding!r} is a choice in dilated networks only; '
            f"leave it at 'own' for {name!r}"
        )
    dilated = [level.number for level in levels if level.dilation == largest]
    kept = [level for level in levels if level.number <= max(dilated)]
    if degridding in ('smooth', 'hdc'):
        return tuple(
            level._replace(degridding=degridding) if level.dilation > 1 else level for level in kept
        )
    last, shortcuts = kept[-1], degridding == 'levels_residual'
    added = [
        Level(last.number + i, 'basic', 1, last.channels, 1, dilation, (dilation,) * 2, shortcuts)
        for i, dilation in ((1, 2), (2, 1))
    ]
    return tuple(kept if degridding == 'none' else [*kept, *added])


def _widen(variant: Variant, width: float) -> Variant:
    if not (isinstance(width, numbers.Real) and 0 < width < math.inf):
        raise ValueError(f'width {width!r} must be a number above 0')
    narrowest = min(variant.stem.channels, *(level.channels for level in variant.levels))
    if round(width * narrowest) < 1:
        raise ValueError(
            f'width {width!r} rounds the {narrowest} channels that {variant.name!r} '
            f'begins with to 0; use more than {0.5 / narrowest}'
        )
    levels = tuple(
        level._replace(channels=round(width * level.channels)) for level in variant.levels
    )
    return variant._replace(
        stem=variant.stem._replace(channels=round(width * variant.stem.channels)), levels=levels
    )


def whole_number(name: str, value: int, least: int) -> int:
    """Checks an argument that counts something.

    Args:
        name: what the error calls it.
        value: any integer type.
        least: the smallest value allowed.

    Returns:
        The value as an int.

    Raises:
        ValueError: the value is no whole number or below `least`.

    Example:
        >>> whole_number('num_classes', 10, least=0)
        10
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if number < least:
        raise ValueError(f'{name} {value!r} must be a whole number, {least} or above')
    return number
