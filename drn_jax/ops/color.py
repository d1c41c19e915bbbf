"""Color perturbation of training images, as one affine map of each image's colors."""

import jax
import jax.numpy as jnp
import numpy as np

# Weights of red, green and blue in gray (ITU-R BT.601).
GRAY = np.array([0.299, 0.587, 0.114], np.float32)

# Principal components of ImageNet's colors, white being 1: deviations, and a vector a column.
PCA_DEVIATIONS = np.array([0.2175, 0.0188, 0.0045], np.float32)
PCA_VECTORS = np.array(
    [[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]], np.float32
)


def random_color(
    key: jax.Array,
    mean: jax.Array,
    *,
    factor_range: tuple[float, float] = (0.5, 1.5),
    lighting: float = 0.1,
) -> tuple[jax.Array, jax.Array]:
    """Draws the brightness, contrast, color and lighting change of one image.

    Each of the first three blends the image with another by a factor f drawn uniformly from
    `factor_range`, f * image + (1 - f) * other; the other is black for brightness, the mean gray
    of the image for contrast, and the gray image for color. Lighting then adds
    PCA_VECTORS @ (a * PCA_DEVIATIONS), a drawn from N(0, lighting). Howard applies the three in
    random order; as nothing is clipped between them and color leaves gray as it is, every order
    gives the same image, and all four are one matrix and one offset.

    Args:
        key: a JAX random key.
        mean: mean color of the image, [3], float32, on the scale where white is 1.
        factor_range: smallest and largest factor; (1, 1) leaves colors as they are.
        lighting: standard deviation of the lighting's coefficients; 0 turns it off.

    Returns:
        matrix [3, 3] and offset [3], float32; the new image is `transform_color(image, matrix,
        offset)`. Values may leave [0, 1]; they are not clipped.

    Example:
        >>> matrix, offset = random_color(
        ...     jax.random.key(0), jnp.ones(3), factor_range=(1, 1), lighting=0)
        >>> bool((matrix == jnp.eye(3)).all()), offset.tolist()
        (True, [0.0, 0.0, 0.0])

    Source: section 5.1 of the paper, after Howard 2013 (factors) and Krizhevsky
    et al. 2012 (lighting).
    """
    factor_key, lighting_key = jax.random.split(key)
    low, high = factor_range
    brightness, contrast, color = jax.random.uniform(factor_key, (3,), minval=low, maxval=high)
    to_gray = jnp.broadcast_to(GRAY, (3, 3))
    matrix = brightness * contrast * (color * jnp.eye(3) + (1 - color) * to_gray)
    offset = brightness * (1 - contrast) * to_gray @ mean
    return matrix, offset + PCA_VECTORS @ (
        PCA_DEVIATIONS * lighting * jax.random.normal(lighting_key, (3,))
    )


def transform_color(images: jax.Array, matrix: jax.Array, offset: jax.Array) -> jax.Array:
    """Maps the colors of images: out[d] = sum over c of matrix[d, c] * image[c] + offset[d].

    Args:
        images: [..., H, W, 3], float32.
        matrix: [..., 3, 3], one for each image.
        offset: [..., 3], one for each image.

    Returns:
        [..., H, W, 3], float32.

    Example:
        >>> swap = jnp.array([[0., 0., 1.], [0., 1., 0.], [1., 0., 0.]])
        >>> transform_color(jnp.array([[[1., 2., 3.]]]), swap, jnp.array([0., 0., .5])).tolist()
        [[[3.0, 2.0, 1.5]]]
    """
    matrix, offset = matrix[..., None, None, :, :], offset[..., None, None, :]
    # No matrix product, so that no accelerator rounds it to bfloat16, and three terms instead of a
    # reduction, so that compilers compute all that happens to a pixel in one pass.
    red, green, blue = (matrix[..., c] * images[..., c : c + 1] for c in range(3))
    return red + green + blue + offset
