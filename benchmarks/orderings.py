"""Says which of the paper's orderings of networks hold, with intervals over images and over seeds.

  python benchmarks/comparison.py --config=digit_scenes_192 --workers=2
  python benchmarks/orderings.py --config=digit_scenes_192

Takes the networks that `comparison.py` trained, and counts right and wrong for every validation
image by itself (one to three minutes for each network; kept in `--runs`). The first interval of a
metric is over images: 95 % of 2,000 resamples of the images, the same ones for all networks, of the
mean over seeds 0, 1 and 2, which the tables have. The second is over seeds: Student's, and Welch's
for differences. An ordering holds, or is contradicted, where both intervals of the difference lie
on one side of 0; else it is undecided. Segmentation counts where all seeds of a network were
trained.
"""

import argparse
import dataclasses
import itertools
import pathlib

import comparison
import jax
import numpy as np
import results
import tables
import verdicts

from drn_jax import checkpoints, experiments, files
from drn_jax.distributed import meshes
from drn_jax.errors import InputError
from drn_jax.reporting import reports
from drn_jax.training import evaluation

RESAMPLES = 2000


def main():
    """Runs the benchmark with the flags of this process."""
    flags = parse_flags()
    measured = {
        network: [measure(flags, network, seed) for seed in tables.SEEDS]
        for network in tables.NETWORKS
    }
    data = comparison.DATA[flags.config]
    results.add(results.file_of(data), rows_of(measured, data))
    print(tables.intervals(data))
    print(f'\n{tables.orderings(data)}')


def parse_flags():
    """Reads the flags of this process."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--runs', type=pathlib.Path, default=pathlib.Path('runs/comparison'), metavar='DIR'
    )
    parser.add_argument('--config', default='digit_scenes_192', choices=tuple(comparison.DATA))
    return parser.parse_args()


def measure(flags, network, seed):
    """Returns the metrics of one trained network on resampled images, {name: [RESAMPLES]}."""
    resampled: dict[str, np.ndarray] = {}
    for stage, task in (('classification', 'localization'), ('segmentation', 'segmentation')):
        folder = comparison.run_folder(flags.runs / flags.config, stage, network, seed)
        if not (folder / 'report.json').exists():
            if stage == 'segmentation':
                print(f'{folder} has no report; segmentation by {network} does not count')
                continue
            raise InputError(
                f'{folder} has no report; first run benchmarks/comparison.py '
                f'--config={flags.config} --runs={flags.runs}',
                path=folder,
            )
        report, counts = counts_of_run(folder, task)
        drawn = resample(report, counts)
        resampled |= {
            name: np.array([each.get(name, np.nan) for each in drawn]) for name in drawn[0]
        }
    return resampled


def counts_of_run(folder, task_name):
    """Opens a run and counts what a task counts, for every validation image by itself.

    Args:
        folder: of the run; the counts are kept there, in `image_counts.npz`.
        task_name: 'localization' of a classifier, or 'segmentation'.

    Returns:
        `Task.report` of the evaluated task, and what `image_counts` returns.
    """
    checkpoint = checkpoints.open(folder, overrides=['--config.mesh.devices=1'])
    checkpoint.config.task = task_name
    experiment = experiments.resolve(checkpoint.config, trained=True)
    checkpoint = checkpoint._replace(model=experiment.task.model)
    variables = checkpoint.read_variables(meshes.replicated(experiment.mesh))
    experiment, _ = evaluation.calibrate(experiment, variables)
    path = folder / 'image_counts.npz'
    if not path.exists():
        counts = image_counts(experiment, variables)
        with files.replacing(path) as partial, open(partial, 'wb') as file:
            np.savez(file, allow_pickle=False, **counts)
    return experiment.task.report, dict(np.load(path))


def image_counts(experiment, variables):
    """Counts what a task counts, for every validation image by itself.

    Args:
        experiment: the task, its data and one device.
        variables: those of the network.

    Returns:
        {name: [N] or [N, ...], int64}, whose sums are those of `evaluation.evaluator`.
    """
    task, found = experiment.task, list[dict[str, np.ndarray]]()
    count = jax.jit(task.counts)
    wanted = {*task.batch_keys, *task.optional_keys, 'mask'} - {'image'}

    def take(batch, predictions):
        for row in np.flatnonzero(batch['mask']):
            one = {name: values[row : row + 1] for name, values in batch.items() if name in wanted}
            predicted = jax.tree.map(lambda values, row=row: values[row : row + 1], predictions)
            counts = dict(count(predicted, one))
            if task.host_counts:
                needed = {key: predicted[key] for key in task.host_keys}
                counts |= task.host_counts(needed, {**one, 'image': batch['image'][row : row + 1]})
            found.append(jax.tree.map(np.asarray, counts))

    # Here every image counts by itself, so all of them need not be counted together on the host.
    alone = dataclasses.replace(experiment, task=task._replace(host_counts=None))
    evaluation.evaluator(alone, take=take)(variables)
    return {name: np.stack([each[name] for each in found]).astype(np.int64) for name in found[0]}


def resample(report, counts, number=RESAMPLES):
    """Makes the metrics of images that are drawn anew, with replacement.

    Args:
        report: {name: sum} -> metrics.
        counts: {name: [N, ...]}, of every image.
        number: of draws; draw k takes the same images for equal N.

    Returns:
        A list of `number` dicts of metrics.

    Example:
        >>> draws = resample(lambda summed: {'rate': summed['right'] / summed['examples']},
        ...                  {'examples': np.ones(4, int), 'right': np.array([1, 1, 1, 0])}, 500)
        >>> rates = [draw['rate'] for draw in draws]
        >>> sorted(set(rates)), abs(float(np.mean(rates)) - .75) < .05
        ([0.0, 0.25, 0.5, 0.75, 1.0], True)
    """
    images = len(counts['examples'])
    times = np.random.RandomState(0).multinomial(images, np.full(images, 1 / images), number)
    flat = {name: values.reshape(images, -1) for name, values in counts.items()}
    sums = {name: times @ values for name, values in flat.items()}
    return [
        report(
            {
                name: sums[name][draw].reshape(counts[name].shape[1:])
                if counts[name].ndim > 1
                else int(sums[name][draw, 0])
                for name in counts
            }
        )
        for draw in range(number)
    ]


def rows_of(measured, data):
    """Returns the bounds of 95 % intervals over images: of means over the seeds, and differences.

    Args:
        measured: {network: list of what `measure` returns, one for each seed}.
        data: for the rows.
    """
    device = f'1 x {jax.devices()[0].device_kind}'
    origin = results.commit(), results.versions_of(reports.versions()), device
    draws = {
        network: {
            metric: np.mean([run[metric] for run in runs], 0)
            for metric in runs[0]
            if all(metric in run for run in runs)
        }
        for network, runs in measured.items()
    }
    for first, second in itertools.permutations(measured, 2):
        draws[verdicts.pair_of(first, second)] = {
            metric: draws[first][metric] - draws[second][metric]
            for metric in draws[first]
            if metric in draws[second]
        }
    return [
        results.Row(name, data, verdicts.ALL, metric + end, float(f'{bound:.6g}'), *origin)
        for name, metrics in draws.items()
        for metric, values in metrics.items()
        if metric in tables.COLUMNS.values()
        for end, bound in zip((verdicts.LOW, verdicts.HIGH), np.percentile(values, [2.5, 97.5]))
    ]


if __name__ == '__main__':
    results.run(main)
