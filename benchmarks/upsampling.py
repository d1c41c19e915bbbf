"""Compares full-resolution scores with the tiles that drn_jax computes instead: memory and time.

  python benchmarks/upsampling.py
  python benchmarks/upsampling.py --height=512 --width=1024 --crop=512

Three jobs, each in a plain form, which upsamples all class scores to the image's pixels first, and
in the form of `drn_jax.tasks.segmentation`:

  argmax  the best class of every pixel of one image
  loss    cross-entropy of a batch of crops
  step    the same with its gradient

Prints the memory above arguments and results as XLA's compiler plans it, the peak of the resident
memory of a process above what it held before the first call, the seconds of a call (the median of
several rounds, in which both forms take turns), and for each the tiled form as a multiple of the
plain one. The answers are compared first: labels are the same, losses and gradients to 1e-6.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax

from drn_jax.ops import resize
from drn_jax.tasks import segmentation

JOBS = ('argmax', 'loss', 'step')
FORMS = ('plain', 'tiled')


def main():
    """Runs the benchmark with the flags of this process."""
    flags = parse_flags()
    if flags.only:
        print(json.dumps(resident(flags)))
        return
    print(
        f'argmax: one image of {flags.height} x {flags.width}; loss, step: {flags.batch} crops '
        f'of {flags.crop} x {flags.crop}; {flags.classes} classes'
    )
    print(f'{"":8}{"":8}{"planned MiB":>12}{"":7}{"resident MiB":>13}{"":7}{"seconds":>9}')
    for job in JOBS:
        forms = {form: compiled(flags, job, form) for form in FORMS}
        compare(job, *(function(*arguments) for function, arguments in forms.values()))
        seconds: dict[str, list[float]] = {form: [] for form in FORMS}
        for _ in range(flags.rounds):
            for form, (function, arguments) in forms.items():
                start = time.perf_counter()
                jax.block_until_ready(function(*arguments))
                seconds[form].append(time.perf_counter() - start)
        columns = {
            form: (planned(function), measured(job, form), statistics.median(seconds[form]))
            for form, (function, _) in forms.items()
        }
        for form in FORMS:
            cells = ''.join(
                f'{number:>{width}.{digits}f} {number / plain:5.2f}x'
                for number, plain, width, digits in zip(
                    columns[form], columns['plain'], (12, 13, 9), (1, 1, 3)
                )
            )
            print(f'{job:8}{form:8}{cells}', flush=True)


def parse_flags():
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--height', type=int, default=1024, help='of the image, in pixels')
    parser.add_argument('--width', type=int, default=2048, help='of the image, in pixels')
    parser.add_argument('--crop', type=int, default=896, help='side of the crops, in pixels')
    parser.add_argument('--batch', type=int, default=1, help='number of crops')
    parser.add_argument('--classes', type=int, default=19)
    parser.add_argument('--rounds', type=int, default=7)
    parser.add_argument('--only', metavar='JOB,FORM', help='prints the resident memory of this')
    return parser.parse_args()


def compiled(flags, job, form):
    """Returns a compiled function and its arguments."""
    height, width = (flags.height, flags.width) if job == 'argmax' else (flags.crop, flags.crop)
    batch = 1 if job == 'argmax' else flags.batch
    rng = np.random.default_rng(0)
    maps = jnp.asarray(
        rng.normal(size=(batch, -(-height // 8), -(-width // 8), flags.classes)).astype(np.float32)
    )
    label = rng.integers(0, flags.classes, (batch, height, width)).astype(np.uint8)
    function = {'argmax': best, 'loss': loss, 'step': jax.value_and_grad(loss)}[job]
    arguments = (maps, {'label': jnp.asarray(label), 'mask': jnp.ones(batch, bool)})
    lowered = jax.jit(function, static_argnums=2).lower(*arguments, form)
    return lowered.compile(), arguments


def best(maps, batch, form):
    """Returns every pixel its best class."""
    height, width = batch['label'].shape[1:]
    if form == 'plain':
        return resize.upsample(maps, height, width).argmax(-1).astype(jnp.uint8)
    return resize.join_rows(
        resize.map_upsampled(
            lambda scores: scores.argmax(-1).astype(jnp.uint8), [maps], height, width, strides=[8]
        ),
        height,
    )


def loss(maps, batch, form):
    """Returns the mean cross-entropy."""
    if form == 'tiled':
        return segmentation.loss(maps, batch)
    scores = resize.upsample(maps, *batch['label'].shape[1:])
    return optax.losses.softmax_cross_entropy(
        scores, jax.nn.one_hot(batch['label'], scores.shape[-1])
    ).mean()


def compare(job, plain, tiled):
    """Stops where both forms do not give the same."""
    tolerance = 0 if job == 'argmax' else 1e-6
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(
            a, b, rtol=tolerance, atol=tolerance * np.abs(b).max()
        ),
        plain,
        tiled,
    )


def planned(function):
    """Returns the MiB that XLA sets aside beside arguments and results."""
    return function.memory_analysis().temp_size_in_bytes / 2**20


def measured(job, form):
    """Returns the MiB of resident memory that a process of its own takes for one call."""
    flags = [flag for flag in sys.argv[1:] if not flag.startswith('--only')]
    result = subprocess.run(
        [sys.executable, __file__, *flags, f'--only={job},{form}'],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return json.loads(result.stdout.splitlines()[-1])


def resident(flags):
    """Returns the MiB by which the peak of resident memory rises in one call."""
    function, arguments = compiled(flags, *flags.only.split(','))
    pathlib.Path('/proc/self/clear_refs').write_text('5')  # the peak so far is forgotten
    before = resident_bytes('VmRSS')
    jax.block_until_ready(function(*arguments))
    return (resident_bytes('VmHWM') - before) / 2**20


def resident_bytes(field):
    """Returns the resident memory of this process: VmRSS is what it holds now, VmHWM its peak."""
    status = pathlib.Path('/proc/self/status').read_text()
    return 1024 * int(status.partition(f'{field}:')[2].split()[0])


if __name__ == '__main__':
    main()
