"""Compares ways against gridding at equal depth and width, on DRN-A-18.

  python benchmarks/degridding.py
  python benchmarks/degridding.py --runs=runs/comparison --only_table

Trains DRN-A-18 on digit_scenes with every `config.model.degridding` and three seeds each, then
segments from each classifier, as `localization.py` and `segmentation.py` do, whose runs it shares.
Prints a table in Markdown, means and standard deviations over the seeds in percent, and what each
costs. Takes some two hours on two cores; started again, it goes on where it was stopped.

`levels` and `levels_residual` add two levels (a million parameters at a quarter of the width);
`smooth` and `hdc` change the dilated levels themselves.
"""

import localization
import seeds
import segmentation

import drn_jax
from drn_jax.models import variants

NETWORKS = [f'drn_a_18+{name}' for name in variants.DEGRIDDING if name != 'own']
CLASSIFICATION = {
    'top-1 error': 'top1_error',
    'class given, scaled scores': 'scaled/localization_gt_known_error',
    'MaxBoxAcc': 'max_box_acc',
    'PxAP': 'pxap',
    **{f'gridding of {level}': f'gridding/{level}' for level in ('level5', 'level6', 'level8')},
    'gridding of class maps': 'gridding/class_maps',
}
SEGMENTATION = {'mean IoU': 'mean_iou'}


def main():
    """Runs the benchmark with the flags of this process."""
    flags = seeds.parse_flags(__doc__, NETWORKS)
    if not flags.only_table:
        for seed in flags.seeds:
            for network in flags.variants:
                localization.localize(flags.runs, network, seed)
                segmentation.segment(flags.runs, network, seed)
    for columns, reports in (
        (CLASSIFICATION, localization.report),
        (SEGMENTATION, lambda *run: segmentation.workdir(*run) / 'report.json'),
    ):
        paths = {
            network: [reports(flags.runs, network, seed) for seed in flags.seeds]
            for network in flags.variants
        }
        print('\n' + seeds.table(seeds.collect(paths), columns))
    print('\n' + costs(flags.variants))


def costs(networks, width=0.25, size=96):
    """Lays out parameters and multiply-accumulates of one image as a table in Markdown.

    Example:
        >>> print(costs(['drn_a_18+none', 'drn_a_18+smooth']))
        | network | parameters | MACs |
        |---|---|---|
        | drn_a_18+none | 703,386 | 109,819,136 |
        | drn_a_18+smooth | 703,569 | 112,860,416 |
    """
    lines = ['| network | parameters | MACs |', '|---|---|---|']
    for network in networks:
        name, _, degridding = network.partition('+')
        total = drn_jax.models.descriptions.description(
            name, size, 10, width=width, degridding=degridding or 'own'
        ).total
        lines.append(f'| {network} | {total.parameters:,} | {total.multiply_accumulates:,} |')
    return '\n'.join(lines)


if __name__ == '__main__':
    main()
