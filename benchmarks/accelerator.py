"""Measures everything that matters on the accelerator of this machine, for the README.

  python benchmarks/accelerator.py
  python benchmarks/accelerator.py --only='training/*' --minutes=60

Needs no arguments: it uses all devices that JAX finds here, for at most 8 minutes, and begins with
what matters most. Given again, it goes on with what was left; finished items are kept in
report.json. An item whose process dies, or that the memory does not suffice for, is named and costs
the others nothing.

  parity     logits of every variant against the release's (tests/golden): float32 with exact
             products within 1e-4 of a deviation, bfloat16 within 0.1; losses of two training steps
  training   images/s of the training step, for each algorithm of convolutions, dtype and batch
  inference  the same of drn_jax.optimize_for_inference, on one device
  feeding    the input pipeline alone, the step alone, and the step fed by the pipeline
  torch-*    PyTorch on the same card, where it is installed: channels last, as it is ('eager') and
             by torch.compile ('compiled'), bfloat16 by autocast in training

Beside what is measured stand the share of peak, by the operations of the program (winograd has
fewer), what drn_jax.plan says of the same program (for GPUs a bound, for TPUs an estimate), and the
peak of memory. A number of images is that of each device.

Writes --output/report.json and --output/table.md. The status is 1 where an item failed.
"""

import argparse
import contextlib
import fnmatch
import importlib.util
import json
import os
import pathlib
import select
import signal
import subprocess
import sys
import time

from accelerator_items import NO_OPTIONS, Item, Settings

from drn_jax import files, flag_types
from drn_jax.models import variants

GOLDEN = pathlib.Path(__file__).parents[1] / 'tests' / 'golden'
ALGORITHMS = ('auto', 'native', 'phase', 'winograd')
DTYPES = ('bfloat16', 'float32')
# Seconds that an item is taken for, until one of its job has ended.
GUESSES = {'training': 45.0, 'feeding': 60.0, 'torch-training': 45.0}
GUESS = 20.0
LAST = 10.0  # seconds for ending
MOST = 0.4  # of all the time, that one item may take
KEPT = ('device', 'settings', 'items')  # of the report


def main():
    """Runs the benchmark with the flags of this process."""
    flags = parse_flags()
    deadline = time.monotonic() + 60 * flags.minutes - LAST
    output = pathlib.Path(flags.output)
    settings = Settings(flags.width, flags.size, flags.seconds, flags.files)
    with contextlib.closing(Worker(settings, output)) as worker:
        device = worker.ask(Item('device'), 60 * flags.minutes)
        if 'error' in device:
            sys.exit(f'error: the devices cannot be used: {device["error"]}')
        del device['seconds']
        report = open_report(output, device, settings)
        todo = chosen(items(flags, device['platform']), flags, report['items'])
        say(f'{device["count"]} x {device["kind"]}: {len(todo)} items, {flags.minutes:g} minutes')
        worker.settings = settings._replace(platform=device['platform'])
        skipped = run(worker, todo, report, output, deadline, MOST * 60 * flags.minutes)
    report['skipped'] = skipped
    write(report, output)
    print(table(report))
    if skipped:
        say(f'left out, for want of time: {", ".join(skipped)}; the same command goes on with them')
    if failed := [name for name, result in report['items'].items() if not is_good(result)]:
        sys.exit(f'error: failed: {", ".join(failed)}; see {output / "report.json"} and worker.log')


