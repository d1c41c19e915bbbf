"""The card in every exported file: what the network is, what goes in, what comes out."""

from drn_jax.errors import InputError
from drn_jax.exporting import signatures
from drn_jax.reporting import reports

FORMAT, FORMAT_VERSION = 'drn_jax.export', 1


def make(source, signature, form, platforms=()):
    """Makes the card of a file.

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
        'stride': model.table.stride,
        'step': source.step,
        'num_classes': model.num_classes,
        'class_names': list(data.class_names),
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
            'shape': list(signatures.answer_shape(model, signature)),
            'values': _VALUES[signature.answers],
        },
        'compute_dtype': model.dtype,
        'convolution': model.convolution,
        'platforms': list(platforms),
        'versions': reports.versions(),
    }


_VALUES = {
    'logits': 'class scores before softmax',
    'class_maps': 'class scores before softmax at every position; their average is the logits',
    'labels': 'number of the class of every pixel',
    'features': "the last level's map",
}


def _answer_dtype(model, signature):
    return {'labels': 'uint8', 'features': model.dtype}.get(signature.answers, 'float32')


def check(path, card, form):
    """Refuses a card that this version does not understand.

    Args:
        path: of the file, named in the error.
        card: what the file holds.
        form: what it should be, 'stablehlo' or 'onnx'.

    Raises:
        InputError: it is no card, or one of another version.

    Example:
        >>> check('a.onnx', {'format': FORMAT, 'format_version': 2, 'versions': {}}, 'onnx')
        Traceback (most recent call last):
        ...
        drn_jax.errors.InputError: a.onnx has version 2 of the export format and was written by \
drn_jax of another version, but this drn_jax reads version 1; use that drn_jax, or export again
    """
    if not isinstance(card, dict) or card.get('format') != FORMAT:
        raise InputError(f'{path} is no file of python -m drn_jax.export; give one')
    if card.get('format_version') != FORMAT_VERSION:
        writer = f'drn_jax {card.get("versions", {}).get("drn_jax", "of another version")}'
        raise InputError(
            f'{path} has version {card.get("format_version")} of the export format '
            f'and was written by {writer}, but this drn_jax reads version '
            f'{FORMAT_VERSION}; use that drn_jax, or export again'
        )
    if card.get('form') != form:
        raise InputError(
            f'{path} says that it is {card.get("form")}, but it is {form}; export it again'
        )
