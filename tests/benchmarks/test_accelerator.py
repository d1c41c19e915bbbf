"""The benchmark of accelerators: its order, its budget, what it keeps; tiny items on the CPU."""

import json
import sys

import accelerator
import accelerator_items
import pytest
from accelerator_items import Item, Settings

TINY = Settings(width=1 / 16, size=32, seconds=0.01, files=16, platform='cpu')
DEVICE = {'platform': 'gpu', 'kind': 'NVIDIA X', 'count': 2, 'versions': {'jax': '1'}, 'seconds': 1}


class Answers:
    """Stands in for the process that measures: says what it is told to, and moves the clock."""

    def __init__(self, answers=()):
        self.answers, self.asked, self.now = dict(answers), [], 0.0

    def __call__(self, settings, output):
        self.settings = settings
        output.mkdir(parents=True, exist_ok=True)
        return self

    def monotonic(self):
        return self.now

    def ask(self, item, seconds):
        if item.job == 'device':
            return dict(DEVICE)
        self.asked.append(item.name)
        answer = {'seconds': 10.0, **self.answers.get(item.name, self.answers.get(item.job, {}))}
        if answer['seconds'] > seconds:
            self.now += seconds
            return None
        self.now += answer['seconds']
        return answer

    def close(self):
        pass


SPEED = {'images_per_second': 100.0, 'seconds_at_peak': 0.64, 'plan_seconds': 0.8}
MEMORY = {'peak_bytes': 5_200_000_000, 'plan_bytes': 4_800_000_000}
GOOD = {
    'parity': {'deviation': 2e-6, 'passes': True},
    'step': {'deviation': 1e-4, 'passes': True},
    'training': SPEED | MEMORY,
    'inference': SPEED,
    'torch-training': SPEED,
    'torch-inference': SPEED,
    'feeding': {
        'host_images_per_second': 900.0,
        'device_images_per_second': 800.0,
        'fed_images_per_second': 780.0,
        'data_wait_fraction': 0.02,
        'cores': 16,
    },
}


@pytest.fixture
def run(monkeypatch, tmp_path, capsys):
    """Runs the benchmark with a stand-in: (answers, flags) -> stand-in, status, output, errors."""

    def run(answers, *flags):
        stand_in = Answers(answers)
        monkeypatch.setattr(accelerator, 'Worker', stand_in)
        monkeypatch.setattr(accelerator, 'time', stand_in)
        monkeypatch.setattr(sys, 'argv', ['accelerator.py', f'--output={tmp_path}', *flags])
        try:
            accelerator.main()
            status = 0
        except SystemExit as end:
            status = end.code
        return stand_in, status, *capsys.readouterr()

    return run


def report(tmp_path):
    return json.loads((tmp_path / 'report.json').read_text())


def test_what_matters_most_comes_first_and_the_rest_is_named(run, tmp_path):
    first, status, out, errors = run(GOOD, '--minutes=2')
    assert status == 0 and first.now <= 120
    assert first.asked[:3] == [
        'parity/drn_c_26/float32/highest',
        'parity/drn_c_26/bfloat16/default',
        'training/drn_c_26/bfloat16/auto/128',
    ]
    left = report(tmp_path)['skipped']
    assert 'training/drn_c_26/float32/winograd/256' in left and ', '.join(left) in errors
    assert not set(left) & set(first.asked)
    assert (tmp_path / 'table.md').read_text() == out
    row = '| training, drn_c_26 | bfloat16 | auto | 128 | 100.0 | 50 % | 160 | 5.2 (4.8) |'
    assert row in out

    second, status, out, _ = run(GOOD, '--minutes=600')
    assert status == 0 and not set(second.asked) & set(first.asked)
    assert set(second.asked) == set(left) and report(tmp_path)['skipped'] == []
    assert (
        'feeding/drn_c_26/bfloat16/auto/128: pipeline 900 images/s, step 800, together 780' in out
    )
    assert '* Parity, float32/highest: 18 of 18 networks; at most 2.0e-06 of a deviation' in out
    assert run(GOOD)[0].asked == []


