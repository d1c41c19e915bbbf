"""The protocols by which papers judge generated streets, each a row of a table."""

from typing import Any, NamedTuple

from drn_jax import cityscapes
from drn_jax.errors import InputError

Size = tuple[int, int]  # height and width in pixels

# Statistics of the network's input, to all digits of the authors' info.json and of the scripts.
CITYSCAPES = (
    (0.29010095242892997, 0.32808144844279574, 0.28696394422942517),
    (0.1829540508368939, 0.18656561047509476, 0.18447508988480435),
)
_MIOU = (('mIoU', 'mean_iou'),)
# The release's segment.py prints the mean IoU under the name mAP.
_ACCURACIES = (
    ('mAP', 'mean_iou'),
    ('pixAcc', 'pixel_accuracy'),
    ('classAcc', 'mean_class_accuracy'),
)


class Protocol(NamedTuple):
    """How generated streets become numbers.

    Filters are Pillow's, 'nearest', 'bilinear' or 'bicubic'.

    Attributes:
        name: what --protocol calls it.
        used_by: the papers.
        source: where it was read.
        networks: variants that papers use; (): a network of one's own.
        image_sizes: that generated images must have; (): any, as the protocol resizes them.
        seen: the size that the network sees; None: that of the image.
        scored: the size at which pixels are counted.
        image_filter: resizes images to `seen`, and with --resize to one of `image_sizes`.
        label_filter: resizes label maps to `scored`; '': they must have that size.
        score_filter: resizes log-probabilities to `scored`; '': they have that size.
        scales: the network sees the image at each of them, resized by it (bicubic) before it is
            resized to `seen`, and log-probabilities are added.
        statistics: mean and standard deviation of the channels; None: the checkpoint's.
        numbers: what papers report: pairs of their name and ours.
    """

    name: str
    used_by: str
    source: str
    networks: tuple[str, ...]
    image_sizes: tuple[Size, ...]
    seen: Size | None
    scored: Size
    image_filter: str = 'bicubic'
    label_filter: str = 'nearest'
    score_filter: str = ''
    scales: tuple[float, ...] = (1.0,)
    statistics: tuple[tuple[float, ...], tuple[float, ...]] | None = CITYSCAPES
    numbers: tuple[tuple[str, str], ...] = _MIOU

    @property
    def void(self) -> str:
        """What pixels without a class count as in the protocol's pixel accuracy."""
        wrong = 'pixel_accuracy_with_void' in dict(self.numbers).values()
        return 'wrong' if wrong else 'left out'

    def allows(self, size: Size) -> bool:
        """Returns whether a generated image may have a size without being resized."""
        return not self.image_sizes or size in self.image_sizes

    def seen_size(self, size: Size) -> Size:
        """Returns the size that the network sees of an image.

        One of another size than allowed takes the allowed one whose ratio of sides is nearest.

        Args:
            size: of the image.

        Example:
            >>> PROTOCOLS['gan_compression'].seen_size((512, 512))
            (256, 256)
        """

        def stretch(other):
            ratio = size[0] * other[1] / (size[1] * other[0])
            return max(ratio, 1 / ratio)

        return self.seen or (size if self.allows(size) else min(self.image_sizes, key=stretch))

    def describe(self) -> dict[str, Any]:
        """Returns what a report says of the protocol."""
        return {**self._asdict(), 'void': self.void}


_FULL, _QUARTER, _EIGHTH = cityscapes.IMAGE_SIZE, (256, 512), (128, 256)
_ROWS = (
    Protocol(
        'gan_compression',
        'GAN Compression, OMGD, CAT',
        'mit-han-lab/gan-compression metric/cityscapes_mIoU.py and metric/mIoU_score.py',
        networks=('drn_d_105',),
        image_sizes=(_QUARTER, (256, 256)),
        seen=None,
        scored=_FULL,
        label_filter='',
        score_filter='bilinear',
    ),
    Protocol(
        'spade',
        'SPADE',
        'NVlabs/SPADE issues 39 and 100; EndlessSora/TSIT issue 1',
        networks=('drn_d_105',),
        image_sizes=(_QUARTER,),
        seen=_QUARTER,
        scored=_QUARTER,
        label_filter='bilinear',
        numbers=(*_MIOU, ('accu', 'pixel_accuracy_with_void')),
    ),
    Protocol(
        'oasis',
        'OASIS, CLADE',
        'boschresearch/OASIS issue 5; tzt101/CLADE issue 3',
        networks=('drn_d_105',),
        image_sizes=(_QUARTER,),
        seen=_QUARTER,
        scored=_QUARTER,
        numbers=(*_MIOU, ('Acc', 'pixel_accuracy')),
    ),
    Protocol(
        'upsampled',
        'SPADE as others reproduced it',
        'boschresearch/OASIS issue 18',
        networks=('drn_d_105',),
        image_sizes=(),
        seen=_FULL,
        scored=_FULL,
        label_filter='',
    ),
    Protocol(
        'negcut',
        'NEGCUT',
        'WeilunWang/NEGCUT issue 3; fyu/drn segment.py --ms',
        networks=('drn_d_22',),
        image_sizes=(),
        seen=_EIGHTH,
        scored=_EIGHTH,
        image_filter='bilinear',
        scales=(1.0, 0.5, 0.75, 1.25, 1.5, 1.75),
        numbers=_ACCURACIES,
    ),
    Protocol(
        'qs_attn',
        'QS-Attn',
        'sapphire497/query-selected-attention issue 2; fyu/drn segment.py',
        networks=('drn_d_22',),
        image_sizes=(),
        seen=_EIGHTH,
        scored=_EIGHTH,
        numbers=_ACCURACIES,
    ),
    Protocol(
        'cut',
        'CUT',
        'taesungp/contrastive-unpaired-translation issue 104; lyndonzheng/F-LSeSim issue 8',
        networks=(),
        image_sizes=(),
        seen=_EIGHTH,
        scored=_EIGHTH,
        statistics=None,
        numbers=_ACCURACIES,
    ),
)
PROTOCOLS = {row.name: row for row in _ROWS}
ALL = 'all'


def chosen(name: str) -> list[Protocol]:
    """Returns the protocol of a name, or all of them.

    Raises:
        InputError: there is none of this name.
    """
    if name != ALL and name not in PROTOCOLS:
        raise InputError(
            f'--protocol={name} is unknown; known are {", ".join([*PROTOCOLS, ALL])}',
            field='--protocol',
        )
    return list(_ROWS) if name == ALL else [PROTOCOLS[name]]


def one(given: str | Protocol) -> Protocol:
    """Returns the protocol of a name, or the given row.

    Raises:
        InputError: there is none of this name, or several are meant.
    """
    if isinstance(given, Protocol):
        return given
    if given not in tuple(PROTOCOLS):
        raise InputError(
            f'protocol={given!r} is none; give one of {", ".join(PROTOCOLS)}', field='--protocol'
        )
    return PROTOCOLS[given]
