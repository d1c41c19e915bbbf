"""What goes into an exported network and what comes out, and the card in its file that says so."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from drn_jax import imagenet_classes
from drn_jax.errors import InputError
from drn_jax.models.networks import Network
from drn_jax.reporting import reports

if TYPE_CHECKING:
    from drn_jax.exporting.forward import ExportSource

FORMAT, FORMAT_VERSION = 'drn_jax.export', 1
PIXELS = ('uint8', 'normalized')
ANSWERS = ('logits', 'class_maps', 'labels')
_VALUES = {
    'logits': 'class scores before softmax',
    'class_maps': 'class scores before softmax at every position; their average is the logits',
    'labels': 'number of the class of every pixel',
    'features': "the last level's map",
}


class Signature(NamedTuple):
    """What goes in and what comes out.

    Attributes:
        pixels: 'uint8', raw RGB that the file normalizes, or 'normalized', float32.
        answers: 'logits', as the network gives them; 'class_maps', of a classifier, scores at
            every position; 'labels', of segmentation, the class of every pixel; 'features', of a
            network without classes, the last level's map.
        size: height and width in pixels, or None where they may be any.
    """

    pixels: str
    answers: str
    size: tuple[int, int] | None

    @property
    def dtype(self) -> str:
        """Of the images."""
        return 'uint8' if self.pixels == 'uint8' else 'float32'

    @property
    def shape(self) -> tuple[str | int, ...]:
        """Of the images: numbers, and names of what may be any number.

        Example:
            >>> Signature('uint8', 'logits', (224, 224)).shape
            ('batch', 224, 224, 3)
        """
        return ('batch', *(self.size or ('height', 'width')), 3)


def make_signature(
    model: Network,
    pixels: str = 'uint8',
    answers: str | None = None,
    size: tuple[int, int] | None = None,
) -> Signature:
    """Makes a signature that a network can have.

    Args:
        model: the network.
        pixels: one of `PIXELS`.
        answers: one of `ANSWERS`; None is what the network itself gives.
        size: height and width in pixels, or None.

    Returns:
        A `Signature`.

    Raises:
        InputError: the network has no such answers, or they need a size.

    Example:
        >>> import drn_jax
        >>> make_signature(drn_jax.create_model('drn_c_26', num_classes=0))
        Signature(pixels='uint8', answers='features', size=None)
    """
    if not model.num_classes:
        if answers is not None:
            raise InputError(
                f'--answers={answers} needs a classifier, but the checkpoint has '
                "none; leave it out to export the last level's map",
                field='--answers',
            )
        return Signature(pixels, 'features', size)
    answers = answers or 'logits'
    of_task = {'class_maps': 'classification', 'labels': 'segmentation'}.get(answers, model.task)
    if of_task != model.task:
        raise InputError(
            f'--answers={answers} is for {of_task}, but the checkpoint is for '
            f'{model.task}; leave it out to export logits',
            field='--answers',
        )
    if answers == 'labels':
        if size is None:
            raise InputError(
                '--answers=labels needs a fixed image size; add --size=HxW', field='--size'
            )
        if model.num_classes > 255:
            raise InputError(
                f'the network has {model.num_classes} classes, but a label map holds '
                '255; leave --answers=labels out',
                field='--answers',
            )
    return Signature(pixels, answers, size)


def answer_shape(model: Network, signature: Signature) -> tuple[str | int, ...]:
    """Returns the shape of the answers, as `Signature.shape` gives that of the images.

    Example:
        >>> import drn_jax
        >>> model = drn_jax.create_model('drn_d_22', num_classes=19, task='segmentation')
        >>> answer_shape(model, Signature('uint8', 'logits', (512, 1020)))
        ('batch', 64, 128, 19)
        >>> answer_shape(model, Signature('uint8', 'logits', None))
        ('batch', 'ceil(height / 8)', 'ceil(width / 8)', 19)
    """
    if signature.answers == 'logits' and model.task == 'classification':
        return 'batch', model.num_classes
    sides = signature.shape[1:3]
    if signature.answers == 'labels':
        return 'batch', *sides
    channels = model.num_classes or model.table.outputs
    return ('batch', *(_cells(side, model.table.stride) for side in sides), channels)


def _cells(side, stride):
    return f'ceil({side} / {stride})' if isinstance(side, str) else -(-side // stride)


def make_card(
    source: 'ExportSource', signature: Signature, form: str, platforms: Sequence[str] = ()
) -> dict[str, Any]:
    """Makes the card of a file: what the network is, what goes in, what comes out.

    Args:
        source: the checkpoint.
        signature: what goes in and comes out.
        form: 'stablehlo' or 'onnx'.
        platforms: that the program is for; ONNX names none.

    Returns:
        A dict that JSON can hold.
    """
    model, data = source.model, source.config.data
    raw = signature.pixels == 'uint8'
    return {
        'format': FORMAT,
        'format_version': FORMAT_VERSION,
        'form': form,
        'variant': model.variant,
        'task': model.task,
        'width': model.width,
        'first_block': model.first_block,
        'stride_in': model.stride_in,
        'degridding': model.degridding,
        'stride': model.table.stride,
        'step': source.step,
        'num_classes': model.num_classes,
        'class_names': list(imagenet_classes.readable(data.class_names)),
        'palette': [list(color) for color in data.palette] if model.task == 'segmentation' else [],
        'input': {
            'name': 'images',
            'dtype': signature.dtype,
            'shape': list(signature.shape),
            'axes': 'batch, height, width, channels (NHWC); channels are red, green, blue',
            'values': 'raw pixels, 0 to 255' if raw else '(pixels / 255 - mean) / std',
        },
        'normalization': {
            'mean': list(data.mean),
            'std': list(data.std),
            'done_by': 'the file' if raw else 'the caller',
        },
        'output': {
            'name': signature.answers,
            'dtype': _answer_dtype(model, signature),
            'shape': list(answer_shape(model, signature)),
            'values': _VALUES[signature.answers],
        },
        'compute_dtype': model.dtype,
        'convolution': model.convolution,
        'platforms': list(platforms),
        'versions': reports.versions(),
    }


def _answer_dtype(model, signature):
    return {'labels': 'uint8', 'features': model.dtype}.get(signature.answers, 'float32')


def check_card(path: Any, card: Any, form: str) -> None:
    """Refuses a card that this version does not understand.

    Args:
        path: of the file, named in the error.
        card: what the file holds.
        form: what it should be, 'stablehlo' or 'onnx'.

    Raises:
        InputError: it is no card, or one of another version.

    Example:
        >>> check_card('a.onnx', {'format': FORMAT, 'format_version': 2, 'versions': {}}, 'onnx')
        Traceback (most recent call last):
        ...
        drn_jax.errors.InputError: a.onnx has version 2 of the export format and was written by \
drn_jax of another version, but this drn_jax reads version 1; use that drn_jax, or export again
    """
    if not isinstance(card, dict) or card.get('format') != FORMAT:
        raise InputError(f'{path} is no file of python -m drn_jax.export; give one', path=path)
    if card.get('format_version') != FORMAT_VERSION:
        writer = f'drn_jax {card.get("versions", {}).get("drn_jax", "of another version")}'
        raise InputError(
            f'{path} has version {card.get("format_version")} of the export format '
            f'and was written by {writer}, but this drn_jax reads version '
            f'{FORMAT_VERSION}; use that drn_jax, or export again',
            path=path,
        )
    if card.get('form') != form:
        raise InputError(
            f'{path} says that it is {card.get("form")}, but it is {form}; export it again',
            path=path,
        )
