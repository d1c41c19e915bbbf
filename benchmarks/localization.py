"""Compares how well four networks localize digits, without ever having seen a box.

  python benchmarks/localization.py
  python benchmarks/localization.py --runs=runs/comparison --only_table

Trains ResNet-18, DRN-A-18, DRN-B-26 and DRN-C-26 on digit_scenes with the same configuration,
`configs/digit_scenes.py`, and three seeds each, evaluates them with --task=localization, and prints
a table in Markdown: means and standard deviations over the seeds, in percent. Takes an hour or more
on two cores; started again, it goes on where it was stopped.
"""

import seeds

COLUMNS = {
    'top-1 error': 'top1_error',
    'localization, top-1': 'localization_top1_error',
    'class given': 'localization_gt_known_error',
    'class given, scaled scores': 'scaled/localization_gt_known_error',
    'MaxBoxAcc': 'max_box_acc',
    'PxAP': 'pxap',
    'gridding of class maps': 'gridding/class_maps',
}
BASELINES = {
    'centered box': 'centred_box/localization_gt_known_error',
    'whole image': 'whole_image/localization_gt_known_error',
}


def main():
    """Runs the benchmark with the flags of this process."""
    flags = seeds.parse_flags(__doc__)
    if not flags.only_table:
        for seed in flags.seeds:
            for variant in flags.variants:
                localize(flags.runs, variant, seed)
    found = seeds.collect(
        {
            variant: [report(flags.runs, variant, seed) for seed in flags.seeds]
            for variant in flags.variants
        }
    )
    print('\n' + seeds.table(found, COLUMNS))
    for name, metric in BASELINES.items():
        values = [each[metric] for metrics in found.values() for each in metrics]
        print(f'{name}, class given: {seeds.cell(values[:1])} % error')


def localize(runs, variant, seed):
    """Trains and evaluates one network, if that is not done yet."""
    workdir = seeds.train_classifier(runs, variant, seed)
    path = report(runs, variant, seed)
    if not path.exists():
        seeds.command(
            'evaluate', f'--checkpoint={workdir}', '--task=localization', f'--output={path.parent}'
        )


def report(runs, variant, seed):
    """Returns where the report of one network lies."""
    return runs / 'localization' / f'{variant}_{seed}' / 'report.json'


if __name__ == '__main__':
    main()
