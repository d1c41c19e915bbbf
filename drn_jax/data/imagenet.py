"""ImageNet's crops: what is cut out of an image in training and in evaluation, and how.

Sizes and offsets are torchvision's, so that published numbers can be compared. Lengths may be
Python integers or integer tensors.
"""
import math

import tensorflow as tf

# The default method differs between platforms, and would make pixels differ between them.
_DCT = 'INTEGER_ACCURATE'


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


def random_crop(height, width, seed, *, area, ratio, tries=10):
    """Chooses a training crop at random.

    Ten times a share of the image's area is drawn, uniform in `area`, and a ratio of width by
    height, log-uniform in `ratio`; the first pair whose crop fits in the image gets a uniform
    place. Where none fits, the crop is the largest central one with a ratio in `ratio`.

    Args:
        height, width: of the image, int32 [], in pixels.
        seed: of this crop, int64 [2]; equal seeds give equal crops, on every platform.
        area: least and largest share of the area, in (0, 1].
        ratio: least and largest width by height.
        tries: number of draws.

    Returns:
        y, x, height and width of the crop, int32 [4], inside the image.

    Source: Szegedy et al., Going deeper with convolutions, 2015, section 6, as torchvision's
    RandomResizedCrop has it (TensorFlow's sample_distorted_bounding_box draws the height
    uniformly instead of the area, and the ratio uniformly).
    """
    draws = tf.random.stateless_uniform([4, tries], seed, dtype=tf.float64, alg='philox')
    pixels = tf.cast(height * width, tf.float64) * (area[0] + (area[1] - area[0]) * draws[0])
    low, high = math.log(ratio[0]), math.log(ratio[1])
    root = tf.exp((low + (high - low) * draws[1]) / 2)
    side = tf.sqrt(pixels)
    heights = tf.cast(tf.round(side / root), tf.int32)
    widths = tf.cast(tf.round(side * root), tf.int32)
    fits = (heights > 0) & (heights <= height) & (widths > 0) & (widths <= width)
    first = tf.argmax(fits)  # 0 where none fits
    chosen = tf.stack([heights[first], widths[first]])
    room = tf.cast(tf.stack([height, width]) - chosen + 1, tf.float64)
    place = tf.cast(tf.floor(room * draws[2:, first]), tf.int32)
    crop = tf.concat([place, chosen], 0)
    return tf.cond(fits[first], lambda: crop, lambda: _largest_central_crop(height, width, ratio))
