"""Times `drn_jax.convert` on a large network and measures the memory that it takes.

  python benchmarks/conversion.py
  python benchmarks/conversion.py --variant=drn_c_26

Makes the network's state dict of random numbers and writes it as .pth in PyTorch's format of today
and in that of 2017, and as .safetensors. Converts each to a checkpoint in a process of its own, and
prints for each the seconds without and with the imports, and the peak of the process's resident
memory above what it held after the imports, as a multiple of the file's size. The files come from
the page cache, just written. Needs PyTorch, and Linux for the memory.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np

import drn_jax
from drn_jax import convert
from drn_jax.checkpoints import weight_files
from drn_jax.models import torch_names, variants


def main():
    """Runs the benchmark with the flags of this process."""
    flags = parse_flags()
    if flags.input:
        measure(flags)
        return
    print(f'{"file":26}{"MB":>8}{"seconds":>10}{"with imports":>14}{"peak memory":>13}')
    with tempfile.TemporaryDirectory() as folder:
        for file in write_files(flags.variant, pathlib.Path(folder)):
            start = time.perf_counter()
            result = subprocess.run(
                [sys.executable, __file__, f'--variant={flags.variant}', f'--input={file}'],
                check=True,
                stdout=subprocess.PIPE,
                text=True,
            )
            total = time.perf_counter() - start
            found = json.loads(result.stdout.splitlines()[-1])
            size = file.stat().st_size
            print(
                f'{file.name:26}{size / 1e6:8.1f}{found["seconds"]:10.1f}{total:14.1f}'
                f'{found["bytes"] / size:10.2f} x',
                flush=True,
            )


def parse_flags():
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--variant',
        default='drn_d_105',
        choices=drn_jax.list_models(),
        metavar='NAME',
        help='the network',
    )
    parser.add_argument('--input', metavar='FILE', help='converts only this file, in this process')
    return parser.parse_args()


def write_files(variant, folder):
    """Writes random weights in every format; gives the paths."""
    import torch

    rng = np.random.default_rng(0)
    state_dict = {
        entry.name: rng.standard_normal(entry.shape, np.float32)
        for entry in torch_names.entries(variants.lookup(variant), 1000, 'classification')
    }
    files = [
        folder / f'{variant}.pth',
        folder / f'{variant}_2017.pth',
        folder / f'{variant}.safetensors',
    ]
    weight_files.write(files[0], state_dict)
    torch.save(
        {name: torch.from_numpy(value) for name, value in state_dict.items()},
        files[1],
        _use_new_zipfile_serialization=False,
    )
    weight_files.write(files[2], state_dict)
    return files


def measure(flags):
    """Converts one file and prints seconds and bytes as JSON."""
    if not flags.input.endswith(weight_files.SAFETENSORS):
        import torch  # noqa: F401  (its memory is that of an import)
    before, start = resident_bytes('VmRSS'), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        convert.main(
            [
                f'--variant={flags.variant}',
                f'--input={flags.input}',
                f'--output={folder}/checkpoint',
            ]
        )
        seconds = time.perf_counter() - start
    # Not getrusage, whose ru_maxrss begins with that of the process which started this one.
    peak = resident_bytes('VmHWM')
    print(json.dumps({'seconds': seconds, 'bytes': peak - before}))


def resident_bytes(field):
    """Returns the resident memory of this process: VmRSS is what it holds now, VmHWM its peak."""
    status = pathlib.Path('/proc/self/status').read_text()
    return 1024 * int(status.partition(f'{field}:')[2].split()[0])


if __name__ == '__main__':
    main()
