"""Decodes images and label maps in tf.data, by the rule of `image_files`."""

import io

from drn_jax.data import image_files
from drn_jax.data.cpu_tensorflow import tf

# The default method differs between platforms, and would make pixels differ between them.
DCT = 'INTEGER_ACCURATE'

_HEAD = 2**16  # bytes of a JPEG file in which its EXIF data begin
# EXIF data with an orientation that turns: tag, kind, count 1 and value, in both orders of bytes.
_TURNING_EXIF = (
    r'Exif\x00\x00\C*(?:\x12\x01\C\x00\x01\x00\x00\x00[\x02-\x08]'
    r'|\x01\x12\x00\C\x00\x00\x00\x01\x00{0,3}[\x02-\x08])'
)
# A PNG file of 8 bits, gray (0) or RGB (2), whose pixels come first: no color stands for nothing.
_PLAIN_PNG = r'\CPNG\r\n\x1a\n\x00\x00\x00\rIHDR\C{8}\x08[\x00%s]\C{11}IDAT'
_PNG_END = b'IEND\xaeB`\x82'
# Outside of a graph, NumPy would cut zeros off the end of a file's bytes.
_in_graph = tf.function(input_signature=[tf.TensorSpec([], tf.string)])


@_in_graph
def decode_image(encoded: tf.Tensor) -> tf.Tensor:
    """Decodes an image as `image_files.read_image` does, by TensorFlow where that does the same.

    Args:
        encoded: the file, tf.string [].

    Returns:
        uint8 [H, W, 3], RGB.
    """
    image = tf.cond(
        is_upright_jpeg(encoded),
        lambda: tf.io.decode_jpeg(encoded, channels=3, dct_method=DCT),
        lambda: _decode_other(encoded, 3, image_files.read_image),
    )
    return tf.ensure_shape(image, [None, None, 3])


@_in_graph
def decode_map(encoded: tf.Tensor) -> tf.Tensor:
    """Decodes a label map as `image_files.read_label_map` does, where its image is not turned.

    Args:
        encoded: the file, tf.string [].

    Returns:
        uint8 [H, W].
    """
    label = _decode_other(encoded, 1, lambda file: image_files.read_label_map(file)[..., None])
    return tf.ensure_shape(label, [None, None, 1])[..., 0]


def is_upright_jpeg(encoded: tf.Tensor) -> tf.Tensor:
    """Returns whether a file is a JPEG file whose EXIF data do not turn it, bool []."""
    return tf.io.is_jpeg(encoded) & ~_holds(tf.strings.substr(encoded, 0, _HEAD), _TURNING_EXIF)


def _decode_other(encoded, channels, read):
    """Decodes a plain PNG file by TensorFlow, other files by `read`, which needs Python's lock."""
    return tf.cond(
        _is_plain_png(encoded, channels),
        lambda: tf.io.decode_png(encoded, channels=channels),
        lambda: tf.numpy_function(
            lambda content: read(io.BytesIO(content)), [encoded], tf.uint8, stateful=False
        ),
    )


def _is_plain_png(encoded, channels):
    """Returns whether a file is PNG of 8 bits, gray or RGB, and neither turned nor transparent.

    Without its end, or with more behind it, it is left to Pillow, too.
    """
    head = _PLAIN_PNG % ('' if channels == 1 else r'\x02')
    plain = tf.strings.regex_full_match(tf.strings.substr(encoded, 0, 41), head)
    tail = tf.strings.substr(encoded, tf.maximum(tf.strings.length(encoded) - 8, 0), 8)
    return plain & (tail == _PNG_END) & ~_holds(encoded, 'eXIf')


def _holds(content, pattern):
    """Returns whether a pattern occurs. A full match would not skip to where the pattern begins."""
    rest = tf.strings.regex_replace(content, pattern, '', replace_global=False)
    return tf.strings.length(rest) < tf.strings.length(content)
