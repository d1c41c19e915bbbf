import jax.numpy as jnp
import numpy as np
import pytest

from drn_jax.ops import phases
from drn_jax.ops.phases import SpaceToBatchMap


def test_phases_by_hand():
    x = jnp.arange(12).reshape(1, 3, 4, 1)
    assert phases.space_to_batch(x, 2)[..., 0].tolist() == [
        [[0, 2], [8, 10]],
        [[1, 3], [9, 11]],
        [[4, 6], [0, 0]],
        [[5, 7], [0, 0]],
    ]


@pytest.mark.parametrize('height, width, dilation', [(8, 12, 4), (5, 7, 2), (3, 9, 4), (4, 4, 1)])
def test_join_undoes_split(height, width, dilation):
    x = jnp.arange(2 * height * width * 3.0).reshape(2, height, width, 3)
    out = phases.batch_to_space(phases.space_to_batch(x, dilation), dilation, height, width)
    np.testing.assert_array_equal(out, x)


def test_inside_marks_the_pixels_of_the_image():
    x = SpaceToBatchMap.of(jnp.ones((2, 3, 4, 1))).sorted(2)
    assert x.inside().sum() == 2 * 3 * 4
    np.testing.assert_array_equal(x.inside(), x.array == 1)  # `split` pads with zeros
    filled = x.map(lambda array: array + 5)
    np.testing.assert_array_equal(filled.zero_outside().array, jnp.where(x.inside(), 6, 0))


def test_nothing_is_outside_where_the_dilation_divides_the_image():
    x = SpaceToBatchMap.of(jnp.ones((2, 8, 4, 1))).sorted(4)
    assert x.inside() is None
    assert x.zero_outside() is x
    assert x.sorted(4) is x


def test_from_one_dilation_to_another():
    images = jnp.arange(35.0).reshape(1, 5, 7, 1)
    x = SpaceToBatchMap.of(images).sorted(2).sorted(4)
    np.testing.assert_array_equal(x.array, phases.space_to_batch(images, 4))
