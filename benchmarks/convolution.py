"""Measures the algorithms for the 3x3 convolutions of a network, on this machine's first device.

  python benchmarks/convolution.py
  python benchmarks/convolution.py --variant=drn_d_105 --batch=1
  python benchmarks/convolution.py --training

Prints, for each different convolution of stride 1, the time with 'native' and how many times as
fast 'phase' and 'winograd' are, with the smallest and the largest ratio over the rounds: each round
runs all of them, one after the other. Maps are in the layout in which the network hands them from
layer to layer (phases where it is dilated), and kernels are transformed beforehand, unless
--training also computes both gradients. The table in drn_jax/models/convolutions.py starts from
this: the algorithms of a platform in training and in inference, and the `channels` from which on
they are faster. They are settled on whole networks, where 'winograd' on few channels costs more
than it does alone, and much time to compile. DRN-C-26 takes about two minutes on two cores.
"""

import argparse
import functools
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np

from drn_jax.models import variants
from drn_jax.ops import conv, phases, winograd


def main():
    """Runs the benchmark with the flags of this process."""
    flags = parse_flags()
    print(f'{flags.variant}, {flags.size} px, batch {flags.batch}, on {jax.devices()[0]}')
    print('level | map | channels | dilation | native | phase | winograd')
    for level, side, spec in convolutions(flags.variant, flags.size):
        calls = contenders(spec, side, flags.batch, flags.training)
        seconds = race(calls, flags.rounds)
        cells = [ratio(seconds['native'], seconds[name]) for name in ('phase', 'winograd')]
        print(
            f'{level} | {side} x {side} | {spec.inputs} to {spec.outputs} | {spec.dilation} | '
            f'{1e3 * statistics.median(seconds["native"]):.2f} ms | {" | ".join(cells)}',
            flush=True,
        )


def parse_flags():
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--variant', default='drn_c_26', choices=variants.list_models(), metavar='NAME'
    )
    parser.add_argument('--size', type=int, default=224, metavar='PX')
    parser.add_argument('--batch', type=int, default=8)
    parser.add_argument('--rounds', type=int, default=7)
    parser.add_argument('--training', action='store_true', help='with both gradients')
    return parser.parse_args()


def convolutions(variant, size):
    """Yields level, side of its map and record of every different 3x3 convolution of stride 1."""
    table, seen = variants.lookup(variant), set()
    side = -(-size // (table.stem.stride * (2 if table.stem.pooled else 1)))
    for level, blocks in table.expand():
        side = -(-side // level.stride)
        for spec in (spec for block in blocks for spec in block.convs):
            shape = (side, spec.inputs, spec.outputs, spec.dilation)
            if spec.kernel_size == 3 and spec.stride == 1 and shape not in seen:
                seen.add(shape)
                yield level.name, side, spec


def contenders(spec, side, batch, training):
    """Returns the compiled calls by algorithm."""
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.standard_normal((batch, side, side, spec.inputs)), jnp.float32)
    sorted_images = phases.space_to_batch(images, spec.dilation)
    kernel = jnp.asarray(rng.standard_normal((3, 3, spec.inputs, spec.outputs)), jnp.float32)
    native = functools.partial(conv.dilated_conv, dilation=spec.dilation)
    if training:
        return {
            'native': compiled(both_gradients(native), images, kernel),
            'phase': compiled(both_gradients(conv.dilated_conv), sorted_images, kernel),
            'winograd': compiled(both_gradients(winograd.conv), sorted_images, kernel),
        }
    points = jax.jit(winograd.transform_kernel)(kernel)
    return {
        'native': compiled(native, images, kernel),
        'phase': compiled(conv.dilated_conv, sorted_images, kernel),
        'winograd': compiled(winograd.transformed_conv, sorted_images, points),
    }


def both_gradients(function):
    """Returns the function that computes the convolution and its two gradients."""

    def run(x, kernel):
        y, backward = jax.vjp(function, x, kernel)
        return y, backward(y)

    return run


def compiled(function, *arrays):
    """Compiles a function; gives it with its arguments."""
    return functools.partial(jax.jit(function).lower(*arrays).compile(), *arrays)


def race(calls, rounds):
    """Returns the seconds of every round, by name; the first round is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            jax.block_until_ready(call())
            seconds[name].append(time.perf_counter() - start)
    return {name: times[1:] for name, times in seconds.items()}


def ratio(base, times):
    """Returns how many times as fast it was: median, smallest and largest."""
    ratios = [before / after for before, after in zip(base, times)]
    return f'{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})'


if __name__ == '__main__':
    main()
