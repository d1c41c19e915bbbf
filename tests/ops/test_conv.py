import jax.numpy as jnp
import numpy as np
import pytest

from drn_jax.ops.conv import dilated_conv


def image(rows):
    return jnp.asarray(rows, jnp.float32)[None, :, :, None]


def taps(rows):
    return jnp.asarray(rows, jnp.float32)[:, :, None, None]


def test_dilation_spreads_the_taps():
    point = image(
        [[0, 0, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]]
    )
    out = dilated_conv(point, taps([[1, 2, 3], [4, 5, 6], [7, 8, 9]]), dilation=2)
    assert out[0, :, :, 0].tolist() == [
        [9, 0, 8, 0, 7],
        [0, 0, 0, 0, 0],
        [6, 0, 5, 0, 4],
        [0, 0, 0, 0, 0],
        [3, 0, 2, 0, 1],
    ]


@pytest.mark.parametrize(
    'row, want',
    [
        ([1, 2, 3, 4, 5], [210, 432, 54]),
        ([1, 2, 3, 4], [210, 432]),  # 'SAME' would start at the second pixel: 321, 43
    ],
)
def test_stride_starts_at_the_first_pixel(row, want):
    kernel = taps([[0, 0, 0], [1, 10, 100], [0, 0, 0]])
    assert dilated_conv(image([row]), kernel, stride=2)[0, 0, :, 0].tolist() == want


def test_outside_the_image_is_zero():
    out = dilated_conv(image(np.ones((3, 3))), taps(np.ones((3, 3))))
    assert out[0, :, :, 0].tolist() == [[4, 6, 4], [6, 9, 6], [4, 6, 4]]


def test_channels_mix_as_a_matrix_product():
    x = jnp.asarray([[[[1.0, 2.0]]]])
    kernel = jnp.asarray([[[[1.0, 0.0, 3.0], [0.0, 1.0, 4.0]]]])
    assert dilated_conv(x, kernel)[0, 0, 0].tolist() == [1, 2, 11]


@pytest.mark.parametrize(
    'side, stride, dilation',
    [(1, 1, 1), (3, 1, 2), (7, 1, 4), (3, 2, 1), (7, 2, 1), (3, 2, 2), (3, 3, 5)],
)
def test_equals_the_sum_in_its_docstring(side, stride, dilation):
    rng = np.random.default_rng(side + 10 * stride + 100 * dilation)
    x = rng.standard_normal((2, 9, 14, 3)).astype(np.float32)
    kernel = rng.standard_normal((side, side, 3, 4)).astype(np.float32)
    height, width = -(-9 // stride), -(-14 // stride)
    want = np.zeros((2, height, width, 4))
    for h in range(height):
        for w in range(width):
            for i in range(side):
                for j in range(side):
                    y = stride * h + dilation * (i - side // 2)
                    z = stride * w + dilation * (j - side // 2)
                    if 0 <= y < 9 and 0 <= z < 14:
                        want[:, h, w] += x[:, y, z] @ kernel[i, j]
    out = dilated_conv(jnp.asarray(x), jnp.asarray(kernel), stride=stride, dilation=dilation)
    assert out.shape == want.shape
    np.testing.assert_allclose(out, want, atol=2e-5)


def test_keeps_bfloat16():
    out = dilated_conv(jnp.ones((1, 4, 4, 2), jnp.bfloat16), jnp.ones((3, 3, 2, 1), jnp.bfloat16))
    assert out.dtype == jnp.bfloat16
    assert out[0, 1, 1, 0] == 18


@pytest.mark.parametrize(
    'x, kernel, options, text',
    [
        ((4, 4, 1), (3, 3, 1, 1), {}, r'x \(4, 4, 1\) must be \[B, H, W, Cin\]'),
        ((1, 4, 4, 1), (2, 2, 1, 1), {}, r'kernel \(2, 2, 1, 1\) must be square with an odd side'),
        ((1, 4, 4, 1), (1, 3, 1, 1), {}, r'kernel \(1, 3, 1, 1\) must be square with an odd side'),
        ((1, 4, 4, 2), (3, 3, 3, 1), {}, r'reads 3 channels, x \(1, 4, 4, 2\) has 2'),
        ((1, 4, 4, 1), (3, 3, 1, 1), {'stride': 0}, 'stride 0 and dilation 1 must be at least 1'),
        ((1, 4, 4, 1), (3, 3, 1, 1), {'dilation': 0}, 'stride 1 and dilation 0 must be at least 1'),
    ],
)
def test_errors_quote_what_was_given(x, kernel, options, text):
    with pytest.raises(ValueError, match=text):
        dilated_conv(jnp.ones(x), jnp.ones(kernel), **options)


def test_dtypes_must_agree():
    with pytest.raises(ValueError, match='x is bfloat16, kernel is float32; cast one'):
        dilated_conv(jnp.ones((1, 4, 4, 1), jnp.bfloat16), jnp.ones((3, 3, 1, 1)))
