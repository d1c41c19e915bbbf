"""How the input of a network lies in the image that it was made of."""

from typing import Any, NamedTuple


class Geometry(NamedTuple):
    """The image, the image as resized, and where the input starts in the resized image.

    In batches it is packed, int32 [B, 6], in the order of the attributes.

    Attributes:
        height, width: of the image, in pixels: integers, or arrays of them.
        resized_height, resized_width: of the resized image, in pixels.
        top, left: first row and column of the input in the resized image; 0 without a crop.

    Example:
        >>> import numpy as np
        >>> halved = np.array([[500, 1000, 250, 500, 13, 138]])
        >>> Geometry.unpack(halved).left.tolist()
        [138]
    """

    height: Any
    width: Any
    resized_height: Any
    resized_width: Any
    top: Any
    left: Any

    @classmethod
    def unpack(cls, packed: Any) -> 'Geometry':
        """Takes an array [..., 6] of NumPy, JAX or TensorFlow apart: six of shape [...]."""
        return cls(*(packed[..., place] for place in range(len(cls._fields))))
