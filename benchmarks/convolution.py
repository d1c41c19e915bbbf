"""Measures the algorithms for the convolutions of a network, on this machine's first device.

  python benchmarks/convolution.py
  python benchmarks/convolution.py --variant=drn_d_105 --batch=1
  python benchmarks/convolution.py --training
  python benchmarks/convolution.py --width=.25 --size=96 --batch=16 --training

Prints, for each different convolution of stride 1 that is no 1x1, the time with 'native' and how
many times as fast 'phase', 'winograd' and 'strips' are, where they can do it, with the smallest and
the largest ratio over the rounds: each round runs all of them, one after the other, compiled with
the options of the use. Maps are in the layout in which the network hands them from layer to layer
(phases where it is dilated), and kernels are transformed beforehand, unless --training also
computes both gradients. The table in drn_jax/models/convolutions.py starts from this: the
algorithms of a platform in training and in inference, and the `channels` from which on they are
faster. They are settled on whole networks, where 'winograd' on few channels costs more than it does
alone, and much time to compile. DRN-C-26 takes about two minutes on two cores.
"""

import argparse
import functools
import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from drn_jax.models import convolutions, variants
from drn_jax.ops import conv, phases, strips, winograd


def main():
    """Runs the benchmark with the flags of this process."""
    flags = parse_flags()
    print(f'{flags.variant}, {flags.size} px, batch {flags.batch}, on {jax.devices()[0]}')
    print(f'level | map | kernel | channels | dilation | {" | ".join(conv.ALGORITHMS)}')
    for level, side, spec in different(variants.lookup(flags.variant, flags.width), flags.size):
        calls = contenders(spec, side, flags.batch, flags.training)
        seconds = race(calls, flags.rounds)
        cells = [
            ratio(seconds['native'], seconds[name]) if name in seconds else '-'
            for name in conv.ALGORITHMS[1:]
        ]
        print(
            f'{level} | {side} x {side} | {spec.kernel_size} x {spec.kernel_size} | '
            f'{spec.inputs} to {spec.outputs} | {spec.dilation} | '
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
    parser.add_argument('--width', type=float, default=1.0, help='multiple of all channel counts')
    parser.add_argument('--size', type=int, default=224, metavar='PX')
    parser.add_argument('--batch', type=int, default=8)
    parser.add_argument('--rounds', type=int, default=7)
    parser.add_argument('--training', action='store_true', help='with both gradients')
    return parser.parse_args()


def different(table, size):
    """Yields level, side of its map and record of every different convolution of stride 1."""
    seen, stem = set(), table.stem
    levels = [('stem', stem.stride, [stem.expand()])]
    levels += [(level.name, level.stride, blocks) for level, blocks in table.expand()]
    side = size
    for name, stride, blocks in levels:
        side = -(-side // stride)
        for spec in (spec for block in blocks for spec in block.convs):
            shape = (side, spec.kernel_size, spec.inputs, spec.outputs, spec.dilation)
            if spec.kernel_size > 1 and spec.stride == 1 and shape not in seen:
                seen.add(shape)
                yield name, side, spec
        if name == 'stem' and stem.pooled:
            side = -(-side // 2)


def contenders(spec, side, batch, training):
    """Returns the compiled calls by algorithm."""
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.standard_normal((batch, side, side, spec.inputs)), jnp.float32)
    size = spec.kernel_size
    kernel = jnp.asarray(rng.standard_normal((size, size, spec.inputs, spec.outputs)), jnp.float32)
    sorted_images = phases.space_to_batch(images, spec.dilation)
    native = functools.partial(conv.dilated_conv, dilation=spec.dilation)
    found: dict[str, tuple[Callable, jax.Array]] = {'native': (native, images)}
    if spec.dilation > 1:
        found['phase'] = conv.dilated_conv, sorted_images
    if size == 3 and training:
        found['winograd'] = winograd.conv, sorted_images
    if strips.pixels(size, max(spec.inputs, spec.outputs)) > 1:
        found['strips'] = strips.conv, sorted_images
    if training:
        return {
            name: compiled(both_gradients(function), 'training', x, kernel)
            for name, (function, x) in found.items()
        }
    calls = {name: compiled(f, 'inference', x, kernel) for name, (f, x) in found.items()}
    if size == 3:
        points = jax.jit(winograd.transform_kernel)(kernel)
        calls['winograd'] = compiled(winograd.transformed_conv, 'inference', sorted_images, points)
    return calls


def both_gradients(function):
    """Returns the function that computes the convolution and its two gradients."""

    def run(x, kernel):
        y, backward = jax.vjp(function, x, kernel)
        return y, backward(y)

    return run


def compiled(function, use, *arrays):
    """Compiles a function; gives it with its arguments."""
    run = jax.jit(function, compiler_options=convolutions.compiler_options(use=use))
    return functools.partial(run.lower(*arrays).compile(), *arrays)


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
