"""What is cut out of an image and its label map, together: the release's recipes.

Label maps hold a class in every pixel, 255 where there is none.
"""

import math

from drn_jax.cityscapes import IGNORE_LABEL
from drn_jax.data.cpu_tensorflow import tf
from drn_jax.data.decoding import decode_image
from drn_jax.data.imagenet import Length, to_uint8


def training_example(
    encoded: tf.Tensor,
    label: tf.Tensor,
    seed: tf.Tensor,
    *,
    crop_px: int,
    scale: tuple[float, float] = (1.0, 1.0),
    rotation_degrees: int = 0,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Cuts a random square out of an image and its label map, after rotating and scaling both.

    In this order: a rotation round the center by a whole number of degrees; a scale, one for both
    sides; where a side is then shorter than the crop, equally much padding at both ends; a place.
    All four are drawn uniformly. The image is interpolated, antialiased where it shrinks, and
    reflected beyond its borders; the label map takes the nearest pixel, and 255 beyond them.

    Args:
        encoded: the image, of any kind, tf.string [].
        label: uint8 [H, W], of the image's size.
        seed: int64 [2]; equal seeds give equal crops, on every platform.
        crop_px: side of the crop, in pixels.
        scale: least and largest scale, above 0; (1, 1) is none.
        rotation_degrees: largest angle in both directions, at least 0; 0 is none.

    Returns:
        The crop's image, uint8 [crop_px, crop_px, 3], RGB, and label map, uint8 [crop_px, crop_px].

    Source: the release's RandomRotate, RandomScale and RandomCrop.
    """
    # Differs: the release enlarges by cubic interpolation and shrinks by Lanczos's, and reflects
    # without repeating the outermost pixel in rotating too.
    image, label = _decode_both(encoded, label)
    draws = tf.unstack(tf.random.stateless_uniform([4], seed, dtype=tf.float64, alg='philox'))
    height, width = tf.unstack(tf.shape(label))
    chosen = scale[0] + (scale[1] - scale[0]) * draws[0]
    scaling = tuple(scale) != (1.0, 1.0)
    rows = Axis(height, _scaled(height, chosen), crop_px, draws[1], scaling)
    columns = Axis(width, _scaled(width, chosen), crop_px, draws[2], scaling)
    if rotation_degrees:
        turned = tf.floor(draws[3] * (2 * rotation_degrees + 1)) - rotation_degrees
        image, label = rotate(image, label, turned, rows.window, columns.window)
    else:
        (top, bottom), (left, right) = rows.window, columns.window
        image, label = image[top:bottom, left:right], label[top:bottom, left:right]
    if scaling:
        image = _resample(image, rows, columns)
    image = tf.gather(tf.gather(image, rows.reflected), columns.reflected, axis=1)
    label = tf.gather(tf.gather(label, rows.nearest), columns.nearest, axis=1)
    label = tf.where(
        rows.inside[:, None] & columns.inside, label, tf.constant(IGNORE_LABEL, tf.uint8)
    )
    return (
        tf.ensure_shape(image, [crop_px, crop_px, 3]),
        tf.ensure_shape(label, [crop_px, crop_px]),
    )


def whole_example(
    encoded: tf.Tensor, label: tf.Tensor, *, size: tuple[int, int] = (0, 0)
) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes an image, and resizes it and its label map where a size is given.

    Args:
        encoded: the image, of any kind, tf.string [].
        label: uint8 [H, W], of the image's size.
        size: height and width in pixels; (0, 0) leaves both as they are.

    Returns:
        The image, uint8 [H, W, 3], RGB, bilinear and antialiased, and the label map, uint8 [H, W],
        of the nearest pixels.
    """
    image, label = _decode_both(encoded, label)
    if any(size):
        height, width = tf.unstack(tf.shape(label))
        image = to_uint8(tf.image.resize(image, size, antialias=True))
        label = tf.gather(label, nearest(tf.range(size[0]), size[0], height))
        label = tf.gather(label, nearest(tf.range(size[1]), size[1], width), axis=1)
        image, label = tf.ensure_shape(image, [*size, 3]), tf.ensure_shape(label, size)
    return image, label


class Axis:
    """Where the pixels of a crop come from, along the height or the width of an image.

    Args:
        length: of the image, in pixels, int32 [].
        scaled: length of the scaled image, int32 [].
        crop_px: length of the crop.
        draw: float64 [] in [0, 1), chooses the place.
        scaling: False where `scaled` always is `length`; then the window is what is needed itself.

    Attributes:
        window: first pixel of the image that the crop depends on, and the one after the last.
        count: scaled pixels needed, at most `crop_px`.
        scale, shift: scaled pixels i, counted from the first needed one, lie at
            i = scale * (pixel of the window) + shift, both measured from the outer edges.
        reflected: scaled pixel for every pixel of the crop, counted as i, int32 [crop_px].
        nearest: pixel of the window for every pixel of the crop, int32 [crop_px].
        inside: whether a pixel of the crop lies in the image, bool [crop_px].
    """

    def __init__(
        self, length: tf.Tensor, scaled: tf.Tensor, crop_px: int, draw: tf.Tensor, scaling: bool
    ):
        room = tf.maximum(scaled - crop_px, 0)
        first = tf.cast(draw * tf.cast(room + 1, tf.float64), tf.int32)
        self.count = tf.minimum(scaled, crop_px)
        self.scale = tf.cast(scaled, tf.float32) / tf.cast(length, tf.float32)
        # Beside what the first and last pixels cover, as far as a triangle reaches.
        reach = tf.cast(tf.math.ceil(1 / tf.minimum(self.scale, 1.0)), tf.int32) if scaling else 0
        begin = tf.maximum(first * length // scaled - reach, 0)
        end = tf.minimum(-(-(first + self.count) * length // scaled) + reach, length)
        self.window = begin, end
        self.shift = tf.cast(begin, tf.float32) * self.scale - tf.cast(first, tf.float32)
        place = tf.range(crop_px) - tf.maximum(crop_px - scaled, 0) // 2
        self.inside = (place >= 0) & (place < self.count)
        self.reflected = reflect(place, self.count)
        self.nearest = nearest(self.reflected + first, scaled, length) - begin


def reflect(place: tf.Tensor, length: Length) -> tf.Tensor:
    """Returns the pixel that a place beyond the borders shows: the image mirrored, over and over.

    Args:
        place: int32 tensor, any values.
        length: of the image, in pixels, at least 1.

    Returns:
        int32 like `place`, in 0..length - 1; the outermost pixel is not repeated.

    Example:
        >>> reflect(tf.range(-4, 6), 3).numpy().tolist()
        [0, 1, 2, 1, 0, 1, 2, 1, 0, 1]
    """
    period = tf.maximum(2 * (length - 1), 1)
    place = place % period
    return tf.minimum(place, period - place)


def nearest(place: tf.Tensor, scaled: Length, length: Length) -> tf.Tensor:
    """Returns the pixel of an image in which the center of a pixel of the scaled image lies.

    Args:
        place: int32 tensor, pixels of the scaled image.
        scaled, length: of the scaled image and of the image, in pixels.

    Returns:
        int32 like `place`: (place + 1/2) * length / scaled, rounded down, in integers.

    Example:
        >>> nearest(tf.range(3), 3, 7).numpy().tolist(), nearest(tf.range(4), 4, 2).numpy().tolist()
        ([1, 3, 5], [0, 0, 1, 1])
    """
    return (2 * place + 1) * length // (2 * scaled)


def rotate(
    image: tf.Tensor,
    label: tf.Tensor,
    degrees: tf.Tensor,
    rows: tuple[Length, Length],
    columns: tuple[Length, Length],
) -> tuple[tf.Tensor, tf.Tensor]:
    """Rotates an image and its label map round their center, and gives a window of the results.

    Args:
        image, label: uint8 [H, W, 3] and uint8 [H, W].
        degrees: float64 [], counterclockwise.
        rows, columns: first pixel of the window, and the one after the last.

    Returns:
        The windows of both, of the same types: the image interpolated bilinearly and reflected
        beyond its borders, the label map of nearest pixels and 255 beyond them.
    """
    angle = degrees * (math.pi / 180)
    cosine, sine = tf.cos(angle), tf.sin(angle)
    y, x = ((tf.cast(side, tf.float64) - 1) / 2 for side in tf.unstack(tf.shape(label)))
    # The window's pixel (row, column) shows the pixel (y, x) + R * (place - center).
    down = tf.cast(rows[0], tf.float64) - y
    right = tf.cast(columns[0], tf.float64) - x
    x_shift = x + cosine * right - sine * down
    y_shift = y + sine * right + cosine * down
    transform = tf.stack([cosine, -sine, x_shift, sine, cosine, y_shift, 0.0, 0.0])
    shape = tf.stack([rows[1] - rows[0], columns[1] - columns[0]])

    def transformed(pixels, **options):
        return tf.raw_ops.ImageProjectiveTransformV3(
            images=pixels[None],
            transforms=tf.cast(transform, tf.float32)[None],
            output_shape=shape,
            **options,
        )[0]

    image = transformed(
        tf.cast(image, tf.float32), interpolation='BILINEAR', fill_mode='REFLECT', fill_value=0.0
    )
    label = transformed(
        label[..., None],
        interpolation='NEAREST',
        fill_mode='CONSTANT',
        fill_value=float(IGNORE_LABEL),
    )
    return to_uint8(image), label[..., 0]


def _scaled(length, scale):
    """Returns the length of a scaled image: rounded down, as in the release, but at least 1."""
    return tf.maximum(tf.cast(tf.cast(length, tf.float64) * scale, tf.int32), 1)


def _resample(window, rows, columns):
    """Scales a window of an image; gives only the pixels needed, uint8."""
    return to_uint8(
        tf.raw_ops.ScaleAndTranslate(
            images=window[None],
            size=tf.stack([rows.count, columns.count]),
            scale=tf.stack([rows.scale, columns.scale]),
            translation=tf.stack([rows.shift, columns.shift]),
            kernel_type='triangle',
            antialias=True,
        )[0]
    )


def _decode_both(encoded, label):
    """Decodes the image; fails where the label map has another size."""
    image = decode_image(encoded)
    with tf.control_dependencies(
        [
            tf.debugging.assert_equal(
                tf.shape(image)[:2], tf.shape(label), 'image and label map differ in size'
            )
        ]
    ):
        return tf.identity(image), label
