"""Compares drn_jax with PyTorch, ONNX Runtime and OpenVINO: same weights and inputs, on processors.

  python benchmarks/against_pytorch.py
  python benchmarks/against_pytorch.py --only=drn_c_26 --only=training --rounds=9
  python benchmarks/against_pytorch.py --only=scaling

Needs Linux, PyTorch with a C++ compiler and, for ONNX Runtime and OpenVINO, `pip install
'drn_jax[onnx]' onnxscript openvino`. Random weights go through `drn_jax.to_torch` into a network of
PyTorch modules, made from the same table (`torch_networks.py`). The contestants are

  ours         drn_jax.optimize_for_inference, compiled by jax.jit with
               convolutions.compiler_options, as `predict` and `evaluate` do; in training the step
               that training runs, without augmentation
  eager        PyTorch in channels last, inference mode
  best         the fastest of PyTorch's other forms, found in a first round: batch normalization
               folded (`folded`), the same frozen by TorchScript (`frozen`), the same by
               torch.compile with constant weights (`compiled`); in training only torch.compile
  onnxruntime, openvino
               PyTorch's network, exported
  bfloat16     ours, with dtype='bfloat16'
  pytorch_bfloat16, openvino_bfloat16
               PyTorch's network, folded, and its export
  pytorch_int8 PyTorch's network, by its own quantization for x86, calibrated (as all in int8 is)
               with the images that are timed
  int8, openvino_int8
               ours, as `python -m drn_jax.export --precision=int8` writes it, in ONNX Runtime and
               in OpenVINO
  openvino_bfloat16_file
               ours, as `python -m drn_jax.export` writes it in float32, in OpenVINO, which
               computes in bfloat16
  int8_amx     ours, as --runtime=onnxruntime_amx writes it, in ONNX Runtime
  int8_provider
               ours in ONNX Runtime, which lets OpenVINO compute (`pip install onnxruntime-openvino`
               in place of onnxruntime)
  onnxruntime_int8
               PyTorch's network, exported and made int8 in the same way, in ONNX Runtime

Every contestant is a process of its own that sleeps while it is not its turn
(`contestants.py`); all share two cores, two threads each. Their answers are compared with eager's
first: logits to 1e-4 of the largest, labels to 1 in 1000 pixels, the losses of two training steps
to 1e-3, in bfloat16 all to a tenth and in int8 to a half; where they differ the benchmark fails.
Then they take turns, round after round. A row is printed for each contestant: images per second,
how many times as fast ours is, each the median over the rounds and (smallest-largest), and the peak
of the memory that calls take above weights and inputs; and a row for each ratio that is wanted.
`scaling` is ours in float32, bfloat16 and int8 at several batch sizes: the cost of an image and its
memory; in float32 the dearest of 4 and more is compared with the cheapest.

All of it takes about 20 minutes on two cores.
"""

import argparse
import json
import os
import pathlib
import statistics
import tempfile
from typing import NamedTuple

import numpy as np
from contestants import FOLDED_FORMS, Work
from PIL import Image
from races import Race, compare_answers, progress, summary, table

import drn_jax
from drn_jax import cityscapes, processors
from drn_jax.models import torch_names, variants

TITLES = {  # of contestants
    'ours': 'drn_jax',
    'bfloat16': 'drn_jax, bfloat16',
    'int8': 'drn_jax, int8 file in ONNX Runtime',
    'int8_amx': 'drn_jax, int8 file for AMX in ONNX Runtime',
    'int8_provider': 'drn_jax, int8 file in ONNX Runtime by OpenVINO',
    'openvino_int8': 'drn_jax, int8 file in OpenVINO',
    'openvino_bfloat16_file': 'drn_jax, float32 file in OpenVINO, bfloat16',
    'eager': 'PyTorch, eager',
    **{form: f'PyTorch, {form}' for form in FOLDED_FORMS},
    'pytorch_bfloat16': 'PyTorch, folded, bfloat16',
    'pytorch_int8': 'PyTorch, int8',
    'onnxruntime': 'ONNX Runtime',
    'onnxruntime_int8': 'ONNX Runtime, int8',
    'openvino': 'OpenVINO',
    'openvino_bfloat16': 'OpenVINO, bfloat16',
}
OTHERS = tuple(name for name in TITLES if name not in ('ours', 'eager'))  # may be missing
FASTEST_INT8 = 'int8' if processors.lacks(processors.AMX_INT8) else 'int8_amx'  # in ONNX Runtime
CAN_TRAIN = ('ours', 'eager', 'compiled')
SCALING = {'ours': (1, 4, 8, 16, 32), 'bfloat16': (1, 8, 32), 'int8': (1, 8, 32)}  # batch sizes
SCALING_BOUND = 1.1  # dearest image / cheapest image of ours, but for a single one


