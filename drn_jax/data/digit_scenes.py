"""The embedded data set: real handwritten digits in real photographs, made without a download.

`import drn_jax.data.digit_scenes` registers the builder with TFDS; then
`tfds.builder('digit_scenes')` (96 x 96 pixels) and `tfds.builder('digit_scenes/192')` find it.
"""

import numpy as np
import tensorflow_datasets as tfds
from sklearn import datasets

from drn_jax.data.cpu_tensorflow import tf

# Per split: number of images, then what no other split may use. Digits are indices into
# scikit-learn's 1797; columns cut both photographs (427 x 640) into halves, of which `tune` shares
# train's, because it stands in for images held out from training.
_SPLITS = {
    'train': (6000, range(0, 1237), slice(0, 320)),
    'tune': (500, range(1237, 1437), slice(0, 320)),
    'validation': (1000, range(1437, 1797), slice(320, 640)),
}
_CLUTTER = 2  # fragments of other digits in an image


class DigitScenes(tfds.core.GeneratorBasedBuilder):
    """One bright digit on a darkened photograph, with two fragments of other digits as clutter.

    Each image holds one of scikit-learn's 8 x 8 digits, enlarged to between 36 % and 75 % of the
    image's side, in one bright color (150 to 255 per channel). Below it lie the fragments, squares
    of 6 to 10 pixels (at 96; twice that at 192) from digits of the same split, below these a crop
    of one of scikit-learn's two photographs at half its brightness. Every digit of a split is used
    equally often. All arithmetic is on integers and all draws come from NumPy's frozen
    `RandomState`, so the pixels are the same on every machine.

    Features:
        image: uint8 [S, S, 3], S 96 or 192.
        label: the digit.
        box: round the digit's pixels, as TFDS keeps boxes: y0 x0 y1 x1, divided by S, upper ends
            exclusive; times S and rounded, they are the exact pixels again.
        mask: uint8 [S, S, 1], 1 on the digit's pixels (at least half inked), else 0.
    """

    VERSION = tfds.core.Version('1.0.0')
    RELEASE_NOTES = {'1.0.0': 'First version.'}
    BUILDER_CONFIGS = [
        tfds.core.BuilderConfig(name='96', description='images of 96 x 96 pixels'),
        tfds.core.BuilderConfig(name='192', description='images of 192 x 192 pixels'),
    ]

    def _info(self):
        size = int(self.builder_config.name)
        return tfds.core.DatasetInfo(
            builder=self,
            description=type(self).__doc__,
            features=tfds.features.FeaturesDict(
                {
                    'image': tfds.features.Image(shape=(size, size, 3), encoding_format='png'),
                    'label': tfds.features.ClassLabel(names=[str(digit) for digit in range(10)]),
                    'box': tfds.features.BBoxFeature(),
                    'mask': tfds.features.Image(shape=(size, size, 1), encoding_format='png'),
                }
            ),
            supervised_keys=('image', 'label'),
            homepage='https://scikit-learn.org/stable/datasets/toy_dataset.html',
        )

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in _SPLITS}

    def _generate_examples(self, split):
        size = int(self.builder_config.name)
        count, digits, columns = _SPLITS[split]
        inks, labels = datasets.load_digits(return_X_y=True)
        inks = inks.reshape(-1, 8, 8).astype(np.int64)[digits.start : digits.stop]
        labels = labels[digits.start : digits.stop]
        photographs = [photograph[:, columns] for photograph in _photographs()]
        for number in range(count):
            random = np.random.RandomState([digits.start, number])
            image, mask = compose(inks, number % len(inks), photographs, size, random)
            y0, x0, y1, x1 = tight_box(mask)
            yield (
                f'{split}_{number:05d}',
                {
                    # TFDS would compress harder, which takes longer than all the rest.
                    'image': tf.io.encode_png(image, compression=1).numpy(),
                    'label': labels[number % len(inks)],
                    'box': tfds.features.BBox(y0 / size, x0 / size, y1 / size, x1 / size),
                    'mask': mask[..., None],
                },
            )


