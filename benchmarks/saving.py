"""Measures what saving costs a run, and whether hundreds of saves leave anything behind.

  python benchmarks/saving.py                  # the embedded default, configs/digit_scenes.py
  python benchmarks/saving.py --steps=150      # a part of it
  python benchmarks/saving.py --saves=300      # only saves, of its network

The first trains by the configuration's own intervals and adds up how long the loop waited for
`Checkpoints` (saves, metrics, the last wait), beside the time of training, evaluation included;
wanted is a share of at most 2 %. The second saves again and again and prints resident memory, open
files and threads after every tenth of the saves; after the first three tenths they should stay
within what malloc scatters, some 10 MiB up or down.
"""

import argparse
import ctypes
import os
import tempfile
import threading
import time

import jax

from drn_jax import experiments, recipes, tasks
from drn_jax.checkpoints import manager
from drn_jax.distributed import meshes
from drn_jax.training import loop, states

WANTED = 0.02


def main():
    """Runs the benchmark with the flags of this process."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--steps', type=int, default=0, help='0: as the configuration says')
    parser.add_argument('--saves', type=int, default=0, help='saves alone, so many')
    flags = parser.parse_args()
    config = recipes.digit_scenes()
    config.steps = flags.steps
    with tempfile.TemporaryDirectory() as workdir:
        if flags.saves:
            save_again_and_again(config, workdir, flags.saves)
        else:
            train(config, workdir)


def train(config, workdir):
    """Trains and prints the share of the time that the loop waited for checkpoints."""
    waited, calls, began = [], [], time.monotonic()

    def timed(name):
        method = getattr(manager.Checkpoints, name)

        def call(*args, **kwargs):
            start = time.monotonic()
            try:
                return method(*args, **kwargs)
            finally:
                waited.append(time.monotonic() - start)
                calls.append(name)

        return call

    class Timed(manager.Checkpoints):
        """Checkpoints that note how long the loop waits for them."""

        save, add_metrics, __exit__ = map(timed, ('save', 'add_metrics', '__exit__'))

    manager.Checkpoints = Timed
    loop.train(experiments.resolve(config), workdir)
    total = time.monotonic() - began
    share = sum(waited) / total
    print(
        f'\n{calls.count("save")} saves: the loop waited {sum(waited):.2f} s of {total:.1f} s, '
        f'{share:.2%} (start and compiling included); wanted: at most {WANTED:.0%}'
    )


def save_again_and_again(config, workdir, saves):
    """Saves a state many times and prints what the process holds."""
    config.model.num_classes = 10
    mesh = meshes.create_mesh()
    optimizer = states.create_optimizer(config.optimizer, 0.1)
    state = states.initialize(tasks.create_network(config), optimizer, jax.random.key(0), mesh)
    print('saves | resident MiB | open files | threads')
    with manager.Checkpoints(workdir, config) as saved:
        for number in range(1, saves + 1):
            saved.save(state.replace(step=jax.device_put(number, state.step.sharding)))
            saved.add_metrics(number, {'top1_error': 1 / number})
            if number % max(saves // 10, 1) == 0:
                print(
                    f'{number} | {resident() / 2**20:.0f} | {open_files()} | '
                    f'{threading.active_count()}',
                    flush=True,
                )


def resident():
    """Returns the resident memory of this process in bytes, without what is only free in malloc."""
    ctypes.CDLL(None).malloc_trim(0)
    with open('/proc/self/statm') as file:
        return int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE')


def open_files():
    """Returns how many file descriptors this process holds."""
    return len(os.listdir('/proc/self/fd'))


if __name__ == '__main__':
    main()
