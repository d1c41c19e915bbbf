"""Times the training step of a network, and its compilation.

  python benchmarks/train_step.py --variant=drn_c_26 --batch_size=8
  python benchmarks/train_step.py --variant=drn_d_22 --variant=drn_c_26 --dtype=bfloat16

Runs the step that training runs, augmentation and update included, on noise that lies on the
devices already. With several variants their steps take turns, round after round, so that their
ratios mean something on a machine that is not quiet. Prints, for each variant, seconds to compile,
images per second (median over the rounds, and the range), and the ratio to the first variant.
"""

import argparse
import statistics
import time

import jax
import numpy as np

import drn_jax
from drn_jax import recipes, tasks
from drn_jax.distributed import meshes
from drn_jax.training import states, steps


def main():
    """Runs the benchmark with the flags of this process."""
    flags = parse_flags()
    runs = []
    for variant in flags.variant or ['drn_c_26']:
        run = Run(variant, flags)
        runs.append(run)
        print(f'{variant}: compiled in {run.compile_seconds:.1f} s', flush=True)
    for _ in range(flags.rounds):
        for run in runs:
            run.time_round(flags.steps)

    device = f'{jax.device_count()} x {jax.devices()[0].device_kind}'
    print(
        f'batch {flags.batch_size}, {flags.size} px, {flags.dtype}, on {device}, '
        f'median of {flags.rounds} rounds of {flags.steps} steps'
    )
    print(f'{"variant":12}{"compile s":>10}{"images/s":>10}{"range":>16}{"ratio":>7}')
    first = statistics.median(runs[0].speeds)
    for run in runs:
        middle = statistics.median(run.speeds)
        spread = f'{min(run.speeds):.2f}-{max(run.speeds):.2f}'
        print(
            f'{run.variant:12}{run.compile_seconds:10.1f}{middle:10.2f}{spread:>16}'
            f'{middle / first:7.2f}'
        )


def parse_flags():
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--variant',
        action='append',
        choices=drn_jax.list_models(),
        metavar='NAME',
        help='a network; may be given several times',
    )
    parser.add_argument('--batch_size', type=int, default=8, help='images a step')
    parser.add_argument('--size', type=int, default=224, help='pixels a side')
    parser.add_argument('--width', type=float, default=1.0, help='multiple of all channel counts')
    parser.add_argument('--dtype', default='float32', choices=('float32', 'bfloat16'))
    parser.add_argument('--classes', type=int, default=1000)
    parser.add_argument('--steps', type=int, default=3, help='steps in a round')
    parser.add_argument('--rounds', type=int, default=5)
    return parser.parse_args()


class Run:
    """The compiled training step of one variant with its state and a batch.

    Args:
        variant: name of the network.
        flags: what `parse_flags` gives.
    """

    def __init__(self, variant, flags):
        config = recipes.classification()
        config.batch_size = flags.batch_size
        model = drn_jax.create_model(
            variant, num_classes=flags.classes, width=flags.width, dtype=flags.dtype
        )
        task, mesh = tasks.kind_of(config).create(config, model), meshes.create_mesh()
        meshes.check_batch_size(flags.batch_size, mesh.devices.size, '--batch_size')
        optimizer = states.create_optimizer(config.optimizer, 0.1)
        self.variant, self._batch_size = variant, flags.batch_size
        self.speeds: list[float] = []
        self._state = states.initialize(model, optimizer, jax.random.key(0), mesh)
        rng = np.random.default_rng(0)
        rows = flags.batch_size
        self._batch = jax.device_put(
            {
                'image': rng.integers(0, 256, (rows, flags.size, flags.size, 3), np.uint8),
                'label': rng.integers(0, flags.classes, rows).astype(np.int32),
                'mask': np.ones(rows, bool),
                'index': np.arange(rows, dtype=np.uint32),
            },
            meshes.batch_sharding(mesh),
        )
        self._key = jax.device_put(jax.random.key(1), meshes.replicated(mesh))
        start = time.perf_counter()
        self._step = (
            steps.train_step(task, optimizer, mesh)
            .lower(self._state, self._batch, self._key)
            .compile()
        )
        self.compile_seconds = time.perf_counter() - start
        self.time_round(1)
        self.speeds.clear()

    def time_round(self, number):
        """Runs some steps and notes the images per second."""
        start = time.perf_counter()
        for _ in range(number):
            self._state, logs = self._step(self._state, self._batch, self._key)
        jax.block_until_ready(logs)
        self.speeds.append(number * self._batch_size / (time.perf_counter() - start))


if __name__ == '__main__':
    main()
