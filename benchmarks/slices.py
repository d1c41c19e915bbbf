"""Estimates the time of a training image on TPU slices of growing size, collectives included.

  python benchmarks/slices.py --config=configs/drn_c_26.py --images=128 --dtype=bfloat16
  python benchmarks/slices.py --topology=v5e:2x4 --topology=v5e:16x16

Compiles the training step (pip install 'drn_jax[plan]') for the first and the last slice, with the
same number of images on every chip; that takes minutes for each. Between them only the collectives
differ: for the other slices the program of the first one is taken, with --each they are compiled
too. Prints, for each slice: cycles and milliseconds of a step, those of the collectives, the chip's
time for an image, and its ratio to that on the first slice. drn_jax/planning says what the
estimates rest on.
"""

import argparse

from drn_jax import commands
from drn_jax.planning import chips, compiler, dataset_sizes, estimates

SLICES = tuple(f'v5e:{shape}' for shape in ('2x4', '4x4', '4x8', '8x8', '8x16', '16x16'))


def main():
    """Runs the benchmark with the flags of this process."""
    flags = parse_flags()
    compiler.keep_off_accelerators()
    print(
        f'{flags.config}, {flags.images} images on each chip, {flags.dtype}\n'
        f'{"slice":12}{"chips":>6}{"million cycles":>16}{"step ms":>9}{"collectives ms":>16}'
        f'{"us an image":>13}{"ratio":>7}',
        flush=True,
    )
    tpu_slices = [chips.find(name) for name in flags.topology or SLICES]
    first, each = compiled(flags, tpu_slices[0]), None
    for number, tpu_slice in enumerate(tpu_slices):
        is_compiled = flags.each or number in (0, len(tpu_slices) - 1)
        program = compiled(flags, tpu_slice) if is_compiled and number else first
        costs = estimates.of_tpu(program, tpu_slice, None if is_compiled else tpu_slices[0])
        assert costs.cycles and costs.seconds and costs.collective_seconds is not None  # it fits
        image = costs.seconds / flags.images
        each = each or image
        print(
            f'{tpu_slice.name:12}{tpu_slice.chips:6}{costs.cycles / 1e6:16.1f}'
            f'{1000 * costs.seconds:9.2f}{1000 * costs.collective_seconds:16.2f}'
            f'{1e6 * image:13.1f}{image / each:7.3f}'
            f'{"" if is_compiled else "  program of the first"}',
            flush=True,
        )
    print(estimates.basis(tpu_slices[-1]))


def parse_flags():
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--config', default='configs/drn_c_26.py', metavar='FILE')
    parser.add_argument(
        '--topology',
        action='append',
        metavar='NAME',
        help=f'a slice; may be given several times (default: {" ".join(SLICES)})',
    )
    parser.add_argument('--each', action='store_true', help='compile for every slice')
    parser.add_argument('--images', type=int, default=128, help='images on each chip')
    parser.add_argument('--dtype', default='bfloat16', choices=('float32', 'bfloat16'))
    return parser.parse_args()


def compiled(flags, tpu_slice, *overrides):
    """Compiles the step for a slice: a `compiler.Program`."""
    config = commands.load_config(flags.config, [f'--config.model.dtype={flags.dtype}', *overrides])
    config = compiler.with_batch_size(config, flags.images * tpu_slice.chips)
    devices = compiler.devices_of(tpu_slice)
    return compiler.compile_step(compiler.resolve(config, dataset_sizes.find(config), devices))


if __name__ == '__main__':
    main()
