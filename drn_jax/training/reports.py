"""What a command tells people: progress, tables, report.json."""
import importlib.metadata
import sys
import time

import jax
import tqdm
from etils import epath

from drn_jax.training import configurations

PACKAGES = ('drn_jax', 'jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint', 'tensorflow',
            'tensorflow-cpu', 'tensorflow-datasets', 'numpy')


def say(*lines):
    """Prints lines from the first process only, at once."""
    if jax.process_index() == 0:
        print(*lines, sep='\n', flush=True)


def versions():
    """Gives the versions of Python and of the packages that results depend on.

    Example:
        >>> versions()['jax'] == jax.__version__
        True
    """
    found = {'python': '.'.join(map(str, sys.version_info[:3]))}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # tensorflow has two names, one of which is installed
    return found


def write_report(directory, *, command, config, data, metrics, published, **more):
    """Writes report.json, in place of an earlier one in the same directory.

    Args:
        directory: where, made if needed.
        command: the command that was run.
        config: its configuration.
        data: what it ran on: names and numbers of examples.
        metrics: what it measured; fractions in [0, 1].
        published: the published values, under the same names.
        **more: further entries.

    Returns:
        The path of the file.
    """
    path = epath.Path(directory) / 'report.json'
    if jax.process_index() == 0:
        configurations.write_json(path, {
            'command': command, 'metrics': metrics, 'published': published, 'data': data, **more,
            'config': config.to_dict(), 'versions': versions(),
            'devices': {'kind': jax.devices()[0].device_kind, 'count': jax.device_count(),
                        'processes': jax.process_count()}})
    return path


def table(metrics, published):
    """Lays out metrics beside the published ones.

    Example:
        >>> print(table({'top1_error': .25, 'examples': 8}, {'top1_error': .2486}))
        metric           measured    published
        top1_error        25.00 %      24.86 %
        examples                8            -
    """
    width = max([16, *map(len, metrics)])

    return '\n'.join([f'{"metric":{width}}{"measured":>9}{"published":>13}'] + [
        f'{name:{width}}{_text(name, number):>9}{cell(published.get(name)):>13}'
        for name, number in metrics.items()])


def _text(name, number):
    """Writes a threshold as it is, since the best ones are close to 1, and other metrics as `cell`.

    Example:
        >>> _text('scaled/threshold', .9999993), _text('pxap', .9999993)
        ('0.9999993', '100.00 %')
    """
    return f'{number:.7f}' if name.endswith('threshold') else cell(number)


def cell(number):
    """Writes a metric: a count as it is, a fraction in percent, nothing as a dash.

    Example:
        >>> cell(1000), cell(.25), cell(None)
        ('1,000', '25.00 %', '-')
    """
    if number is None:
        return '-'
    return f'{number:,}' if isinstance(number, int) else f'{100 * number:.2f} %'


class Progress:
    """Shows how far a job is: a bar with the time left on a terminal, plain lines elsewhere.

    Lines come at most every `seconds`. Text set by `note` is shown beside the numbers.
    """

    def __init__(self, total, done=0, what='step', seconds=10.):
        self._total, self._done, self._first, self._what = total, done, done, what
        self._start = self._last = time.monotonic()
        self._seconds, self._note = seconds, ''
        hidden = jax.process_index() != 0
        self._lines = not hidden and not sys.stderr.isatty()
        self._bar = tqdm.tqdm(total=total, initial=done, unit=what, leave=False,
                              disable=hidden or self._lines, dynamic_ncols=True)

    def note(self, text):
        """Sets the text beside the numbers, such as the loss."""
        self._note = text
        self._bar.set_postfix_str(text, refresh=False)

    def update(self):
        """Counts one more as done."""
        now, timed = time.monotonic(), self._done - self._first
        if not timed:  # the first one compiles; it says nothing about the others
            self._start = now
        self._done += 1
        self._bar.update()
        if self._lines and (now - self._last >= self._seconds or self._done == self._total):
            self._last = now
            parts = [f'{self._what} {self._done}/{self._total}', self._note]
            if timed:
                # Batches of images of one size can be more than were expected.
                seconds = max(self._total - self._done, 0) * (now - self._start) / timed
                parts.insert(1, f'{duration(seconds)} left')
            print(', '.join(filter(None, parts)), flush=True)

    def say(self, text):
        """Prints a line above the bar."""
        if not self._bar.disable:
            self._bar.write(text)
        elif self._lines:
            print(text, flush=True)

    def __call__(self, items):
        """Wraps an iterable, counting its items."""
        for item in items:
            yield item
            self.update()

    def close(self):
        """Takes the bar away."""
        self._bar.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()


def duration(seconds):
    """Gives a time in words.

    Example:
        >>> duration(59.2), duration(3700)
        ('59 s', '1 h 1 min')
    """
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f'{hours} h {minutes} min'
    return f'{minutes} min {seconds} s' if minutes else f'{seconds} s'
