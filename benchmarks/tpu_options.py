"""Sweeps options of the TPU compiler over the whole training step of a network.

  python benchmarks/tpu_options.py --results=tpu_options.jsonl
  python benchmarks/tpu_options.py --topology=v6e:2x4 --limit=32 --limit=64 --option=NAME=VALUE

Compiles the step (pip install 'drn_jax[plan]'; no TPU) without options, with several limits of the
memory on the chip that one operation may take (xla_tpu_scoped_vmem_limit_kib), and with each named
option beside the limit that was best. Every compilation takes minutes. The table of
drn_jax/models/convolutions.py rests on this: to be run anew for every generation and libtpu. Prints
the compiler's estimated cycles, which are a model of the chip and no measurement, temporaries, the
share of peak without collectives and how long compiling took. --results keeps each line when it is
there; the same call goes on with what is missing.
"""

import argparse
import json
import os

import slices

from drn_jax.errors import InputError, one_line
from drn_jax.planning import chips, compiler, estimates

LIMITS_MIB = (20, 24, 32, 40, 48, 64)
LIMIT = 'xla_tpu_scoped_vmem_limit_kib'


def main():
    """Runs the benchmark with the flags of this process."""
    flags = parse_flags()
    compiler.keep_off_accelerators()
    rows = []

    def measure(options):
        rows.append(find_or_compile(flags, options))
        print(line(rows[-1]), flush=True)
        return rows[-1]

    print(
        f'{flags.config}, {flags.images} images on each chip of {flags.topology}, {flags.dtype}, '
        f'libtpu {compiler.libtpu_version()}\n{HEAD}',
        flush=True,
    )
    measure([f'{LIMIT}='])
    for mib in flags.limit or LIMITS_MIB:
        measure([f'{LIMIT}={mib * 1024}'])
    best = best_of(rows)
    for option in flags.option:
        measure([*best['options'], option])
    print(f'fewest cycles:\n{line(best_of(rows))}')


def parse_flags():
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--config', default='configs/drn_c_26.py', metavar='FILE')
    parser.add_argument('--topology', default='v5e:2x4', metavar='NAME')
    parser.add_argument(
        '--limit',
        action='append',
        type=int,
        metavar='MIB',
        help=f'may be given several times (default: {" ".join(map(str, LIMITS_MIB))})',
    )
    parser.add_argument(
        '--option',
        action='append',
        default=[],
        metavar='NAME=VALUE',
        help='may be given several times',
    )
    parser.add_argument('--images', type=int, default=128, help='images on each chip')
    parser.add_argument('--dtype', default='bfloat16', choices=('float32', 'bfloat16'))
    parser.add_argument('--results', metavar='FILE', help='JSON lines, kept between calls')
    return parser.parse_args()


def find_or_compile(flags, options):
    """Returns the row of some options: from --results, else compiled and added there."""
    what = {
        'config': flags.config,
        'topology': flags.topology,
        'images': flags.images,
        'dtype': flags.dtype,
        'libtpu': compiler.libtpu_version(),
        'options': options,
    }
    if flags.results and os.path.exists(flags.results):
        with open(flags.results, encoding='utf-8') as file:
            for row in map(json.loads, file):
                if what.items() <= row.items():
                    return row
    row = what | compiled(flags, options)
    if flags.results:
        with open(flags.results, 'a', encoding='utf-8') as file:
            file.write(json.dumps(row) + '\n')
    return row


def compiled(flags, options):
    """Compiles the step with some options: what a row says of it."""
    tpu_slice = chips.find(flags.topology)
    try:
        program = slices.compiled(flags, tpu_slice, f'--config.compiler_options={tuple(options)}')
    except InputError as error:
        return {'problem': one_line(error, short=True)}
    if program.too_large:
        return {'problem': program.too_large.splitlines()[0][:200]}
    costs = estimates.of_tpu(program, tpu_slice)
    assert costs.cycles  # it fits
    seconds = costs.cycles / tpu_slice.chip.clock_hz
    return {
        'million_cycles': round(costs.cycles / 1e6, 2),
        'temporary_gb': round(program.temporary_bytes / 1e9, 2),
        'peak_fraction': round(program.operations / seconds / tpu_slice.chip.peak_flops, 4),
        'compile_seconds': program.compile_seconds,
        'by_level': {level: round(sum(both) / 1e6, 2) for level, both in costs.by_level.items()},
    }


HEAD = f'{"million cycles":>14}{"temporaries GB":>16}{"of peak":>9}{"compiled s":>12}  options'


def line(row):
    """Lays out a row."""
    options = ', '.join(option for option in row['options'] if not option.endswith('=')) or 'none'
    if 'problem' in row:
        return f'{"-":>14}{"-":>16}{"-":>9}{"-":>12}  {options}: {row["problem"]}'
    return (
        f'{row["million_cycles"]:14.2f}{row["temporary_gb"]:16.2f}'
        f'{100 * row["peak_fraction"]:7.1f} %{row["compile_seconds"]:12.0f}  {options}'
    )


def best_of(rows):
    """Returns the row with the fewest cycles."""
    return min(rows, key=lambda row: row.get('million_cycles', float('inf')))


if __name__ == '__main__':
    main()
