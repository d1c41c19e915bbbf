"""What a network is made of: size, reach and cost of every level, computed from the table."""

from collections.abc import Sequence
from typing import NamedTuple

from drn_jax.models import variants


class Row(NamedTuple):
    """One level, the stem or the head."""

    level: str
    layers: int  # convolutions one after the other; shortcuts do not count
    channels: int
    stride: int  # pixels between neighboring cells of the level's map
    dilation: int
    receptive_field: int  # side of the square of pixels that a cell can see
    parameters: int
    multiply_accumulates: int  # of convolutions, for one image


class Description(NamedTuple):
    """The rows of a network; `print` shows them as a table with their totals."""

    variant: str
    size: tuple[int, int]  # height and width of the image, pixels
    rows: tuple[Row, ...]

    @property
    def total(self) -> Row:
        """Sums of layers, parameters and multiply-accumulates; the rest as after the last row."""
        layers, parameters, macs = (
            sum(getattr(row, name) for row in self.rows)
            for name in ('layers', 'parameters', 'multiply_accumulates')
        )
        return self.rows[-1]._replace(
            level='total', layers=layers, parameters=parameters, multiply_accumulates=macs
        )

    def __str__(self) -> str:
        height, width = self.size
        lines = [[*(name.replace('_', ' ') for name in Row._fields[:-1]), 'MACs']]
        for row in (*self.rows, self.total):
            lines.append([row.level, *(f'{number:,}' for number in row[1:])])
        first, *others = (max(map(len, column)) for column in zip(*lines))
        table = (
            '  '.join([level.ljust(first), *map(str.rjust, cells, others)])
            for level, *cells in lines
        )
        return '\n'.join([f'{self.variant}, one image of {height} x {width} pixels', *table])

    def __repr__(self) -> str:
        return f'<{self.variant}: {self.total.layers} layers, {self.total.parameters:,} parameters>'


def describe(
    variant: str,
    size: int | Sequence[int] = 224,
    num_classes: int = 1000,
    *,
    width: float = 1.0,
    first_block: str = 'paper',
    stride_in: str = '3x3',
    degridding: str = 'own',
) -> Description:
    """Prints the table of a network, and returns it: see `description`, whose arguments it takes.

    Example:
        >>> describe('drn_d_22')
        drn_d_22, one image of 224 x 224 pixels
        level   layers  channels  stride  dilation  receptive field  parameters            MACs
        stem         1        16       1         1                7       2,384     118,013,952
        level1       1        16       1         1                9       2,336     115,605,504
        level2       1        32       2         1               11       4,672      57,802,752
        level3       4        64       4         1               39     131,712     411,041,792
        level4       4       128       8         1               95     525,568     411,041,792
        level5       4       256       8         2              223   2,099,712   1,644,167,168
        level6       4       512       8         4              479   8,393,728   6,576,668,672
        level7       1       512       8         2              511   2,360,320   1,849,688,064
        level8       1       512       8         1              527   2,360,320   1,849,688,064
        head         1     1,000       8         1              527     513,000         512,000
        total       22     1,000       8         1              527  16,393,752  13,034,229,760
        <drn_d_22: 22 layers, 16,393,752 parameters>
    """
    found = description(
        variant,
        size,
        num_classes,
        width=width,
        first_block=first_block,
        stride_in=stride_in,
        degridding=degridding,
    )
    print(found)
    return found


def description(
    variant: str,
    size: int | Sequence[int] = 224,
    num_classes: int = 1000,
    *,
    width: float = 1.0,
    first_block: str = 'paper',
    stride_in: str = '3x3',
    degridding: str = 'own',
) -> Description:
    """Describes every level of a network: channels, stride, dilation, receptive field and cost.

    A convolution of k x k taps at dilation d, reading cells j pixels apart, adds (k - 1) * d * j
    pixels to the receptive field; at h x w outputs it takes h * w * k * k * in * out
    multiply-accumulates. Shortcuts count as parameters and cost, not as layers. The head is
    counted as in classification, after pooling.

    Args:
        variant: one of `list_models()`.
        size: side of the square image in pixels, or height and width.
        num_classes: at least 0; 0 leaves out the head.
        width: a multiple of all channel counts, above 0.
        first_block, stride_in, degridding: see `variants.lookup`.

    Returns:
        Rows from the image to the classes, which print as a table.

    Raises:
        ValueError: an argument is none of these.

    Example:
        >>> [row.stride for row in description('drn_d_22').rows]
        [1, 1, 2, 4, 8, 8, 8, 8, 8, 8]

    Source: Yu, Koltun and Funkhouser, Dilated Residual Networks, 2017, figure 5.
    """
    table = variants.lookup(variant, width, first_block, stride_in, degridding)
    return of_table(table, size, num_classes)


def of_table(
    table: variants.Variant, size: int | Sequence[int] = 224, num_classes: int = 1000
) -> Description:
    """Describes a network as `description` does, given its row of the table.

    Example:
        >>> of_table(variants.lookup('drn_a_18')).total.stride
        8
    """
    walk = _Walk(*_size(size))
    rows = [walk.row(table.stem.level or 'stem', 1, [table.stem.expand()])]
    if table.stem.pooled:
        walk.step(kernel_size=3, stride=2)
    rows += [walk.row(level.name, level.dilation, blocks) for level, blocks in table.expand()]
    if classes := variants.whole_number('num_classes', num_classes, least=0):
        rows.append(
            rows[-1]._replace(
                level='head',
                layers=1,
                channels=classes,
                parameters=(table.outputs + 1) * classes,
                multiply_accumulates=table.outputs * classes,
            )
        )
    return Description(table.name, _size(size), tuple(rows))


class _Walk:
    """Goes through a network and keeps the map's size, its stride and what a cell can see."""

    def __init__(self, height: int, width: int):
        self.height, self.width, self.stride, self.field = height, width, 1, 1

    def step(self, kernel_size: int, stride: int = 1, dilation: int = 1):
        """Passes a convolution or a pooling."""
        self.field += (kernel_size - 1) * dilation * self.stride
        self.stride *= stride
        self.height, self.width = -(-self.height // stride), -(-self.width // stride)

    def row(self, name: str, dilation: int, blocks: Sequence[variants.Block]) -> Row:
        """Passes blocks and returns their row."""
        layers = parameters = macs = 0
        for block in blocks:
            for conv in block.convs:
                if conv.smoothing:
                    self.step(conv.smoothing)
                    parameters += conv.smoothing**2
                    macs += self.height * self.width * conv.smoothing**2 * conv.inputs
                self.step(conv.kernel_size, conv.stride, conv.dilation)
                layers += 1
                parameters += _parameters(conv)
                macs += self.height * self.width * _taps(conv)
            if block.residual and block.projection:  # its outputs lie where the block's lie
                parameters += _parameters(block.projection)
                macs += self.height * self.width * _taps(block.projection)
        channels = blocks[-1].convs[-1].outputs
        return Row(name, layers, channels, self.stride, dilation, self.field, parameters, macs)


def _taps(conv: variants.Conv) -> int:
    return conv.kernel_size**2 * conv.inputs * conv.outputs


def _parameters(conv: variants.Conv) -> int:
    return _taps(conv) + 2 * conv.outputs  # with scale and bias of the normalization


def _size(size: int | Sequence[int]) -> tuple[int, int]:
    sides = size if isinstance(size, (tuple, list)) else (size, size)
    if len(sides) != 2:
        raise ValueError(f'size {size!r} must be a side in pixels, or height and width')
    return (
        variants.whole_number('size', sides[0], least=1),
        variants.whole_number('size', sides[1], least=1),
    )
