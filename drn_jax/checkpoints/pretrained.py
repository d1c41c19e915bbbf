"""Weights that others have published, by name: where they lie, how they are known, what they reach.

The authors' server is gone. Their weights live on, converted, in the releases of pytorchcv, beside
better ones that were trained anew there. ResNets are valid for DRN-A too (section 2 of the paper).
"""

import difflib
from collections.abc import Iterator
from typing import NamedTuple

from drn_jax.errors import InputError
from drn_jax.models import descriptions

_PYTORCHCV = 'https://github.com/osmr/imgclsmob/releases/download'
_TORCHVISION = 'https://download.pytorch.org/models'
# Of the code that the weights are published with; none of the three states one for the weights.
_LICENSES = {'fyu/drn': 'BSD-3-Clause', 'pytorchcv': 'MIT', 'torchvision': 'BSD-3-Clause'}


class Pretrained(NamedTuple):
    """A row of the table.

    Attributes:
        name: what stands behind `pretrained:`.
        variant: the network.
        url: of the file.
        digest: how the SHA-1 (pytorchcv) or SHA-256 (torchvision) of the weights begins, in hex.
        origin: who trained it.
        license: as stated for the code that it is published with.
        top1_error: on ImageNet validation, one crop, percent as published; None: not stated.
        top5_error: likewise.
        stride_in: of bottlenecks, see `create_model`.
        note: what else is to be known.
    """

    name: str
    variant: str
    url: str
    digest: str
    origin: str
    license: str
    top1_error: float | None = None
    top5_error: float | None = None
    stride_in: str = '3x3'
    note: str = ''


# Variant: release, name, SHA-1, top-1 and top-5 error (the release's README).
_AUTHORS = {
    'drn_c_26': ('drnc26-0755', '35405bd52a0c721f3dc64f18d433074f263b7339', 24.86, 7.55),
    'drn_c_42': ('drnc42-0657', '7c99c4608a9a5e5f073f657b92f258ba4ba5ac77', 22.94, 6.57),
    'drn_c_58': ('drnc58-0601', '70ec1f56c23da863628d126a6ed0ad10f037a2ac', 21.73, 6.01),
    'drn_d_22': ('drnd22-0823', '5c2c6a0cf992409ab388e04e9fbd06b7141bdf47', 25.80, 8.23),
    'drn_d_38': ('drnd38-0695', '4630f0fb3f721f4a2296e05aacb1231ba7530ae5', 23.79, 6.95),
    'drn_d_54': ('drnd54-0586', 'bfdc1f8826027b247e2757be45b176b3b91b9ea3', 21.22, 5.86),
    'drn_d_105': ('drnd105-0548', 'a643f4dcf9e4b69eab06b76e54ce22169f837592', 20.62, 5.48),
}
# Variant: name, SHA-1, release v0.0.N, top-1 error (pytorchcv 0.0.74: list of models and README).
# The name ends in the top-5 error, in 1/10000.
_ANEW = {
    'drn_c_26': ('drnc26-0723', 'e7306483781db61f71302eda6769d7d9fd126bf6', 508, 24.61),
    'drn_c_42': ('drnc42-0628', '8817241f62263c6375ff3c17a9d34f42067a114d', 556, 22.37),
    'drn_c_58': ('drnc58-0527', '3f74be98f80db3273ed764ded5bcb5d8bdf0b907', 559, 20.65),
    'drn_d_22': ('drnd22-0758', '02cb44bdea9b05e988e65576f79f5f5c133f2664', 498, 24.86),
    'drn_d_38': ('drnd38-0643', '496f648b8b8427050ad3327077f9a9b7a07fbcc6', 552, 22.94),
    'drn_d_54': ('drnd54-0517', 'caa3c85dbdb39397f049da649d196b15704427b3', 554, 20.40),
    'drn_d_105': ('drnd105-0501', '8dc6aa76c16cb1964929adf53183d1e0324ae051', 564, 19.87),
    'resnet_18': ('resnet18-0896', '77a56f155214819bfc79ff09795370f955b20e6d', 478, 26.94),
    'resnet_34': ('resnet34-0780', '3f775482a327e5fc4850fbb77785bfc55e171e5f', 291, 24.84),
    'resnet_50': ('resnet50b-0638', '8a5473ef985d65076a3758117ad5700d726bd952', 308, 22.39),
    'resnet_101': ('resnet101b-0530', 'f059ba3c7fa4a65f2da6e17f3718662d59836637', 357, 20.59),
}
_ANEW_V1 = {  # with the stride of a bottleneck in its first convolution
    'resnet_50': ('resnet50-0633', 'b00d1c8e52aa7a2badc705b1545aaf6ccece6ce9', 329, 22.28),
    'resnet_101': ('resnet101-0540', '65faf44721096a75fa72b875efb416513f864078', 499, 20.79),
}
# Variant: file, top-1 and top-5 error (torchvision's documentation).
_TORCHVISION_FILES = {
    'resnet_18': ('resnet18-f37072fd', 30.242, 10.922),
    'resnet_34': ('resnet34-b627a593', 26.686, 8.58),
    'resnet_50': ('resnet50-0676ba61', 23.87, 7.138),
    'resnet_101': ('resnet101-63fe2227', 22.626, 6.454),
}