def parse_flags():
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    positive = flag_types.positive
    parser.add_argument('--output', default='runs/accelerator', metavar='DIR')
    parser.add_argument('--minutes', type=positive_number, default=8.0, help='for all of it')
    parser.add_argument(
        '--only',
        action='append',
        metavar='PATTERN',
        help="items such as 'training/*' or '*/bfloat16/*', perhaps several times",
    )
    parser.add_argument('--list', action='store_true', help='name the items and end')
    parser.add_argument(
        '--again', action='store_true', help='measure chosen items that are done too'
    )
    parser.add_argument(
        '--variant',
        default='drn_c_26',
        choices=variants.list_models(),
        metavar='NAME',
        help='that is timed',
    )
    parser.add_argument(
        '--training_images', type=positive, nargs='+', default=(128, 32, 256), metavar='N'
    )
    parser.add_argument(
        '--inference_images', type=positive, nargs='+', default=(256, 32, 1), metavar='N'
    )
    parser.add_argument('--width', type=positive_number, default=1.0, help='to try things out')
    parser.add_argument('--size', type=positive, default=224, metavar='PX')
    parser.add_argument(
        '--seconds', type=positive_number, default=3.0, help='that an item is measured'
    )
    parser.add_argument(
        '--files', type=positive, default=256, help='different images, for the input pipeline'
    )
    return parser.parse_args()


def positive_number(text):
    """Reads a number above 0."""
    with contextlib.suppress(ValueError):
        if 0 < float(text) < 1e9:
            return float(text)
    raise argparse.ArgumentTypeError(f'{text!r} is given, but it is a number above 0')


def items(flags, platform):
    """Lists the items, the most important ones first."""
    variant, first = flags.variant, flags.training_images[0]
    goldens = sorted(path.stem for path in GOLDEN.glob('*.npz') if 'train_step' not in path.stem)
    precisions = [('float32', 'highest'), ('bfloat16', 'default')]
    timed = {'training': flags.training_images, 'inference': flags.inference_images}

    def speeds(dtype, algorithms, part):
        return [
            Item(job, variant, dtype, how, images)
            for how in algorithms
            for job, numbers in timed.items()
            for images in numbers[part]
        ]

    large, others, torch = slice(0, 1), slice(1, None), []
    if platform != 'tpu' and importlib.util.find_spec('torch'):
        torch = [
            Item(f'torch-{job}', variant, dtype, how, images[0])
            for dtype in DTYPES
            for how in ('compiled', 'eager')
            for job, images in timed.items()
        ]
    return list(
        dict.fromkeys(
            [
                *(Item('parity', variant, *each) for each in precisions if variant in goldens),
                *speeds('bfloat16', ALGORITHMS[:3], large),
                *(
                    Item('training', variant, 'bfloat16', NO_OPTIONS, first)
                    for _ in range(platform == 'tpu')
                ),
                Item('feeding', variant, 'bfloat16', 'auto', first),
                *torch[:2],
                Item('step', 'drn_c_26', 'float32', 'highest'),
                *speeds('float32', ('auto',), large),
                *(Item('parity', name, *each) for each in precisions for name in goldens),
                Item('parity', variant, 'float32', 'default'),
                *speeds('float32', ALGORITHMS[1:3], large),
                *torch[2:],
                *speeds('bfloat16', ('auto',), others),
                *speeds('float32', ('auto',), others),
                *speeds('bfloat16', ('winograd',), large),
                *speeds('float32', ('winograd',), large),
                *(each for dtype in DTYPES for each in speeds(dtype, ALGORITHMS[1:], others)),
            ]
        )
    )


def chosen(listed, flags, done):
    """Leaves out items that were not asked for or are done; those that failed come last."""
    asked = [
        item
        for item in listed
        if not flags.only or any(fnmatch.fnmatch(item.name, each) for each in flags.only)
    ]
    if not asked:
        sys.exit(f'error: --only={" ".join(flags.only)} is no item; --list names them')
    if flags.list:
        print(*(item.name for item in asked), sep='\n')
        sys.exit()
    left = [item for item in asked if flags.again or not is_good(done.get(item.name))]
    return sorted(left, key=lambda item: item.name in done)


