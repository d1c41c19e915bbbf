import jax
import jax.numpy as jnp
import numpy as np
import pytest

from drn_jax.ops.conv import dilated_conv
from drn_jax.ops.smoothing import smooth


@pytest.mark.parametrize('size', [1, 3, 7])
def test_every_channel_is_convolved_alike(size):
    rng = np.random.default_rng(size)
    x = jnp.asarray(rng.standard_normal((2, 5, 6, 3)), jnp.float32)
    kernel = jnp.asarray(rng.standard_normal((size, size)), jnp.float32)

    def as_convolution(x, kernel):
        return dilated_conv(x, kernel[..., None, None] * jnp.eye(3))

    np.testing.assert_allclose(smooth(x, kernel), as_convolution(x, kernel), atol=1e-5)
    found, wanted = (
        jax.grad(lambda *both: (function(*both) ** 2).sum(), (0, 1))(x, kernel)  # noqa: B023
        for function in (smooth, as_convolution)
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3), found, wanted)


def test_bfloat16_is_summed_in_float32():
    x = jnp.ones((1, 3, 3, 1), jnp.bfloat16).at[0, 1, 1].set(256)  # 256 + 1 is 256 in bfloat16
    found = smooth(x, jnp.ones((3, 3)))
    assert found.dtype == jnp.bfloat16
    assert found[0, 1, 1, 0] == jnp.bfloat16(264)


@pytest.mark.parametrize(
    'x, kernel',
    [
        ((1, 3, 3), (3, 3)),
        ((1, 3, 3, 1), (2, 2)),
        ((1, 3, 3, 1), (3, 1)),
        ((1, 3, 3, 1), (3, 3, 1, 1)),
    ],
)
def test_shapes_that_do_not_fit(x, kernel):
    with pytest.raises(ValueError, match='must be'):
        jax.eval_shape(smooth, jnp.zeros(x), jnp.zeros(kernel))
