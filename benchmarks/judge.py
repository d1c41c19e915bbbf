"""Compares the judge of generated streets with the same protocol done by PyTorch, on the processor.

  python benchmarks/judge.py
  python benchmarks/judge.py --variant=drn_d_105 --rounds=3

Needs Linux and PyTorch. Random weights judge 20 generated images of 256 x 512, read from files, by
the protocol gan_compression: `ours` as the command does it, `eager` as the script of the papers
does it, with PyTorch's network in channels last, its transposed convolution and logarithm of
softmax, Pillow's filter in a thread for each class, and NumPy. Their counts of pixels by right and
predicted class are compared first: they differ in less than one in a thousand. Then the two
processes take turns, as in `against_pytorch.py`.

Prints a row: seconds and processor seconds for all images, medians over the rounds with the
smallest and the largest, their ratios, and the peak of the memory above what was held before. Ours
should be 3 times as fast with no more memory. Takes some minutes on two cores.
"""

import argparse
import os
import pathlib
import statistics
import tempfile

from against_pytorch import Workload, write_inputs
from races import Race, compare_answers, summary, table

WANTED = 3.0  # ratio of speeds


def main():
    """Runs the benchmark with the flags of this process."""
    flags = parse_flags()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: flags.threads])  # inherited
    workload = Workload(
        f'{flags.variant}, {flags.images} images of 256 x 512',
        flags.variant,
        'judging',
        flags.images,
        256,
        512,
        19,
        calls=1,
        wanted={},
        warm_calls=0,
    )
    with tempfile.TemporaryDirectory() as name, Race() as race:
        folder = pathlib.Path(name)
        write_inputs(folder, workload, flags)
        for contestant in ('ours', 'eager'):
            race.enter(contestant, folder)
        compare_answers(folder, race.names(), workload.job)
        for _ in range(flags.rounds):
            race.run_round(workload)
    print(f'\n{flags.rounds} rounds, {flags.threads} threads; median (smallest-largest)\n')
    print(table([row(workload, race)]))


def row(workload, race):
    """Returns the cells of the table by column."""
    cells, met = {'workload': workload.title}, True
    for column, of in (('seconds', race.seconds), ('processor seconds', race.processor_seconds)):
        ratios = [theirs / ours for ours, theirs in zip(of['ours'], of['eager'])]
        cells[column] = f'ours {summary(of["ours"])}, eager {summary(of["eager"])}'
        cells[f'ratio of {column}'] = summary(ratios)
        met = met and (column != 'seconds' or statistics.median(ratios) >= WANTED)
    met = met and race.peak_bytes['ours'] <= race.peak_bytes['eager']
    peaks = [f'{name} {peak / 2**20:.0f}' for name, peak in race.peak_bytes.items()]
    return cells | {'peak MiB': ', '.join(peaks), 'met': 'yes' if met else 'no'}


def parse_flags():
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--variant', default='drn_d_22')
    parser.add_argument('--images', type=int, default=20)
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--threads', type=int, default=2, help='and cores')
    parser.add_argument(
        '--channels', type=float, default=1.0, metavar='SHARE', help='to try things out'
    )
    # What `against_pytorch.write_inputs` reads besides.
    parser.set_defaults(size=None, convolution='auto', compiler_option=[])
    return parser.parse_args()


if __name__ == '__main__':
    main()
