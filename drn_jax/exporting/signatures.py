"""What goes into an exported network and what comes out of it."""

from typing import NamedTuple

from drn_jax.errors import InputError

PIXELS = ('uint8', 'normalized')
ANSWERS = ('logits', 'class_maps', 'labels')


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
    def dtype(self):
        """Of the images."""
        return 'uint8' if self.pixels == 'uint8' else 'float32'

    @property
    def shape(self):
        """Of the images: numbers, and names of what may be any number.

        Example:
            >>> Signature('uint8', 'logits', (224, 224)).shape
            ('batch', 224, 224, 3)
        """
        return ('batch', *(self.size or ('height', 'width')), 3)


def make_signature(model, pixels='uint8', answers=None, size=None):
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
                "none; leave it out to export the last level's map"
            )
        return Signature(pixels, 'features', size)
    answers = answers or 'logits'
    of_task = {'class_maps': 'classification', 'labels': 'segmentation'}.get(answers, model.task)
    if of_task != model.task:
        raise InputError(
            f'--answers={answers} is for {of_task}, but the checkpoint is for '
            f'{model.task}; leave it out to export logits'
        )
    if answers == 'labels':
        if size is None:
            raise InputError('--answers=labels needs a fixed image size; add --size=HxW')
        if model.num_classes > 255:
            raise InputError(
                f'the network has {model.num_classes} classes, but a label map holds '
                '255; leave --answers=labels out'
            )
    return Signature(pixels, answers, size)


def answer_shape(model, signature):
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
    if signature.answers == 'labels':
        return 'batch', *signature.size
    channels = model.num_classes or model.table.outputs
    return ('batch', *(_cells(side, model.table.stride) for side in signature.shape[1:3]), channels)


def _cells(side, stride):
    return f'ceil({side} / {stride})' if isinstance(side, str) else -(-side // stride)
