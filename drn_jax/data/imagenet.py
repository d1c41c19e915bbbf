"""ImageNet's crops: what is cut out of an image in training and in evaluation, and how.

Sizes and offsets are torchvision's, so that published numbers can be compared. Lengths may be
Python integers or integer tensors.
"""

from typing import Any

from drn_jax.data import decoding
from drn_jax.data.cpu_tensorflow import tf
from drn_jax.geometry import Geometry

Length = Any  # int, or an integer tensor


def resized_sizes(height: Length, width: Length, short: int) -> tuple[Length, Length]:
    """Returns the size of an image whose shorter side becomes `short` pixels.

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


def central_offset(length: Length, crop: int) -> Length:
    """Returns where a central crop begins: (length - crop) / 2, halves rounded to the even number.

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


def random_crop(
    shape: tf.Tensor, seed: tf.Tensor, *, area: tuple[float, float], ratio: tuple[float, float]
) -> tf.Tensor:
    """Chooses a training crop at random.

    A ratio of width by height is drawn, uniform in `ratio`, then a height, uniform among those that
    give the crop a share of the image's area in `area`, then a place. Where ten such draws do not
    fit in the image, the crop is the whole image.

    Args:
        shape: of the image, int32 [3]: height, width, channels.
        seed: int64 [2]; equal seeds give equal crops, on every platform.
        area: least and largest share of the image's area, in (0, 1].
        ratio: least and largest width by height.

    Returns:
        y, x, height and width of the crop, int32 [4], in pixels, inside the image.

    Source: tf.image.sample_distorted_bounding_box.
    """
    # Differs: Szegedy et al. (Going deeper with convolutions, 2015, section 6) and torchvision draw
    # the area uniformly, which gives larger crops: of 500 x 375 pixels, 43 % on average instead of
    # 37 %. This is what TensorFlow's recipes for ImageNet do, and it takes less time.
    begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
        shape,
        tf.zeros([1, 0, 4]),
        seed,
        min_object_covered=0.0,
        area_range=area,
        aspect_ratio_range=ratio,
        max_attempts=10,
        use_image_if_no_bounding_boxes=True,
    )
    return tf.concat([begin[:2], size[:2]], 0)


def training_image(
    encoded: tf.Tensor,
    seed: tf.Tensor,
    *,
    size: int,
    area: tuple[float, float],
    ratio: tuple[float, float],
) -> tf.Tensor:
    """Decodes a random crop of an image, and only that where it is a JPEG file and not turned.

    Args:
        encoded: of any kind, tf.string [].
        seed, area, ratio: see `random_crop`.
        size: side of the result, in pixels.

    Returns:
        uint8 [size, size, 3], RGB: the crop resized bilinearly and rounded.
    """

    def from_jpeg():
        crop = random_crop(tf.io.extract_jpeg_shape(encoded), seed, area=area, ratio=ratio)
        return tf.io.decode_and_crop_jpeg(encoded, crop, channels=3, dct_method=decoding.DCT)

    def from_other():
        image = decoding.decode_image(encoded)
        y, x, height, width = tf.unstack(random_crop(tf.shape(image), seed, area=area, ratio=ratio))
        return image[y : y + height, x : x + width]

    image = tf.cond(decoding.is_upright_jpeg(encoded), from_jpeg, from_other)
    # Resizing is faster from float32 than from uint8.
    return to_uint8(tf.image.resize(tf.cast(image, tf.float32), [size, size]))


def whole_image(image: tf.Tensor, height: Length, width: Length) -> tf.Tensor:
    """Resizes an image, whatever its shape.

    Args:
        image: uint8 [H, W, 3].
        height, width: of the result, in pixels.

    Returns:
        uint8 [height, width, 3]: bilinear, antialiased and rounded; an image of that size already
        comes back as it is.
    """
    return to_uint8(tf.image.resize(image, [height, width], antialias=True))


def evaluation_crops(image: tf.Tensor, *, size: int, short: int, crops: int) -> tf.Tensor:
    """Resizes an image and cuts crops out of it.

    Args:
        image: uint8 [H, W, 3].
        size: side of the crops, in pixels.
        short: shorter side of the resized image, in pixels, at least `size`.
        crops: 1 or 10.

    Returns:
        For 1, the central crop, uint8 [size, size, 3]. For 10, the five that are no mirror images,
        uint8 [5, size, size, 3]: central, top left, top right, bottom left, bottom right.
    """
    height, width, _ = tf.unstack(tf.shape(image))
    height, width = resized_sizes(height, width, short)
    image = whole_image(image, height, width)
    bottom, right = height - size, width - size
    places = [
        (central_offset(height, size), central_offset(width, size)),
        (0, 0),
        (0, right),
        (bottom, 0),
        (bottom, right),
    ]
    cut = [
        tf.ensure_shape(image[y : y + size, x : x + size], [size, size, 3])
        for y, x in (places if crops == 10 else places[:1])
    ]
    return tf.stack(cut) if crops == 10 else cut[0]


def central_geometry(height: Length, width: Length, *, size: int, short: int) -> Geometry:
    """Returns where `evaluation_crops` takes its central crop from.

    Args:
        height, width: of the image, in pixels.
        size, short: see `evaluation_crops`.

    Returns:
        The `Geometry` of the crop.

    Example:
        >>> tuple(central_geometry(375, 500, size=224, short=256))
        (375, 500, 256, 341, 16, 58)
    """
    resized = resized_sizes(height, width, short)
    offsets = (central_offset(length, size) for length in resized)
    return Geometry(height, width, *resized, *offsets)


def few_shapes(height: Length, width: Length, short: int) -> tuple[Length, Length]:
    """Returns the size to which a whole image is resized so that few sizes occur.

    The shorter side becomes `short`; the longer one k / 8 of it, k the nearest whole number from 8
    to 15. So there are 15 sizes; images more oblong than 15 to 8 are squeezed.

    Args:
        height, width: of the image, in pixels.
        short: in pixels, a multiple of 8.

    Returns:
        Height and width, in pixels.

    Example:
        >>> few_shapes(375, 500, 256), few_shapes(900, 300, 256)
        ((256, 352), (480, 256))
    """
    in_tensors = tf.is_tensor(height)
    least, most = (tf.minimum, tf.maximum) if in_tensors else (min, max)
    shorter, longer = least(height, width), most(height, width)
    longest = short // 8 * least((16 * longer + shorter) // (2 * shorter), 15)
    if in_tensors:
        return tf.where(height > width, longest, short), tf.where(width > height, longest, short)
    return (longest if height > width else short), (longest if width > height else short)


def to_uint8(image: tf.Tensor) -> tf.Tensor:
    """Rounds float32 in 0..255 to uint8."""
    return tf.cast(tf.round(image), tf.uint8)