def test_what_fails_or_takes_too_long_costs_the_others_nothing(run, tmp_path):
    answers = GOOD | {
        'training/drn_c_26/bfloat16/auto/128': {'error': 'the process ended with SIGABRT: no'},
        'training/drn_c_26/bfloat16/native/128': {'seconds': 1e9},
        'parity/resnet_18/float32/highest': {'deviation': 0.5, 'passes': False},
    }
    only = ('--only=training/*/128', '--only=parity/resnet_18/*')
    _, status, out, errors = run(answers, *only)
    assert 'training/drn_c_26/bfloat16/auto/128 failed: the process ended with SIGABRT: no.' in out
    assert 'training/drn_c_26/bfloat16/native/128 failed: it took longer than 192 s.' in out
    assert 'parity/resnet_18/float32/highest: differs by 5.0e-01, FAILED' in errors
    assert status.startswith(f'error: failed: {", ".join(list(answers)[-3:])}; see ')
    again, status, out, _ = run(GOOD, '--minutes=60', *only)
    assert status == 0 and again.asked[-3:] == list(answers)[-3:]  # what had failed comes last
    assert 'SIGABRT' not in out


@pytest.mark.parametrize(
    'flags, message',
    [
        (['--only=nothing'], 'error: --only=nothing is no item; --list names them'),
        (['--size=64'], 'report.json was measured with other size; give another --output'),
    ],
)
def test_what_cannot_be_measured_is_one_sentence(run, flags, message):
    run(GOOD, '--only=step/*')
    assert message in run(GOOD, *flags)[1]


@pytest.mark.parametrize(
    'text',
    ['{"items": ', '[]', '{}', '{"device": 1, "settings": {}, "items": {}}']
    + ['{"device": {}, "settings": {}, "items": {"a": 1}}'],
)
def test_a_report_that_is_damaged_is_named(run, tmp_path, text):
    (tmp_path / 'report.json').write_text(text)
    assert run(GOOD)[1].startswith(f'error: {tmp_path}/report.json cannot be read (')


def test_a_process_that_dies_or_hangs_is_replaced(tmp_path, monkeypatch):
    items = tmp_path / 'accelerator_items.py'
    items.write_text(
        'import json, os, sys, time\n'
        'for line in sys.stdin:\n'
        '    job = json.loads(line)[0]\n'
        '    if job == "abort":\n'
        '        print("F0000 Check failed: a == b", file=sys.stderr, flush=True)\n'
        '        os.abort()\n'
        '    time.sleep(60 * (job == "hang"))\n'
        '    print(json.dumps({"pid": os.getpid(), "seconds": 1}), flush=True)\n'
    )
    monkeypatch.setattr(accelerator, '__file__', str(tmp_path / 'accelerator.py'))
    worker = accelerator.Worker(TINY, tmp_path / 'out')
    first, second = (worker.ask(Item('fine'), 60)['pid'] for _ in range(2))
    assert first == second
    assert worker.ask(Item('torch-fine'), 60)['pid'] != first
    found = worker.ask(Item('abort'), 60)['error']
    assert found == 'the process ended with SIGABRT: F0000 Check failed: a == b'
    assert worker.ask(Item('hang'), 0.5) is None
    assert worker.ask(Item('fine'), 60)['pid'] > 0
    worker.close()


@pytest.mark.parametrize('job', ['training', 'inference', 'feeding'])
def test_a_tiny_item(job):
    item = Item(job, 'resnet_18', 'float32', 'native', 2)
    result = accelerator_items.JOBS[job](item, TINY)
    accelerator.describe(result)
    if job == 'feeding':
        assert min(result['fed_images_per_second'], result['host_images_per_second']) > 0
        assert 0 <= result['data_wait_fraction'] <= 1
    else:
        low, high = result['range']
        assert 0 < low <= result['images_per_second'] <= high
        assert result['plan_bytes'] > 1000 and result['seconds_at_peak'] is None
        assert 'plan_error' not in result and result['peak_bytes'] is None


@pytest.mark.parametrize('golden', ['drn_d_22_segmentation'])
@pytest.mark.parametrize('dtype, how', [('float32', 'highest'), ('bfloat16', 'default')])
def test_parity(golden, dtype, how):
    result = accelerator_items.parity(Item('parity', golden, dtype, how), TINY)
    assert result['passes'] and result['deviation'] <= accelerator_items.BOUNDS[dtype]


def test_an_algorithm_that_auto_takes_is_not_measured_twice():
    item = Item('training', 'resnet_18', 'float32', 'phase', 2)  # nothing is dilated
    assert accelerator_items.is_auto(item, 'plain')
    assert not accelerator_items.is_auto(item._replace(how='winograd'), 'plain')
    assert not accelerator_items.is_auto(item._replace(how='auto'), 'plain')


@pytest.mark.parametrize('job', ['torch-training', 'torch-inference'])
def test_a_tiny_item_of_pytorch(job):
    pytest.importorskip('torch')
    settings = TINY._replace(width=0.25, size=48)
    result = accelerator_items.JOBS[job](Item(job, 'resnet_18', 'float32', 'eager', 2), settings)
    assert result['images_per_second'] > 0 and result['peak_bytes'] is None