class Workload(NamedTuple):
    """One line of the table."""

    title: str
    variant: str
    job: str  # see `contestants.Work`
    batch: int
    height: int
    width: int
    classes: int
    calls: int  # timed in a round
    wanted: dict[tuple[str, str], float]  # a contestant, a slower one -> ratio of speeds
    warm_calls: int = 1  # before them, not timed
    less_memory: bool = False  # wanted, than eager


def _photographs(title, variant, batch, calls, wanted, job='classification', warm_calls=1):
    return Workload(title, variant, job, batch, 224, 224, 1000, calls, wanted, warm_calls)


WORKLOADS = {
    'drn_c_26': _photographs(
        'DRN-C-26, batch 8',
        'drn_c_26',
        8,
        1,
        {
            ('ours', 'eager'): 1.3,
            ('ours', 'best'): 1.0,
            ('ours', 'openvino'): 1.2,
            ('bfloat16', 'pytorch_bfloat16'): 1.0,
            ('bfloat16', 'openvino_bfloat16'): 1.0,
            ('openvino_bfloat16_file', 'pytorch_bfloat16'): 1.0,
            ('openvino_bfloat16_file', 'openvino_bfloat16'): 1.0,
            (FASTEST_INT8, 'ours'): 3.0,
            (FASTEST_INT8, 'onnxruntime_int8'): 1.0,
        },
    ),
    'drn_c_26_single': _photographs(
        'DRN-C-26, batch 1', 'drn_c_26', 1, 10, {('ours', 'eager'): 1.1}
    ),
    'drn_c_42': _photographs('DRN-C-42, batch 8', 'drn_c_42', 8, 1, {('ours', 'eager'): 1.1}),
    'drn_d_54': _photographs('DRN-D-54, batch 8', 'drn_d_54', 8, 1, {('ours', 'eager'): 1.1}),
    'training': _photographs(
        'training step of DRN-C-26, batch 8',
        'drn_c_26',
        8,
        1,
        {('ours', 'eager'): 1.3, ('ours', 'best'): 1.2},
        job='training',
        warm_calls=0,
    ),
    'segmentation': Workload(
        'DRN-D-22, segmentation of 1024 x 2048',
        'drn_d_22',
        'segmentation',
        1,
        1024,
        2048,
        19,
        1,
        {('ours', 'eager'): 1.2, (FASTEST_INT8, 'ours'): 2.5, (FASTEST_INT8, 'pytorch_int8'): 5.0},
        warm_calls=0,
        less_memory=True,
    ),
}


def main():
    """Runs the benchmark with the flags of this process."""
    flags = parse_flags()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: flags.threads])  # inherited
    chosen = flags.only or [*WORKLOADS, 'scaling']
    races = [raced(WORKLOADS[name], flags) for name in chosen if name != 'scaling']
    if races:
        print(f'\n{flags.rounds} rounds, {flags.threads} threads; median (smallest-largest)')
        known = sorted(processors.instructions())
        used = [name for name in known if name.startswith(('fma', 'avx', 'amx'))]
        print(f'processor: {" ".join(used) or "unknown"}', flush=True)
        for parts in zip(*races):  # speeds, then what is wanted
            if rows := [row for part in parts for row in part]:
                print(f'\n{table(rows)}', flush=True)
    if 'scaling' in chosen:
        print(f'\n{scaling(flags)}')