_DILATED = (
    "a ResNet's weights as they are, dilated by equations 2 to 4; nobody has fine-tuned them. With "
    'those of He et al. (v1) in DRN-A-50 instead of ResNet-50 the top-1 error was 19 instead of '
    '23 % on 100 validation images, and the localization error with the class given 34 instead of '
    '54 % (docs/weights.md)'
)


def _rows() -> Iterator[Pretrained]:
    for variant, (name, sha1, top1, top5) in _AUTHORS.items():
        url = f'{_PYTORCHCV}/v0.0.116/{name}-{sha1[:8]}.pth.zip'
        yield Pretrained(variant, variant, url, sha1, 'fyu/drn', _LICENSES['fyu/drn'], top1, top5)
    for variant, (file, top1, top5) in _TORCHVISION_FILES.items():
        url, origin = f'{_TORCHVISION}/{file}.pth', 'torchvision'
        yield Pretrained(variant, variant, url, file[-8:], origin, _LICENSES[origin], top1, top5)
    for suffix, stride_in, table in (
        ('_pytorchcv', '3x3', _ANEW),
        ('_v1_pytorchcv', '1x1', _ANEW_V1),
    ):
        for variant, (name, sha1, release, top1) in table.items():
            yield Pretrained(
                variant + suffix,
                variant,
                f'{_PYTORCHCV}/v0.0.{release}/{name}-{sha1[:8]}.pth.zip',
                sha1,
                'pytorchcv',
                _LICENSES['pytorchcv'],
                top1,
                int(name[-4:]) / 100,
                stride_in,
            )


def _table() -> dict[str, Pretrained]:
    rows = {row.name: row for row in _rows()}
    dilated = [
        row._replace(
            name=row.name.replace('resnet', 'drn_a'),
            variant=row.variant.replace('resnet', 'drn_a'),
            top1_error=None,
            top5_error=None,
            note=_DILATED,
        )
        for row in rows.values()
        if row.variant.startswith('resnet')
    ]
    return rows | {row.name: row for row in dilated}


TABLE = _table()


def list_pretrained() -> list[Pretrained]:
    """Lists the networks that `pretrained:NAME` names.

    Example:
        >>> [row.name for row in list_pretrained() if row.variant == 'drn_c_26']
        ['drn_c_26', 'drn_c_26_pytorchcv']
    """
    return sorted(TABLE.values())


def text() -> str:
    """Writes the table for people; sizes are those of the networks in float32.

    Example:
        >>> print(text().splitlines()[11])
        drn_c_26                 drn_c_26    24.86   7.55  fyu/drn      BSD-3-Clause   85  35405bd5
    """
    heading = ('name', 'network', 'top-1', 'top-5', 'origin', 'license', 'MB', 'digest')
    lines = [heading] + [
        (
            row.name,
            row.variant,
            '-' if row.top1_error is None else f'{row.top1_error:.2f}',
            '-' if row.top5_error is None else f'{row.top5_error:.2f}',
            row.origin,
            row.license,
            f'{4e-6 * descriptions.description(row.variant).total.parameters:.0f}',
            row.digest[:8],
        )
        for row in list_pretrained()
    ]
    widths = [max(map(len, column)) for column in zip(*lines)]
    right = (2, 3, 6)  # numbers
    table = [
        '  '.join(
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths))
        ).rstrip()
        for line in lines
    ]
    notes = {row.note: row.variant.rpartition('_')[0] for row in list_pretrained() if row.note}
    return '\n'.join(
        [
            *table,
            '',
            'Errors are percents on ImageNet validation, one crop, as published; - is not stated.',
            'Licenses are those of the code that the weights are published with.',
            'v1: the stride of a bottleneck lies in its first convolution.',
            *(f'{family}: {note}.' for note, family in notes.items()),
        ]
    )


def lookup(name: str) -> Pretrained:
    """Finds a row by its name.

    Raises:
        InputError: there is none; the nearest names are offered.

    Example:
        >>> lookup('drn_c_26').top1_error
        24.86
        >>> lookup('drn_c_27')
        Traceback (most recent call last):
        ...
        drn_jax.errors.InputError: pretrained:drn_c_27 is unknown; near to it are \
drn_c_42, drn_c_26, drn_d_22; convert --list prints all
    """
    if name in TABLE:
        return TABLE[name]
    near = difflib.get_close_matches(name, TABLE, n=3, cutoff=0.5)
    offered = f'near to it are {", ".join(near)}; ' if near else ''
    raise InputError(f'pretrained:{name} is unknown; {offered}convert --list prints all')


def by_digest(digests: tuple[str, ...]) -> list[Pretrained]:
    """Finds the rows of a file by the digests of its content.

    Args:
        digests: SHA-1 and SHA-256 of the file of weights, hex.

    Returns:
        The rows: none, one, or a ResNet and its DRN-A.

    Example:
        >>> [row.name for row in by_digest(('8a5473ef985d65076a3758117ad5700d726bd952',))]
        ['resnet_50_pytorchcv', 'drn_a_50_pytorchcv']
    """
    return [row for row in TABLE.values() if any(d.startswith(row.digest) for d in digests)]
