"""Estimates what each convolution algorithm costs on a TPU, level by level.

  python benchmarks/tpu_convolutions.py
  python benchmarks/tpu_convolutions.py --algorithm=phase --dilation=4

Compiles the training step of a network (pip install 'drn_jax[plan]') with each algorithm, which
takes minutes and no TPU, and prints the compiler's estimate, in million cycles, forward and
backward together, for every level and for the whole step. The row of 'tpu' in the table of
drn_jax/models/convolutions.py rests on this. What converts between the layouts of two levels
counts for the level that asks for it, but fused operations count for one level only: where two
algorithms are close, --dilation gives one algorithm to the convolutions of one dilation, native to
the others, and the whole step decides.
"""

import argparse

import slices

from drn_jax.models import convolutions
from drn_jax.ops import conv
from drn_jax.planning import chips, compiler, estimates

DEFAULT = 'native', 'phase'
CHOOSE = convolutions.choose


def main():
    """Runs the benchmark with the flags of this process."""
    flags = parse_flags()
    compiler.keep_off_accelerators()
    tpu_slice = chips.find(flags.topology)
    print(
        f'{flags.config}, {flags.images} images on each chip of {tpu_slice.name}, {flags.dtype}, '
        f"'auto' is {convolutions.CHOICES['tpu'].training.dense} and, with dilation, "
        f'{convolutions.CHOICES["tpu"].training.dilated}; million cycles',
        flush=True,
    )
    by_algorithm = {}
    for algorithm in flags.algorithm or DEFAULT:
        costs = estimates.of_tpu(compiled(flags, tpu_slice, algorithm), tpu_slice)
        assert costs.cycles  # it fits
        by_algorithm[algorithm] = {
            level: sum(cycles) / 1e6 for level, cycles in costs.by_level.items()
        } | {'whole step': costs.cycles / 1e6}
        print(f'{algorithm}: {costs.cycles / 1e6:.1f}', flush=True)
    print('\n' + table(by_algorithm))


def parse_flags():
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--config', default='configs/drn_c_26.py', metavar='FILE')
    parser.add_argument('--topology', default='v5e:2x4', metavar='NAME')
    parser.add_argument(
        '--algorithm',
        action='append',
        choices=conv.ALGORITHMS,
        metavar='NAME',
        help='may be given several times: %(choices)s, of which the last takes the '
        f'compiler longest (default: {" ".join(DEFAULT)})',
    )
    parser.add_argument('--images', type=int, default=128, help='images on each chip')
    parser.add_argument('--dtype', default='bfloat16', choices=('float32', 'bfloat16'))
    parser.add_argument('--dilation', type=int, help='of which convolutions alone')
    return parser.parse_args()


def compiled(flags, tpu_slice, algorithm):
    """Compiles the step with an algorithm: a `compiler.Program`."""
    if flags.dilation:
        convolutions.choose = lambda convolution, platform, use, spec, dtype='float32': CHOOSE(
            algorithm if spec.dilation == flags.dilation else 'native', platform, use, spec, dtype
        )
    return slices.compiled(flags, tpu_slice, f'--config.model.convolution={algorithm}')


def table(by_algorithm):
    """Lays out {algorithm: {level: million cycles}}, the cheapest of each level named."""
    lines = [f'{"level":16}' + ''.join(f'{name:>10}' for name in by_algorithm) + '  cheapest']
    for level in next(iter(by_algorithm.values())):
        row = {name: costs[level] for name, costs in by_algorithm.items()}
        lines.append(
            f'{level:16}'
            + ''.join(f'{cycles:10.2f}' for cycles in row.values())
            + f'  {min(row, key=row.__getitem__)}'
        )
    return '\n'.join(lines)


if __name__ == '__main__':
    main()