def compose(
    inks: np.ndarray,
    chosen: int,
    photographs: list[np.ndarray],
    size: int,
    random: np.random.RandomState,
) -> tuple[np.ndarray, np.ndarray]:
    """Draws one scene.

    Args:
        inks: the digits of a split, [N, 8, 8], int64 in 0..16.
        chosen: index of the digit to show.
        photographs: uint8 [H, W, 3] each, H and W at least `size`.
        size: side of the scene, in pixels.
        random: advanced by the draws.

    Returns:
        The image, uint8 [size, size, 3], and the mask of the digit's pixels, uint8 [size, size].
    """
    photograph = photographs[random.randint(len(photographs))]
    y, x = (random.randint(length - size + 1) for length in photograph.shape[:2])
    image = photograph[y : y + size, x : x + size] // 2
    for _ in range(_CLUTTER):
        other = (chosen + random.randint(1, len(inks))) % len(inks)
        fragment = _fragment(_draw_digit(inks[other], size, random), size, random)
        _paste(image, fragment, random)
    coverage = _draw_digit(inks[chosen], size, random)
    y, x = _paste(image, coverage, random)
    mask = np.zeros((size, size), np.uint8)
    mask[y : y + len(coverage), x : x + len(coverage)] = coverage >= 128
    return image, mask


def enlarge(ink: np.ndarray, side: int) -> np.ndarray:
    """Enlarges a digit bilinearly, in integers.

    Args:
        ink: [8, 8], int64, at least 0 and not all 0.
        side: of the result, in pixels.

    Returns:
        The share of each pixel that is inked, [side, side], int64 in 0..256, 256 the most ink.

    Example:
        >>> enlarge(np.eye(8, dtype=np.int64), 16)[:4, :4]
        array([[256, 192,  64,   0],
               [192, 160,  96,  48],
               [ 64,  96, 160, 144],
               [  0,  48, 144, 160]])
    """
    # Pixel p lies at (p + 1/2) * 8 / side - 1/2 of the digit: `position`, in 1 / (2 * side).
    position = np.clip(8 * (2 * np.arange(side) + 1) - side, 0, 7 * 2 * side)
    low, upper = np.divmod(position, 2 * side)
    high = np.minimum(low + 1, 7)
    lower = 2 * side - upper
    rows = ink[low] * lower[:, None] + ink[high] * upper[:, None]
    whole = rows[:, low] * lower + rows[:, high] * upper
    return whole * 256 // (4 * side * side * ink.max())


def tight_box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Returns the smallest box round the pixels that are not 0.

    Args:
        mask: [H, W], any dtype, at least one pixel not 0.

    Returns:
        y0, x0, y1, x1 in pixels, upper ends exclusive.

    Example:
        >>> tight_box(np.array([[0, 0, 0], [0, 1, 1]]))
        (1, 1, 2, 3)
    """
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def _photographs():
    """Reads scikit-learn's two photographs: a temple and a flower, uint8 [427, 640, 3]."""
    # TensorFlow decodes them, for it brings its own libjpeg; Pillow's differs between systems.
    return [
        tf.io.decode_jpeg(tf.io.read_file(name), dct_method='INTEGER_ACCURATE').numpy()
        for name in datasets.load_sample_images().filenames
    ]


def _draw_digit(ink, size, random):
    """Returns the digit at a random size, with harder border: coverage [side, side] in 0..256."""
    side = random.randint(-(-36 * size // 100), 75 * size // 100 + 1)
    return np.clip(2 * enlarge(ink, side) - 128, 0, 256)


def _fragment(coverage, size, random):
    """Cuts a square of 6 to 10 pixels (of 96) out of a drawn digit, round an inked pixel."""
    side = random.randint(6, 11) * size // 96
    inked = np.argwhere(coverage >= 128)
    y, x = np.clip(inked[random.randint(len(inked))] - side // 2, 0, len(coverage) - side)
    return coverage[y : y + side, x : x + side]


def _paste(image, coverage, random):
    """Paints a shape in one bright color at a random place inside the image; gives the place."""
    side = len(coverage)
    y, x = random.randint(len(image) - side + 1, size=2)
    color = random.randint(150, 256, size=3)
    region = image[y : y + side, x : x + side]
    opacity = coverage[..., None]
    region[:] = (region * (256 - opacity) + color * opacity) // 256
    return y, x
