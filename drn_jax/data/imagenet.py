"""ImageNet's crops: what is cut out of an image in training and in evaluation, and how.

Sizes and offsets are torchvision's, so that published numbers can be compared. Lengths may be
Python integers or integer tensors.
"""
import math

import numpy as np
import tensorflow as tf

# The default method differs between platforms, and would make pixels differ between them.
_DCT = 'INTEGER_ACCURATE'
_TRIES = 10


def resized_sizes(height, width, short):
    """Gives the size of an image whose shorter side becomes `short` pixels.

    The longer side becomes short * long / short side, rounded down.

    Args:
        height, width: of the image, in pixels.
        short: in pixels.

    Returns:
        Height and width, in pixels.

    Example:
        >>> resized_sizes(375, 500, 256)
        (256, 341)

    Source: torchvision.transforms.Resize.
    """
    shorter = tf.minimum(height, width) if tf.is_tensor(height) else min(height, width)
    return short * height // shorter, short * width // shorter


def central_offset(length, crop):
    """Gives where a central crop begins: (length - crop) / 2, halves rounded to the even number.

    Args:
        length: of the image, in pixels, at least `crop`.
        crop: length of the crop, in pixels.

    Returns:
        Offset of the crop's first pixel.

    Example:
        >>> [central_offset(length, 224) for length in (256, 341, 343, 224)]
        [16, 58, 60, 0]

    Source: torchvision.transforms.CenterCrop, whose Python `round` rounds like this.
    """
    half, odd = (length - crop) // 2, (length - crop) % 2
    return half + odd * (half % 2)


def draw_crops(count, seed, *, area, ratio):
    """Draws everything random about training crops, for images of any size.

    Each image gets ten tries: a share of its area, uniform in `area`, a ratio of width by height,
    log-uniform in `ratio`, and a uniform place; and an eleventh that stands for the middle.

    Args:
        count: number of images.
        seed: int64 [2]; equal seeds give equal draws, on every platform.
        area: least and largest share of the area, in (0, 1].
        ratio: least and largest width by height.

    Returns:
        Float64 [count, 4, 10]: of each try, height and width of the crop by the square root of the
        image's area, then y and x by the room that the crop leaves, in [0, 1).
    """
    draws = tf.random.stateless_uniform([count, 4, _TRIES], seed, dtype=tf.float64, alg='philox')
    side = tf.sqrt(area[0] + (area[1] - area[0]) * draws[:, 0])
    low, high = math.log(ratio[0]), math.log(ratio[1])
    root = tf.exp((low + (high - low) * draws[:, 1]) / 2)
    return tf.stack([side / root, side * root, draws[:, 2], draws[:, 3]], 1)


def place_crop(size, draws, *, ratio):
    """Chooses the training crop of one image: the first of its draws that fits inside.

    Where none fits, it is the largest central crop with a ratio in `ratio`.

    Args:
        size: height and width of the image, int32 [2], in pixels.
        draws: of this image, float64 [4, 10], see `draw_crops`.
        ratio: least and largest width by height.

    Returns:
        y, x, height and width of the crop, int32 [4], in pixels, inside the image.

    Source: Szegedy et al., Going deeper with convolutions, 2015, section 6, in the form of
    torchvision.transforms.RandomResizedCrop. (TensorFlow's sample_distorted_bounding_box draws the
    height uniformly, not the area: smaller crops.)
    """
    size = tf.cast(size, tf.float64)
    tries = tf.maximum(tf.round(tf.sqrt(size[0] * size[1]) * draws[:2]), 1)
    largest = tf.minimum(size, tf.round(size[::-1] / [ratio[0], 1 / ratio[1]]))
    tries = tf.concat([tries, largest[:, None]], 1)
    first = tf.argmax(tf.reduce_all(tries <= size[:, None], 0))
    crop = tries[:, first]
    # One draw below a half is the middle, rounded down.
    places = tf.concat([draws[2:], tf.fill([2, 1], np.nextafter(.5, 0))], 1)
    offset = tf.floor((size - crop + 1) * places[:, first])
    return tf.cast(tf.concat([offset, crop], 0), tf.int32)


def training_image(encoded, draws, *, size, ratio):
    """Decodes a random crop of an image, and only that where the image is a JPEG file.

    Args:
        encoded: JPEG, PNG, GIF or BMP, tf.string [].
        draws: of this image, float64 [4, 10], see `draw_crops`.
        size: side of the result, in pixels.
        ratio: least and largest width by height.

    Returns:
        uint8 [size, size, 3], RGB: the crop resized bilinearly and rounded.
    """
    def from_jpeg():
        crop = place_crop(tf.io.extract_jpeg_shape(encoded)[:2], draws, ratio=ratio)
        return tf.io.decode_and_crop_jpeg(encoded, crop, channels=3, dct_method=_DCT)

    def from_other():
        image = _decode_other(encoded)
        y, x, height, width = tf.unstack(place_crop(tf.shape(image)[:2], draws, ratio=ratio))
        return image[y:y + height, x:x + width]

    image = tf.cond(tf.io.is_jpeg(encoded), from_jpeg, from_other)
    # Resizing is faster from float32 than from uint8.
    return _to_uint8(tf.image.resize(tf.cast(image, tf.float32), [size, size]))


def whole_image(encoded, *, size):
    """Decodes an image and resizes it to a square, whatever its shape.

    Args:
        encoded: JPEG, PNG, GIF or BMP, tf.string [].
        size: side of the result, in pixels.

    Returns:
        uint8 [size, size, 3], RGB: bilinear, antialiased and rounded; an image of that size already
        comes back as it is.
    """
    return _resize(_decode(encoded), size, size)


def evaluation_crops(encoded, *, size, short, crops):
    """Decodes an image, resizes it, and cuts crops out of it.

    Args:
        encoded: JPEG, PNG, GIF or BMP, tf.string [].
        size: side of the crops, in pixels.
        short: shorter side of the resized image, in pixels, at least `size`.
        crops: 1 or 10.

    Returns:
        For 1, the central crop, uint8 [size, size, 3], RGB. For 10, the five that are no mirror
        images, uint8 [5, size, size, 3]: central, top left, top right, bottom left, bottom right.
    """
    image = _decode(encoded)
    height, width, _ = tf.unstack(tf.shape(image))
    height, width = resized_sizes(height, width, short)
    image = _resize(image, height, width)
    bottom, right = height - size, width - size
    places = [(central_offset(height, size), central_offset(width, size)),
              (0, 0), (0, right), (bottom, 0), (bottom, right)]
    cut = [tf.ensure_shape(image[y:y + size, x:x + size], [size, size, 3])
           for y, x in (places if crops == 10 else places[:1])]
    return tf.stack(cut) if crops == 10 else cut[0]


def _decode(encoded):
    """Decodes an image: uint8 [H, W, 3], RGB."""
    image = tf.cond(
        tf.io.is_jpeg(encoded),
        lambda: tf.io.decode_jpeg(encoded, channels=3, dct_method=_DCT),
        lambda: _decode_other(encoded))
    return tf.ensure_shape(image, [None, None, 3])


def _decode_other(encoded):
    """Decodes what is no JPEG file: uint8 [H, W, 3], RGB; the first picture of an animation."""
    return tf.io.decode_image(encoded, channels=3, expand_animations=False)


def _resize(image, height, width):
    """Resizes uint8 [H, W, 3], bilinearly and antialiased."""
    return _to_uint8(tf.image.resize(image, [height, width], antialias=True))


def _to_uint8(image):
    """Rounds float32 in 0..255."""
    return tf.cast(tf.round(image), tf.uint8)
