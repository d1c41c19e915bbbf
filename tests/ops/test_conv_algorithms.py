"""Every algorithm computes the sum in the docstring of `dilated_conv`, and so do its gradients."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from drn_jax import processors
from drn_jax.ops import strips, winograd
from drn_jax.ops.conv import ALGORITHMS, dilated_conv

# (height, width, kernel side, stride, dilation), drawn once: 4 to 33 pixels a side.
RNG = np.random.default_rng(7)
CASES = [
    (*map(int, RNG.integers(4, 34, 2)), side, stride, dilation)
    for stride in (1, 2)
    for dilation in (1, 2, 4)
    for side in (3, 1 + 2 * stride)
]


def taps(x, kernel, stride, dilation):
    """Yields the kernel's taps with the pixels that each of them reads, zero outside."""
    side, (height, width) = len(kernel), x.shape[1:3]
    reach = dilation * (side // 2)
    padded = np.pad(x, ((0, 0), (reach, reach), (reach, reach), (0, 0)))
    for i in range(side):
        for j in range(side):
            rows = slice(i * dilation, i * dilation + height, stride)
            columns = slice(j * dilation, j * dilation + width, stride)
            yield i, j, rows, columns, padded


def reference(x, kernel, stride, dilation):
    return sum(
        padded[:, rows, columns] @ kernel[i, j]
        for i, j, rows, columns, padded in taps(x, kernel, stride, dilation)
    )


def reference_gradients(x, kernel, gradient, stride, dilation):
    of_kernel, of_padded = np.zeros_like(kernel), None
    for i, j, rows, columns, padded in taps(x, kernel, stride, dilation):
        of_padded = np.zeros_like(padded) if of_padded is None else of_padded
        of_kernel[i, j] = np.einsum('bhwc,bhwo->co', padded[:, rows, columns], gradient)
        of_padded[:, rows, columns] += gradient @ kernel[i, j].T
    reach = dilation * (len(kernel) // 2)
    return of_padded[:, reach : reach + x.shape[1], reach : reach + x.shape[2]], of_kernel


def draw(height, width, side, stride):
    rng = np.random.default_rng(height + 100 * width)
    x = rng.standard_normal((2, height, width, 5))
    kernel = rng.standard_normal((side, side, 5, 4))
    gradient = rng.standard_normal((2, -(-height // stride), -(-width // stride), 4))
    return x, kernel, gradient


@pytest.mark.parametrize('height, width, side, stride, dilation', CASES)
@pytest.mark.parametrize('algorithm', ALGORITHMS)
def test_random_shapes(algorithm, height, width, side, stride, dilation):
    if algorithm == 'winograd' and side != 3:
        pytest.skip('takes 3x3 kernels only')
    x, kernel, gradient = draw(height, width, side, stride)
    conv = jax.jit(
        functools.partial(dilated_conv, stride=stride, dilation=dilation, algorithm=algorithm)
    )
    out, backward = jax.vjp(conv, jnp.float32(x), jnp.float32(kernel))
    wanted = reference(x, kernel, stride, dilation)
    bound = 1e-5 if algorithm == 'winograd' else 1e-6
    assert out.shape == wanted.shape
    assert np.abs(out - wanted).max() < bound * np.abs(wanted).max()
    for found, want in zip(
        backward(jnp.float32(gradient)), reference_gradients(x, kernel, gradient, stride, dilation)
    ):
        assert np.abs(found - want).max() < bound * np.abs(want).max()


@pytest.mark.parametrize(
    'algorithm, bound, multiplies',
    [
        ('native', 4e-3, True),
        ('phase', 4e-3, True),
        ('strips', 4e-3, True),
        ('winograd', 6e-3, True),
        ('winograd', 4e-3, False),
    ],
)
def test_bfloat16(algorithm, bound, multiplies, monkeypatch):
    known = frozenset({'avx512_bf16'} if multiplies else {})
    monkeypatch.setattr(processors, 'instructions', lambda: known)
    x, kernel, gradient = (jnp.bfloat16(each) for each in draw(9, 14, 3, 1))
    out, backward = jax.vjp(
        functools.partial(dilated_conv, dilation=2, algorithm=algorithm), x, kernel
    )
    exact = [np.float64(each) for each in (x, kernel, gradient)]
    wanted = [reference(*exact[:2], 1, 2), *reference_gradients(*exact, 1, 2)]
    for found, want in zip([out, *backward(gradient)], wanted):
        assert found.dtype == jnp.bfloat16
        assert np.abs(np.float64(found) - want).max() < bound * np.abs(want).max()


@pytest.mark.parametrize(
    'side, inputs, outputs, length',
    [(7, 3, 16, 2), (7, 3, 4, 8), (3, 4, 4, 4), (3, 8, 2, 2), (3, 16, 16, 1), (5, 1, 1, 1)],
)
@pytest.mark.parametrize('width', [1, 8, 13])
def test_strips_of_whole_numbers_are_exact(side, inputs, outputs, length, width):
    assert strips.pixels(side, max(inputs, outputs)) == length
    rng = np.random.default_rng(0)
    x = rng.integers(-4, 5, (2, 6, width, inputs))
    kernel = rng.integers(-4, 5, (side, side, inputs, outputs))
    out = strips.conv(jnp.float32(x), jnp.float32(kernel))
    np.testing.assert_array_equal(out, reference(x, kernel, 1, 1))


@pytest.mark.parametrize(
    'side, inputs, outputs, dtype, bound',
    [
        (7, 3, 16, 'float32', 1e-6),
        (7, 3, 4, 'float32', 1e-6),
        (7, 3, 16, 'bfloat16', 4e-3),
        (7, 1, 1, 'bfloat16', 4e-3),
        (3, 1, 1, 'bfloat16', 4e-3),
    ],
)
def test_gradients_of_strips(side, inputs, outputs, dtype, bound):
    rng = np.random.default_rng(0)
    shapes = (2, 12, 21, inputs), (side, side, inputs, outputs), (2, 12, 21, outputs)
    arrays = [jnp.asarray(rng.standard_normal(shape), dtype) for shape in shapes]
    _, backward = jax.vjp(strips.conv, *arrays[:2])
    wanted = reference_gradients(*[np.float64(each) for each in arrays], 1, 1)
    for found, want in zip(backward(arrays[2]), wanted):
        assert np.abs(np.float64(found) - want).max() < bound * np.abs(want).max()


def test_winograd_of_many_channels():
    rng = np.random.default_rng(0)
    x, kernel = rng.standard_normal((1, 7, 8, 512)), rng.standard_normal((3, 3, 512, 16))
    out = winograd.conv(jnp.float32(x), jnp.float32(kernel))
    wanted = reference(x, kernel, 1, 1)
    assert np.abs(out - wanted).max() < 1e-5 * np.abs(wanted).max()


@pytest.mark.parametrize('height, width', [(1, 2), (3, 8), (7, 5)])
def test_winograd_of_two_by_two_outputs_is_exact_for_few_digits(height, width, monkeypatch):
    monkeypatch.setattr(processors, 'instructions', lambda: {'avx512_bf16'})
    rng = np.random.default_rng(0)
    x, kernel = rng.integers(-4, 5, (1, height, width, 3)), 4 * rng.integers(-2, 3, (3, 3, 3, 2))
    assert len(winograd.transform_kernel(jnp.bfloat16(kernel), 'bfloat16')) == 16
    out = winograd.conv(jnp.bfloat16(x), jnp.bfloat16(kernel))  # all factors are whole, below 256
    wanted = reference(np.float64(x), np.float64(kernel), 1, 1)
    np.testing.assert_array_equal(np.float32(out), np.float32(jnp.bfloat16(wanted)))


def test_winograd_in_float64():
    x, kernel, _ = draw(9, 10, 3, 1)  # tiles of 1, 2 and 4 outputs
    with jax.enable_x64(True):
        out = winograd.conv(jnp.float64(x[:, :, :7]), jnp.float64(kernel))  # and of 3
        assert out.dtype == jnp.float64
        out = np.asarray(out)
    wanted = reference(x[:, :, :7], kernel, 1, 1)
    assert np.abs(out - wanted).max() < 1e-13 * np.abs(wanted).max()


@pytest.mark.parametrize('shape', [(0, 5, 5, 2), (1, 0, 5, 2), (1, 5, 0, 2)])
@pytest.mark.parametrize('algorithm', ALGORITHMS)
def test_no_images_and_no_pixels(algorithm, shape):
    conv = functools.partial(dilated_conv, dilation=2, algorithm=algorithm)
    out, backward = jax.vjp(conv, jnp.ones(shape), jnp.ones((3, 3, 2, 4)))
    assert out.shape == (*shape[:3], 4)
    of_x, of_kernel = backward(out)
    assert of_x.shape == shape and not of_kernel.any()


@pytest.mark.parametrize('side', [1, 2, 3])
def test_winograd_of_images_smaller_than_a_tile(side):
    x, kernel, _ = draw(side, 5, 3, 1)
    np.testing.assert_allclose(
        winograd.conv(jnp.float32(x), jnp.float32(kernel)), reference(x, kernel, 1, 1), atol=1e-4
    )


@pytest.mark.parametrize('algorithm', ALGORITHMS)
def test_vmap_is_a_loop(algorithm):
    x, kernel, _ = draw(6, 7, 3, 1)
    kernels = jnp.float32(np.stack([kernel, 2 * kernel]))
    conv = functools.partial(dilated_conv, dilation=2, algorithm=algorithm)
    both = jax.vmap(conv, (None, 0))(jnp.float32(x), kernels)
    for out, kernel in zip(both, kernels):
        np.testing.assert_allclose(out, conv(jnp.float32(x), kernel), atol=1e-4)


@pytest.mark.parametrize('algorithm', ALGORITHMS)
def test_devices_that_share_the_batch_give_the_same(algorithm):
    mesh = jax.make_mesh((4,), ('data',), axis_types=(jax.sharding.AxisType.Auto,))
    rows = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec('data'))
    x = jnp.asarray(np.random.default_rng(0).standard_normal((8, 9, 10, 3)), jnp.float32)
    kernel = jnp.asarray(np.random.default_rng(1).standard_normal((3, 3, 3, 4)), jnp.float32)
    conv = jax.jit(functools.partial(dilated_conv, dilation=2, algorithm=algorithm))
    out = conv(jax.device_put(x, rows), kernel)
    assert out.sharding.is_equivalent_to(rows, 4)
    np.testing.assert_allclose(out, conv(x, kernel), atol=1e-4)


def test_phase_and_winograd_programs_have_no_dilated_convolution():
    x, kernel = jnp.ones((1, 8, 8, 3)), jnp.ones((3, 3, 3, 4))

    def program(algorithm):
        conv = functools.partial(dilated_conv, dilation=2, algorithm=algorithm)
        return jax.jit(conv).lower(x, kernel).compile().as_text()

    assert 'rhs_dilate=2x2' in program('native')
    assert 'convolution(' in program('phase') and 'rhs_dilate' not in program('phase')
    assert 'convolution(' not in program('winograd')


def test_unknown_and_unfit_algorithms_are_refused():
    x, kernel = jnp.ones((1, 8, 8, 3)), jnp.ones((5, 5, 3, 4))
    with pytest.raises(ValueError, match="algorithm 'fft' is unknown; known: native, phase"):
        dilated_conv(x, kernel, algorithm='fft')
    with pytest.raises(ValueError, match=r'winograd takes 3x3 kernels, kernel is \(5, 5, 3, 4\)'):
        dilated_conv(x, kernel, algorithm='winograd')
    with pytest.raises(ValueError, match='winograd divides, x is int32; use phase or native'):
        dilated_conv(jnp.int32(x), jnp.int32(kernel[:3, :3]), algorithm='winograd')
