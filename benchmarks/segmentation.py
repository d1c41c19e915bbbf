"""Compares how well four networks segment digits.

  python benchmarks/segmentation.py
  python benchmarks/segmentation.py --runs=runs/comparison --only_table

Trains ResNet-18, DRN-A-18, DRN-B-26 and DRN-C-26 with the same configuration,
`configs/digit_scenes_segmentation.py`, and three seeds each. Each starts from its own classifier,
trained by `configs/digit_scenes.py` with the same seed, which `benchmarks/localization.py` trains
too. Prints a table in Markdown: means and standard deviations over the seeds, in percent. Takes
half an hour on two cores after that; started again, it goes on where it was stopped.
"""

import seeds

COLUMNS = {
    'mean IoU': 'mean_iou',
    'pixel accuracy': 'pixel_accuracy',
    'IoU of the background': 'iou/background',
}


def main():
    """Runs the benchmark with the flags of this process."""
    flags = seeds.parse_flags(__doc__)
    if not flags.only_table:
        for seed in flags.seeds:
            for variant in flags.variants:
                segment(flags.runs, variant, seed)
    found = seeds.collect(
        {
            variant: [workdir(flags.runs, variant, seed) / 'report.json' for seed in flags.seeds]
            for variant in flags.variants
        }
    )
    print('\n' + seeds.table(found, COLUMNS))


def segment(runs, variant, seed):
    """Trains one network, if that is not done yet."""
    classifier = seeds.train_classifier(runs, variant, seed)
    if not (workdir(runs, variant, seed) / 'report.json').exists():
        seeds.command(
            'main',
            f'--config={seeds.config_file("digit_scenes_segmentation")}',
            f'--workdir={workdir(runs, variant, seed)}',
            *seeds.network_flags(variant),
            f'--config.seed={seed}',
            f'--config.init_from={classifier}',
        )


def workdir(runs, variant, seed):
    """Returns the working directory of one network."""
    return runs / 'segmentation' / f'{variant}_{seed}'


if __name__ == '__main__':
    main()