def parse_flags():
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--only',
        action='append',
        choices=[*WORKLOADS, 'scaling'],
        metavar='NAME',
        help='a workload, perhaps several times: %(choices)s',
    )
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--threads', type=int, default=2, help='and cores')
    parser.add_argument(
        '--against',
        nargs='*',
        default=OTHERS,
        choices=OTHERS,
        metavar='NAME',
        help='besides eager: %(choices)s',
    )
    parser.add_argument('--convolution', default='auto', help='ours, see drn_jax.create_model')
    parser.add_argument(
        '--compiler_option',
        action='append',
        default=[],
        metavar='NAME=VALUE',
        help='of XLA, for ours',
    )
    parser.add_argument('--size', type=int, metavar='PX', help='other images, to try things out')
    parser.add_argument(
        '--channels',
        type=float,
        default=1.0,
        metavar='SHARE',
        help='multiple of all channel counts, to try things out; with .125 '
        "PyTorch 2.13's training crashes",
    )
    return parser.parse_args()


def raced(workload, flags):
    """Measures one workload; gives the rows of its speeds, and of the ratios that are wanted."""
    progress(f'{workload.title}:')
    with tempfile.TemporaryDirectory() as name, Race() as race:
        folder = pathlib.Path(name)
        write_inputs(folder, workload, flags)
        for contestant in ('ours', 'eager', *flags.against):
            if workload.job != 'training' or contestant in CAN_TRAIN:
                race.enter(contestant, folder, optional=contestant in OTHERS)
        compare_answers(folder, race.names(), workload.job)
        best = choose_best(race, workload)
        for _ in range(flags.rounds):
            race.run_round(workload)
        progress(f'  a waiting contestant used at most {race.waiting_share:.1%} of a core')
        return speeds(workload, race), verdicts(workload, race, best)


def write_inputs(folder, workload, flags):
    """Writes random weights and inputs and what is to be done with them."""
    options = dict(option.split('=', 1) for option in flags.compiler_option)
    work = Work(
        workload.variant,
        workload.job,
        workload.classes,
        flags.channels,
        flags.threads,
        flags.convolution,
        options,
    )
    rng = np.random.default_rng(0)
    (folder / 'work.json').write_text(json.dumps(work._asdict()))
    variables = drn_jax.from_torch(work.variant, random_state(work, rng))
    np.savez(
        folder / 'weights.npz',
        allow_pickle=False,
        **drn_jax.to_torch(work.variant, variables, task=work.task),
    )
    height, width = [flags.size or side for side in (workload.height, workload.width)]
    if work.job == 'judging':
        return write_streets(folder, workload.batch, (height, width), rng)
    images = rng.standard_normal((workload.batch, height, width, 3), np.float32)
    np.save(folder / 'images.npy', images)
    np.save(folder / 'labels.npy', rng.integers(0, work.classes, workload.batch, np.int32))


