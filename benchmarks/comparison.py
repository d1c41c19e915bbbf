"""Compares networks that are trained alike: errors, boxes, grids and segmentation, over seeds.

  python benchmarks/comparison.py
  python benchmarks/comparison.py --seeds 0 1 2 3 4 5 6 7 8 9 --stages classification
  python benchmarks/comparison.py --ways
  python benchmarks/comparison.py --config=digit_scenes_192 --workers=2

Trains ResNet-18, DRN-A-18, DRN-B-26 and DRN-C-26 on digit_scenes (`configs/digit_scenes.py`),
evaluates each with --task=localization, trains a segmentation network from it
(`configs/digit_scenes_segmentation.py`), and puts all numbers into `results/`, whose tables it
prints and `benchmarks/tables.py` puts into the documentation. --ways compares ways against gridding
instead, at equal depth and width: DRN-A-18 with every `config.model.degridding`.

One network takes some six minutes of one core for every seed. Started again, it goes on where it
was stopped. --workers=2 trains two at a time, on half of the cores each, which is faster than one
after the other.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import queue
import shutil
import subprocess
import sys
import time

import results
import tables

from drn_jax import flag_types

DATA = {'digit_scenes': 'digit_scenes', 'digit_scenes_192': 'digit_scenes/192'}  # of configs
STAGES = ('classification', 'localization', 'segmentation')


def main():
    """Runs the benchmark with the flags of this process."""
    flags = parse_flags()
    free: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    for cores in shares_of_cores(flags.workers):
        free.put(cores)
    with concurrent.futures.ThreadPoolExecutor(flags.workers) as pool:

        def stop(run):
            """Ends the comparison with a run that failed, before its worker takes the next."""
            if not run.cancelled() and run.exception():
                pool.shutdown(wait=False, cancel_futures=True)

        runs = [
            pool.submit(measure, flags, network, seed, free)
            for seed in flags.seeds
            for network in flags.networks
        ]
        for run in runs:
            run.add_done_callback(stop)
        try:
            for run in concurrent.futures.as_completed(runs):
                run.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    rows = results.read(results.file_of(DATA[flags.config]))
    found = results.by_network(rows, flags.networks, flags.seeds)
    print('\n' + tables.comparison(found) + '\n' + tables.spread(found), sep='\n')


def parse_flags():
    """Reads the flags that say what is compared, and where."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--runs',
        type=pathlib.Path,
        default=pathlib.Path('runs/comparison'),
        metavar='DIR',
        help='of the runs; what is done there is not done again',
    )
    parser.add_argument(
        '--config',
        default='digit_scenes',
        choices=tuple(DATA),
        help='of classification; segmentation has the same with _segmentation',
    )
    parser.add_argument(
        '--networks',
        nargs='+',
        default=tables.NETWORKS,
        metavar='NAME',
        help='as drn_c_26, or drn_a_18+smooth for another way against gridding',
    )
    parser.add_argument('--ways', dest='networks', action='store_const', const=tables.WAYS)
    parser.add_argument('--seeds', type=int, nargs='+', default=tables.SEEDS, metavar='N')
    parser.add_argument('--stages', nargs='+', default=STAGES, choices=STAGES)
    parser.add_argument(
        '--workers', type=flag_types.positive, default=1, metavar='N', help='runs at a time'
    )
    return parser.parse_args()


def shares_of_cores(workers):
    """Shares the cores of this machine out; None where there is nothing to share.

    Example:
        >>> shares_of_cores(1)
        [None]
    """
    if workers == 1 or not hasattr(os, 'sched_getaffinity') or not shutil.which('taskset'):
        return [None] * workers
    cores = sorted(os.sched_getaffinity(0))
    return [','.join(map(str, cores[worker::workers])) or None for worker in range(workers)]


def measure(flags, network, seed, free):
    """Does what is wanted of one network and seed on a share of the cores; keeps the numbers."""
    cores = free.get()
    try:
        for stage in STAGES:
            if stage in flags.stages or stage == 'classification':
                folder = run_folder(flags.runs / flags.config, stage, network, seed)
                run(folder, stage_command(flags, stage, network, seed, folder), cores)
                report = json.loads((folder / 'report.json').read_text())
                commit = (folder / 'commit').read_text() if (folder / 'commit').exists() else ''
                results.add(
                    results.file_of(report['data']['name']),
                    results.of_report(report, network, commit),
                )
    finally:
        free.put(cores)


def run_folder(runs, stage, network, seed):
    """Returns where one run lies, with its `report.json`."""
    return runs / stage / f'{network}_{seed}'


def stage_command(flags, stage, network, seed, folder):
    """Returns the command of one stage: the name in drn_jax and its flags.

    Example:
        >>> flags = argparse.Namespace(runs=pathlib.Path('runs'), config='digit_scenes')
        >>> stage_command(flags, 'localization', 'drn_c_26', 0, pathlib.Path('out'))[1]
        '--checkpoint=runs/digit_scenes/classification/drn_c_26_0'
    """
    classifier = run_folder(flags.runs / flags.config, 'classification', network, seed)
    if stage == 'localization':
        return [
            'evaluate', f'--checkpoint={classifier}', '--task=localization', f'--output={folder}',
        ]  # fmt: skip
    segments = stage == 'segmentation'
    variant, _, degridding = network.partition('+')
    return [
        'main',
        f'--config={results.ROOT / "configs" / flags.config}{"_segmentation" * segments}.py',
        f'--workdir={folder}',
        f'--config.model.variant={variant}',
        *([f'--config.model.degridding={degridding}'] if degridding else []),
        f'--config.seed={seed}',
        *([f'--config.init_from={classifier}'] if segments else []),
    ]


def run(folder, command, cores):
    """Runs a command of drn_jax that writes a report into a folder, unless there is one.

    Args:
        folder: gets the report, what the command prints (`log`), and the commit of the source.
        command: its name and flags.
        cores: those that it may use, as 'taskset -c' takes them; None: all.

    Raises:
        SystemExit: it failed; its last lines are shown.
    """
    if (folder / 'report.json').exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'commit').write_text(results.commit())
    words = [sys.executable, '-m', f'drn_jax.{command[0]}', *command[1:]]
    if cores:
        words = ['taskset', '-c', cores, *words]
    print(f'$ {" ".join(words)}', flush=True)
    started = time.monotonic()
    with (folder / 'log').open('a') as log:
        ended = subprocess.run(words, stdout=log, stderr=subprocess.STDOUT, check=False)
    if ended.returncode:
        last = (folder / 'log').read_text().splitlines()[-3:]
        raise SystemExit('\n'.join([f'status {ended.returncode}, see {folder / "log"}:', *last]))
    print(f'{folder}: {time.monotonic() - started:.0f} s', flush=True)


if __name__ == '__main__':
    results.run(main)
