"""Measures the seconds from a command to its first answer, and what they go into.

  python benchmarks/startup.py
  python benchmarks/startup.py --variant=drn_d_22 --rounds=3
  python benchmarks/startup.py --checkpoint=runs/drn_c_26 photograph.jpg

Runs `python -m drn_jax.predict` on one photograph, by default one of scikit-learn's with random
weights. Cold, nothing is kept from earlier runs (DRN_JAX_CACHE is an empty directory) and programs
are compiled; warm, they are found there. Then the parts, each in the same process after the one
above it: Python with the package's imports, opening the checkpoint, the first answer, which
compiles or reads the program, and the next answer; then the last three for many photographs, in
the form that answers fastest and takes longer to compile. Last, in a process of its own, what makes
the network in that form a program for 8 images of 224 px: tracing and compiling. Medians over the
rounds, with the smallest and the largest, of wall seconds and of processor seconds.
"""

import argparse
import json
import os
import pathlib
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

PARTS = ('imports', 'checkpoint', 'first answer', 'next answer')
FOR_MANY = tuple(f'{part}, many' for part in PARTS[1:])
PROGRAM = 'tracing', 'compiling', 'tracing and compiling'
IMAGES = 8, 224, 224, 3


def main():
    """Runs the benchmark with the flags of this process."""
    flags = parse_flags()
    if flags.of:
        measure = parts if flags.of == 'parts' else program
        print(json.dumps(measure(flags.checkpoint, flags.photograph)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        checkpoint = flags.checkpoint or write_checkpoint(folder, flags.variant)
        photograph = flags.photograph or write_photograph(folder / 'photograph.png')
        print(f'{"":24}{"seconds":>24}{"processor seconds":>24}')
        for state in ('cold', 'warm'):
            command = [
                '-m', 'drn_jax.predict', f'--checkpoint={checkpoint}', str(photograph),
                f'--output={folder / "predictions"}', '--overwrite',
            ]  # fmt: skip
            cache = folder / 'cache of predict'
            runs = [run(cache, state, command)[1:] for _ in range(flags.rounds)]
            tell(f'predict, {state}', *zip(*runs))
            for of, names in (('parts', PARTS + FOR_MANY), ('program', PROGRAM)):
                command = [__file__, f'--of={of}', f'--checkpoint={checkpoint}', str(photograph)]
                cache = folder / f'cache of {of}'  # whose programs may be others
                found = [json.loads(run(cache, state, command)[0]) for _ in range(flags.rounds)]
                for name in names:
                    tell(f'  {name}', *zip(*[each[name] for each in found]))


def parse_flags():
    """Reads the flags of this process."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--variant', default='drn_c_26', metavar='NAME', help='of random weights')
    parser.add_argument('--checkpoint', metavar='DIR', help='another network')
    parser.add_argument('--rounds', type=int, default=5, metavar='N')
    parser.add_argument('--of', choices=('parts', 'program'), help=argparse.SUPPRESS)
    parser.add_argument('photograph', nargs='?')
    return parser.parse_args()


def run(cache, state, command):
    """Runs Python in a process of its own; gives what it prints, its seconds, wall and processor.

    Args:
        cache: a folder of compiled programs.
        state: 'cold' begins with an empty one.
        command: what follows `python`.
    """
    if state == 'cold':
        shutil.rmtree(cache, ignore_errors=True)
    before, started = processor_seconds(resource.RUSAGE_CHILDREN), time.perf_counter()
    ended = subprocess.run(
        [sys.executable, *command],
        env={**os.environ, 'DRN_JAX_CACHE': str(cache)},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    seconds = time.perf_counter() - started
    spent = processor_seconds(resource.RUSAGE_CHILDREN) - before
    return ended.stdout.strip().rpartition('\n')[2], seconds, spent


def processor_seconds(who):
    """Returns the processor seconds of this process or of its children that ended."""
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


class Stopwatch:
    """What passes between one part and the next.

    Attributes:
        found: {part: [seconds, processor seconds]}.
    """

    def __init__(self, *began):
        self.found, self._began = {}, began or self._now()

    def part(self, name):
        """Ends a part and begins the next."""
        now = self._now()
        self.found[name] = [after - before for before, after in zip(self._began, now)]
        self._began = now

    def _now(self):
        return time.perf_counter(), processor_seconds(resource.RUSAGE_SELF)


def parts(checkpoint, photograph):
    """Measures the parts in this process, {part: [seconds, processor seconds]}.

    Seconds of the imports count from the start of this module, processor seconds of the process.
    """
    watch = Stopwatch(STARTED, 0.0)
    import drn_jax
    from drn_jax import commands
    from drn_jax.prediction import predictor  # noqa: F401

    commands.keep_compiled()
    watch.part('imports')
    for photographs, names in ((1, PARTS[1:]), (1000, FOR_MANY)):
        predict = drn_jax.Predictor(checkpoint, photographs=photographs)
        watch.part(names[0])
        for name in names[1:]:
            predict(photograph)
            watch.part(name)
    return watch.found


def program(checkpoint, _):
    """Measures what the form for inference takes to become a program, in this process."""
    import jax

    import drn_jax
    from drn_jax import commands
    from drn_jax.models import convolutions

    commands.keep_compiled()
    model, variables = drn_jax.optimize_for_inference(*drn_jax.load(checkpoint))
    images = jax.ShapeDtypeStruct(IMAGES, 'float32')
    whole, each = Stopwatch(), Stopwatch()
    lowered = jax.jit(model.apply).lower(variables, images)
    each.part('tracing')
    lowered.compile(compiler_options=dict(convolutions.compiler_options()))
    each.part('compiling')
    whole.part('tracing and compiling')
    return each.found | whole.found


def write_checkpoint(folder, variant, task='classification'):
    """Writes a checkpoint of random weights; gives its path, `folder / 'checkpoint'`."""
    import jax
    import jax.numpy as jnp

    import drn_jax
    from drn_jax import convert
    from drn_jax.checkpoints import weight_files

    classes = 19 if task == 'segmentation' else 1000
    model = drn_jax.create_model(variant, num_classes=classes, task=task)
    variables = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 64, 64, 3)))
    file, checkpoint = folder / 'weights.safetensors', folder / 'checkpoint'
    weight_files.write(str(file), drn_jax.to_torch(variant, variables, task=task))
    convert.main([f'--variant={variant}', f'--input={file}', f'--output={checkpoint}'])
    return checkpoint


def write_photograph(path):
    """Writes one of scikit-learn's photographs, 427 x 640; gives its path."""
    from PIL import Image
    from sklearn import datasets

    Image.fromarray(datasets.load_sample_image('china.jpg')).save(path)
    return path


def tell(what, *measured):
    """Prints a line: medians with the smallest and the largest."""
    texts = [
        f'{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})'
        for values in measured
    ]
    print(f'{what:24}{texts[0]:>24}{texts[1]:>24}', flush=True)


STARTED = time.perf_counter()

if __name__ == '__main__':
    main()
