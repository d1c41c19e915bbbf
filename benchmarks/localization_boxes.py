"""Compares what boxes cost with what the network's forward pass costs.

  python benchmarks/localization_boxes.py
  python benchmarks/localization_boxes.py --variant=drn_d_22 --batch_size=32 --dtype=bfloat16

Two compiled functions take turns, round after round:

  forward  from images to class maps, all levels of the network
  boxes    from these maps [B, h, w, classes] to the boxes of the five best classes of every image
           at 100 thresholds, in the original image's pixels, as `drn_jax.tasks.localization` finds
           them; one row for each rule, the paper's and the scaled score

Prints the milliseconds of a call (median of the rounds, and the range), its share of the forward
pass, and the memory beside arguments and results as XLA's compiler plans it.
"""

import argparse
import functools
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np

import drn_jax
from drn_jax.ops import boxes
from drn_jax.tasks import localization_metrics

CLASSES_OF_AN_IMAGE = 5
THRESHOLDS = 100


def main():
    """Runs the benchmark with the flags of this process."""
    flags = parse_flags()
    functions = compile_all(flags)
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for number in range(flags.rounds + 1):
        for name, (function, arguments) in functions.items():
            start = time.perf_counter()
            jax.block_until_ready(function(*arguments))
            if number:  # the first round warms up
                seconds[name].append(time.perf_counter() - start)
    device = jax.devices()[0].device_kind
    print(
        f'{flags.variant}, batch {flags.batch_size}, {flags.size} px, {flags.dtype}, '
        f'on {device}, median of {flags.rounds} rounds'
    )
    print(f'{"":16}{"ms":>10}{"range":>20}{"share":>9}{"planned MiB":>13}')
    forward = statistics.median(seconds['forward'])
    for name, (function, _) in functions.items():
        middle = statistics.median(seconds[name])
        spread = f'{1e3 * min(seconds[name]):.2f}-{1e3 * max(seconds[name]):.2f}'
        planned = function.memory_analysis().temp_size_in_bytes / 2**20
        print(f'{name:16}{1e3 * middle:10.2f}{spread:>20}{middle / forward:9.2%}{planned:13.1f}')


def parse_flags():
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--variant', default='drn_c_26', choices=drn_jax.list_models(), metavar='NAME'
    )
    parser.add_argument('--batch_size', type=int, default=8)
    parser.add_argument('--size', type=int, default=224, help='pixels a side')
    parser.add_argument('--width', type=float, default=1.0, help='multiple of all channel counts')
    parser.add_argument('--dtype', default='float32', choices=('float32', 'bfloat16'))
    parser.add_argument('--classes', type=int, default=1000)
    parser.add_argument('--rounds', type=int, default=7)
    return parser.parse_args()


def compile_all(flags):
    """Returns {name: (compiled function, its arguments)}, the forward pass first."""
    model = drn_jax.create_model(
        flags.variant, num_classes=flags.classes, width=flags.width, dtype=flags.dtype
    )
    rng = np.random.default_rng(0)
    images = jnp.asarray(
        rng.normal(size=(flags.batch_size, flags.size, flags.size, 3)).astype(np.float32)
    )
    variables = jax.jit(model.init)(jax.random.key(0), images[:1])
    forward = (
        jax.jit(functools.partial(model.apply, method='class_maps'))
        .lower(variables, images)
        .compile()
    )
    maps = jax.block_until_ready(forward(variables, images))
    geometry = jnp.tile(jnp.array([[375, 500, 256, 341, 16, 58]]), (flags.batch_size, 1))
    functions = {'forward': (forward, (variables, images))}
    for rule in localization_metrics.RULES:
        find = jax.jit(
            functools.partial(
                best_boxes,
                rule,
                localization_metrics.THRESHOLDS[rule][:THRESHOLDS],
                model.table.stride,
            )
        )
        functions[f'boxes, {rule}'] = find.lower(maps, geometry).compile(), (maps, geometry)
    return functions


def best_boxes(rule, thresholds, stride, maps, geometry):
    """Returns the boxes of the best classes of every image, [B, 5, 100, 4], in its pixels."""
    _, classes = jax.lax.top_k(maps.mean((1, 2)), min(CLASSES_OF_AN_IMAGE, maps.shape[-1]))
    rows, columns = localization_metrics.RULES[rule](maps, classes)
    cells, _ = boxes.cell_boxes(rows, columns, thresholds)
    return boxes.image_boxes(cells, stride, geometry)


if __name__ == '__main__':
    main()
