"""Measures how long a segmentation network takes for photographs of many sizes.

  python benchmarks/many_sizes.py
  python benchmarks/many_sizes.py --photographs=24 --rounds=3

Every size is a program of its own, which is compiled, unless photographs lie in arrays of few sizes
(`shapes` of `drn_jax/prediction/segmentation.py`). Both ways label the same photographs, all of
different sizes, each in a process of its own that begins with nothing compiled; they take turns.
Printed are the seconds from the first photograph to the last answer, medians over the rounds with
the smallest and the largest, the programs of each way, and the share of the pixels whose labels
differ. Weights are random. Five minutes on two cores.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
from races import summary, table
from startup import write_checkpoint

WAYS = {'own': 'a program for each size', 'shared': 'arrays of few sizes, as predict'}


def main():
    """Runs the benchmark with the flags of this process."""
    flags = parse_flags()
    if flags.way:
        print(json.dumps(label(flags)))
        return
    with tempfile.TemporaryDirectory() as name:
        write_checkpoint(pathlib.Path(name), flags.variant, task='segmentation')
        found: dict[str, list] = {way: [] for way in WAYS}
        for _ in range(flags.rounds):
            for way in WAYS:
                found[way].append(run(way, name))
        own, shared = (np.load(pathlib.Path(name) / f'{way}.npy') for way in WAYS)
    rows = [
        {
            f'{flags.photographs} photographs, {flags.variant}': WAYS[way],
            'programs': str(rounds[-1]['programs']),
            'seconds': summary([each['seconds'] for each in rounds]),
        }
        for way, rounds in found.items()
    ]
    print(f'{table(rows)}\n\nLabels differ in {(own != shared).mean():.1e} of the pixels.')


def parse_flags():
    """Reads the flags of this process."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--variant', default='drn_d_22', metavar='NAME')
    parser.add_argument('--photographs', type=int, default=100, metavar='N')
    parser.add_argument('--least', type=int, default=300, metavar='PX', help='of both sides')
    parser.add_argument('--most', type=int, default=640, metavar='PX', help='of both sides')
    parser.add_argument('--rounds', type=int, default=1, metavar='N')
    parser.add_argument('--way', choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument('--folder', help=argparse.SUPPRESS)
    flags = parser.parse_args()
    sizes = (flags.most - flags.least + 1) ** 2 if 0 < flags.least <= flags.most else 0
    if not 0 < flags.photographs <= sizes:
        parser.error(
            f'--photographs={flags.photographs} is not from 1 to {sizes}, as sizes there are'
        )
    return flags


def run(way, folder):
    """Labels the photographs in a process of its own; gives its seconds and programs."""
    ended = subprocess.run(
        [sys.executable, __file__, *sys.argv[1:], f'--way={way}', f'--folder={folder}'],
        env={**os.environ, 'JAX_ENABLE_COMPILATION_CACHE': 'false'},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return json.loads(ended.stdout.strip().rpartition('\n')[2])


def label(flags):
    """Labels the photographs in this process and keeps the labels, one after the other."""
    import drn_jax
    from drn_jax.prediction import segmentation

    if flags.way == 'own':
        segmentation.OWN_SHAPES = flags.photographs
    folder = pathlib.Path(flags.folder)
    predict = drn_jax.Predictor(folder / 'checkpoint')
    photographs = draw(flags)
    started = time.perf_counter()
    labels = [predict(photograph).labels.ravel() for photograph in photographs]
    seconds = time.perf_counter() - started
    sizes = [photograph.shape[:2] for photograph in photographs]
    shapes = [predict.task.shape_of(*size) for size in sizes]
    # An array that is filled is another program than one that is not.
    programs = {(shape, shape == size) for shape, size in zip(shapes, sizes)}
    np.save(folder / f'{flags.way}.npy', np.concatenate(labels))
    return {'seconds': seconds, 'programs': len(programs)}


def draw(flags):
    """Draws photographs of blocks and noise, all of different sizes."""
    rng = np.random.default_rng(0)
    sizes: dict[tuple[int, int], None] = {}
    while len(sizes) < flags.photographs:
        height, width = (int(side) for side in rng.integers(flags.least, flags.most + 1, 2))
        sizes[height, width] = None
    photographs = []
    for height, width in sizes:
        blocks = rng.integers(0, 256, (-(-height // 32), -(-width // 32), 3))
        image = np.kron(blocks, np.ones((32, 32, 1)))[:height, :width]
        photographs.append((image + rng.normal(0, 20, image.shape)).clip(0, 255).astype(np.uint8))
    return photographs


if __name__ == '__main__':
    main()