def open_report(output, device, settings):
    """Reads what an earlier run has measured; refuses that of other devices or sizes."""
    report = {'device': device, 'settings': settings._asdict(), 'items': {}}
    path = output / 'report.json'
    try:
        stored = json.loads(path.read_text())
        stored = {key: dict(stored[key]) for key in KEPT}
        stored['items'] = {name: dict(result) for name, result in stored['items'].items()}
    except FileNotFoundError:
        return report
    except (OSError, ValueError, KeyError, TypeError) as error:
        sys.exit(f'error: {path} cannot be read ({error}); move it away, or give another --output')
    for key in ('device', 'settings'):
        if stored[key] != report[key]:
            other = [name for name, each in report[key].items() if stored[key].get(name) != each]
            sys.exit(
                f'error: {path} was measured with other {", ".join(other)}; give another --output'
            )
    return stored


def run(worker, todo, report, output, deadline, most):
    """Measures items while there is time, each `most` seconds; gives the names of those left."""
    longest: dict[str, float] = {}
    skipped = []
    for item in todo:
        left = deadline - time.monotonic()
        if left < longest.get(item.job, GUESSES.get(item.job, GUESS)):
            skipped.append(item.name)
            continue
        result = worker.ask(item, min(left, most))
        if result is None and left <= most:
            skipped.append(item.name)
            continue
        result = result or {'error': f'it took longer than {most:.0f} s', 'seconds': most}
        longest[item.job] = max(longest.get(item.job, 0), result['seconds'])
        report['items'][item.name] = result
        write(report, output)
        say(f'{item.name}: {describe(result)} ({result["seconds"]:.0f} s)')
    return skipped


def write(report, output):
    """Writes the report and the table."""
    files.write_json(output / 'report.json', {'command': ' '.join(sys.argv), **report})
    with files.replacing(output / 'table.md') as partial:
        partial.write_text(table(report) + '\n')


class Worker:
    """A process that measures, started when there is something to measure.

    JAX and PyTorch have one each, since both take the memory of a GPU.

    Attributes:
        settings: for the next process.
    """

    def __init__(self, settings, output):
        self.settings, self._output = settings, output
        self._process, self._is_torch = None, False
        try:
            output.mkdir(parents=True, exist_ok=True)
            self._log = open(output / 'worker.log', 'a')
        except OSError as error:
            sys.exit(f'error: --output={output} cannot be written ({error.strerror}); give another')

    def ask(self, item, seconds):
        """Lets the process measure an item; None where that takes longer than `seconds`."""
        start, is_torch = time.monotonic(), item.job.startswith('torch')
        if self._process and is_torch != self._is_torch:
            self._end()
        process = self._process = self._process or self._start()
        self._is_torch = is_torch
        print(json.dumps(item), file=process.stdin, flush=True)
        if not select.select([process.stdout], [], [], seconds)[0]:
            process.kill()
            self._end()
            return None
        if line := process.stdout.readline():
            result = json.loads(line)
        else:
            status = process.wait()
            why = signal.Signals(-status).name if status < 0 else f'status {status}'
            result = {'error': f'the process ended with {why}: {self._last_words()}'}
            result['seconds'] = round(time.monotonic() - start, 1)
        if 'error' in result:
            self._end()  # it may hold memory still
        return result

    def _start(self):
        return subprocess.Popen(
            [
                sys.executable,
                pathlib.Path(__file__).with_name('accelerator_items.py'),
                json.dumps(self.settings._asdict()),
            ],
            env={'TF_CPP_MIN_LOG_LEVEL': '2', **os.environ},
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            start_new_session=True,
        )

    def _last_words(self):
        lines = (self._output / 'worker.log').read_text(errors='replace').splitlines() or ['']
        return next((line for line in reversed(lines) if 'heck failed' in line), lines[-1])[:300]

    def _end(self):
        if process := self._process:
            process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # with what torch.compile has started
            process.stdout.close()
            process.wait()
        self._process = None

    def close(self):
        """Ends the process."""
        self._end()
        self._log.close()


def is_good(result):
    """Says whether an item is done and did not fail."""
    return result is not None and 'error' not in result and result.get('passes', True)