def write_streets(folder, number, size, rng):
    """Writes images, and label maps of Cityscapes' size in train ids, of colored blocks."""
    palette = np.array(cityscapes.PALETTE)
    for kind in ('images', 'labels'):
        (folder / kind).mkdir()
    for place in range(number):
        labels = rng.integers(0, len(palette), (16, 32), np.uint8)
        image = np.kron(palette[labels], np.ones((size[0] // 16, size[1] // 32, 1)))
        image = (image + rng.normal(0, 30, image.shape)).clip(0, 255).astype(np.uint8)
        Image.fromarray(image).save(folder / f'images/{place:03d}_fake_B.png')
        labels = np.kron(labels, np.ones((64, 64), np.uint8))
        labels[-64:] = cityscapes.IGNORE_LABEL
        Image.fromarray(labels).save(folder / f'labels/{place:03d}_trainIds.png')


def random_state(work, rng):
    """Makes a state dict of numbers of the size that training gives."""
    row = variants.lookup(work.variant, work.width)

    def value(entry):
        if entry.name == 'up.weight':
            return torch_names.bilinear(entry.shape)
        if len(entry.shape) > 1:
            return rng.standard_normal(entry.shape) * np.sqrt(
                2 / (entry.shape[0] * np.prod(entry.shape[2:]))
            )
        if entry.name.endswith(('bias', 'running_mean')):
            return 0.1 * rng.standard_normal(entry.shape)
        return rng.uniform(0.5, 1.5, entry.shape)

    return {
        entry.name: value(entry).astype(np.float32)
        for entry in torch_names.entries(row, work.classes, work.task)
    }


def choose_best(race, workload):
    """Runs a round, keeps the fastest of PyTorch's forms in the race; gives its name or None."""
    race.run_round(workload)
    tried = {name: race.seconds[name][0] for name in race.names() if name in FOLDED_FORMS}
    best = min(tried, key=tried.__getitem__, default=None)
    for name, seconds in tried.items():
        progress(f'  tried {name}: {race.seconds["eager"][0] / seconds:.2f} times eager')
        if name != best:
            race.leave(name)
    for seconds in race.seconds.values():
        seconds.clear()
    return best


def speeds(workload, race):
    """Returns a row for each contestant, {column: text}."""
    return [
        {
            'workload': workload.title,
            'contestant': TITLES[name],
            'images/s': summary([workload.batch / each for each in seconds]),
            'drn_jax, times as fast': summary(ratios(race, 'ours', name)),
            'peak MiB': f'{race.peak_bytes[name] / 2**20:.0f}',
        }
        for name, seconds in race.seconds.items()
        if seconds
    ]


def verdicts(workload, race, best):
    """Returns a row for each ratio that is wanted of contestants that ran, {column: text}."""
    rows = []
    for (fast, slow), bound in workload.wanted.items():
        slow = best if slow == 'best' else slow
        if found := ratios(race, fast, slow):
            met = statistics.median(found) >= bound
            rows.append(verdict(workload, fast, f'{bound:g} times {TITLES[slow]}', found, met))
    if workload.less_memory:
        peaks = [race.peak_bytes[name] for name in ('eager', 'ours')]
        wanted = 'no more memory than PyTorch, eager'
        share = peaks[0] / max(1, peaks[1])
        rows.append(verdict(workload, 'ours', wanted, [share], peaks[1] <= peaks[0]))
    return rows


def verdict(workload, name, wanted, found, met):
    """Returns one row."""
    return {
        'workload': workload.title,
        'contestant': TITLES[name],
        'wanted': wanted,
        'measured': summary(found),
        'met': 'yes' if met else 'no',
    }


def ratios(race, fast, slow):
    """Returns how many times as fast one contestant was, by round; nothing if one is missing."""
    rounds = [race.seconds.get(name) or [] for name in (slow, fast)]
    return [theirs / own for theirs, own in zip(*rounds)]


def scaling(flags):
    """Measures cost and memory of an image at several batch sizes; gives a table."""
    progress('scaling:')
    entered = {
        f'{form}, batch {batch}': (form, batch)
        for form, batches in SCALING.items()
        for batch in batches
    }
    with tempfile.TemporaryDirectory() as name, Race() as race:
        for number, (entrant, (form, batch)) in enumerate(entered.items()):
            folder = pathlib.Path(name) / str(number)
            folder.mkdir()
            workload = _photographs('', 'drn_c_26', batch, 1, {})
            write_inputs(folder, workload, flags)
            race.enter(entrant, folder, contestant=form, optional=form in OTHERS)
        for _ in range(flags.rounds):
            race.run_round(workload)
    rows, costs = [], []
    for entrant, seconds in race.seconds.items():
        form, batch = entered[entrant]
        rows.append(
            {
                'DRN-C-26': f'batch {batch}',
                'contestant': TITLES[form],
                'images/s': summary([batch / each for each in seconds]),
                'peak MiB an image': f'{race.peak_bytes[entrant] / batch / 2**20:.1f}',
            }
        )
        if form == 'ours' and batch > 1:
            costs.append(statistics.median(seconds) / batch)
    return (
        f'{table(rows)}\n\nThe dearest image costs {max(costs) / min(costs):.2f} times the '
        f'cheapest; wanted: at most {SCALING_BOUND:g}.'
    )


if __name__ == '__main__':
    main()
