"""Processes of `contestants.py` that take turns, and tables of what their rounds gave."""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

import numpy as np


class Race:
    """Contestants that take turns, and what their rounds gave.

    Attributes:
        seconds: {name: seconds of a call, one number for each round}, the median of its calls.
        processor_seconds: the same of processor time, the mean of its calls.
        peak_bytes: {name: the largest memory above what was held before the first call}.
        waiting_share: the largest share of one core that a waiting contestant used.
    """

    def __init__(self):
        self.seconds, self.peak_bytes, self.waiting_share = {}, {}, 0.0
        self.processor_seconds = {}
        self._processes, self._asked = {}, {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for name in self.names():
            self.leave(name)

    def names(self):
        """The contestants that are still in the race."""
        return list(self._processes)

    def enter(self, name, folder, contestant=None, optional=False):
        """Starts a contestant and waits until it is ready.

        Raises:
            RuntimeError: it does not run and is not optional.
        """
        start, log_path = time.perf_counter(), folder / f'{contestant or name}.log'
        environment = {
            **os.environ,
            'JAX_PLATFORMS': 'cpu',
            'TF_CPP_MIN_LOG_LEVEL': '2',
            'OMP_NUM_THREADS': str(len(os.sched_getaffinity(0))),
        }
        with log_path.open('w') as log:
            self._processes[name] = subprocess.Popen(
                [
                    sys.executable,
                    pathlib.Path(__file__).with_name('contestants.py'),
                    contestant or name,
                    folder,
                ],
                env=environment,
                text=True,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        reply = self._reply(name)
        if 'error' in reply:
            self.leave(name)
            problem = f'{name} does not run here: {" ".join(reply["error"].split())[:300]}'
            if not optional:
                raise RuntimeError(problem + '\n' + log_path.read_text()[-3000:])
            progress(f'  {problem}')
            return
        progress(f'  {name}: ready after {time.perf_counter() - start:.0f} s')
        self.seconds[name], self._asked[name] = [], time.perf_counter()
        self.processor_seconds[name] = []

    def leave(self, name):
        """Ends a contestant; what it has reached remains."""
        process = self._processes.pop(name)
        process.stdin.close()
        process.stdout.close()
        process.wait()

    def run_round(self, workload):
        """Lets every contestant compute as often as the workload says."""
        request = json.dumps({'warm_calls': workload.warm_calls, 'calls': workload.calls})
        for name, process in self._processes.items():
            waited = time.perf_counter() - self._asked[name]
            print(request, file=process.stdin, flush=True)
            reply = self._reply(name)
            self._asked[name] = time.perf_counter()
            self.seconds[name].append(statistics.median(reply['seconds']))
            self.processor_seconds[name].append(reply['processor_seconds'])
            self.peak_bytes[name] = max(self.peak_bytes.get(name, 0), reply['peak_bytes'])
            self.waiting_share = max(self.waiting_share, reply['waiting_seconds'] / waited)
        progress(
            '  seconds of a call: '
            + ', '.join(f'{name} {self.seconds[name][-1]:.3f}' for name in self.names())
        )

    def _reply(self, name):
        line = self._processes[name].stdout.readline()
        return json.loads(line) if line else {'error': 'it ended without a word'}


def compare_answers(folder, names, job):
    """Compares what the contestants wrote with eager's.

    Raises:
        RuntimeError: a contestant computes something else.
    """
    wanted = np.load(folder / 'eager.npy').astype(np.float64)
    for name in names:
        found = np.load(folder / f'{name}.npy').astype(np.float64)
        if found.shape != wanted.shape:
            raise RuntimeError(f'{name} gives {found.shape} and eager {wanted.shape}')
        if job == 'segmentation':
            error, bound = (found != wanted).mean(), 1e-3
        elif job == 'judging':
            error, bound = np.abs(found - wanted).sum() / wanted.sum(), 1e-3
        else:
            error = np.abs(found - wanted).max() / np.abs(wanted).max()
            bound = 1e-3 if job == 'training' else 1e-4
        bound = 0.5 if 'int8' in name else 0.1 if 'bfloat16' in name else bound
        progress(f'  {name} differs from eager by {error:.1e}')
        if not error <= bound:
            raise RuntimeError(f'{name} differs from eager by {error:.1e}, allowed is {bound:.0e}')


def summary(numbers):
    """Formats the median and the range."""
    if not numbers:
        return '-'
    return f'{statistics.median(numbers):.2f} ({min(numbers):.2f}-{max(numbers):.2f})'


def table(rows):
    """Formats dicts of text with equal keys as a Markdown table."""
    lines = [rows[0], dict.fromkeys(rows[0], '---'), *rows]
    lines[0] = {column: column for column in rows[0]}
    return '\n'.join(f'| {" | ".join(line.values())} |' for line in lines)


def progress(text):
    """Tells on the standard error what goes on."""
    print(text, file=sys.stderr, flush=True)