def describe(result):
    """Says in a few words what came of an item."""
    if 'error' in result:
        return f'failed: {result["error"]}'
    if 'is_auto' in result:
        return 'the same as auto'
    if 'deviation' in result:
        verdict = {True: ', passed', False: ', FAILED', None: ''}[result.get('passes')]
        return f'differs by {result["deviation"]:.1e}{verdict}'
    if 'fed_images_per_second' in result:
        return (
            f'pipeline {result["host_images_per_second"]:,.0f} images/s, step '
            f'{result["device_images_per_second"]:,.0f}, together '
            f'{result["fed_images_per_second"]:,.0f}'
        )
    return f'{result["images_per_second"]:,.1f} images/s'


def table(report):
    """Lays out the report in Markdown."""
    device, settings = report['device'], report['settings']
    rows = []
    for name, result in report['items'].items():
        if 'images_per_second' in result:
            job, variant, dtype, how, images = name.split('/')
            job = job.replace('torch-', 'PyTorch, ')
            how = how.replace('phase', 'in phases')
            cells = [f'{job}, {variant}', dtype, how, images, *speed(result, images)]
            rows.append(f'| {" | ".join(cells)} |')
    head = [
        '| | dtype | | images | images/s | share of peak | by the plan | memory, GB |',
        '|---|---|---|---|---|---|---|---|',
    ]
    title = (
        f'{device["count"]} x {device["kind"]}, jax {device["versions"]["jax"]}, '
        f'{settings["size"]} px, width {settings["width"]:g}; of each device; in parentheses the '
        'memory of the plan'
    )
    return '\n'.join([title, '', *(head + rows + [''] if rows else []), *sentences(report)])


def speed(result, images):
    """Returns the cells of a speed: itself, share of peak, that of the plan, memory."""
    measured, images = result['images_per_second'], int(images)
    at_peak, planned = result.get('seconds_at_peak'), result.get('plan_seconds')
    used, needed = result.get('peak_bytes'), result.get('plan_bytes')
    memory = f'{used / 1e9:.1f}' if used else '-'
    return [
        f'{measured:,.1f}',
        f'{100 * measured / images * at_peak:.0f} %' if at_peak else '-',
        f'{images / planned:,.0f}' if planned else '-',
        f'{memory} ({needed / 1e9:.1f})' if needed else memory,
    ]


def sentences(report):
    """Says what is no row of the table: parity, feeding, what failed and what was left out."""
    found, lines = report['items'], []
    for dtype in ('float32/highest', 'bfloat16/default', 'float32/default'):
        deviations = {
            name: result['deviation']
            for name, result in found.items()
            if name.startswith('parity/') and name.endswith(dtype) and 'deviation' in result
        }
        if deviations:
            passed = sum(found[name].get('passes', True) for name in deviations)
            worst = max(deviations, key=deviations.__getitem__)
            lines.append(
                f'Parity, {dtype}: {passed} of {len(deviations)} networks; at most '
                f'{deviations[worst]:.1e} of a deviation ({worst.split("/")[1]}).'
            )
    for name, result in found.items():
        if 'fed_images_per_second' in result:
            lines.append(
                f'{name}: {describe(result)} on {result["cores"]} cores; '
                f'{100 * result["data_wait_fraction"]:.0f} % of the time waiting for data.'
            )
        elif name.startswith('step/') and 'deviation' in result:
            lines.append(f'{name}: losses of two steps differ by {result["deviation"]:.1e}.')
        elif 'is_auto' in result:
            lines.append(f'{name}: `auto` takes the same here.')
        if 'error' in result:
            lines.append(f'{name} {describe(result)}.')
    if left := report.get('skipped'):
        lines.append(f'Left out, for want of time: {", ".join(left)}.')
    return [f'* {line}' for line in lines]


def say(text):
    """Tells on the standard error what goes on."""
    print(text, file=sys.stderr, flush=True)


if __name__ == '__main__':
    main()
