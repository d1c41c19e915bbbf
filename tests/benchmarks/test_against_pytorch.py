"""The benchmark against PyTorch: what it compares and prints, and a small run from end to end."""

import pathlib
import subprocess
import sys

import against_pytorch
import numpy as np
import pytest
import races

REPOSITORY = pathlib.Path(__file__).parents[2]


def save(folder, **answers):
    for name, answer in answers.items():
        np.save(folder / f'{name}.npy', np.array(answer))


def test_equal_answers_pass(tmp_path):
    save(tmp_path, eager=[[4.0, -2.0]], ours=[[4.0003, -2.0]])
    races.compare_answers(tmp_path, ['ours', 'eager'], 'classification')


def test_different_logits_fail(tmp_path):
    save(tmp_path, eager=[[4.0, -2.0]], ours=[[4.0, -2.001]])  # by 2.5e-4 of the largest
    with pytest.raises(RuntimeError, match='ours differs from eager by 2.5e-04, allowed is 1e-04'):
        races.compare_answers(tmp_path, ['ours', 'eager'], 'classification')


def test_answers_that_are_no_numbers_fail(tmp_path):
    save(tmp_path, eager=[[4.0, -2.0]], ours=[[np.nan, -2.0]])
    with pytest.raises(RuntimeError, match='differs from eager by nan'):
        races.compare_answers(tmp_path, ['ours', 'eager'], 'classification')


def test_labels_differ_in_few_pixels(tmp_path):
    labels = np.zeros((1, 40, 50), np.uint8)
    other = labels.copy()
    other[0, 0, :2] = 1
    save(tmp_path, eager=labels, ours=other)
    races.compare_answers(tmp_path, ['ours', 'eager'], 'segmentation')
    other[0, 0, 2] = 1
    save(tmp_path, ours=other)
    with pytest.raises(RuntimeError, match='allowed is 1e-03'):
        races.compare_answers(tmp_path, ['ours', 'eager'], 'segmentation')


def test_counts_of_pixels_differ_in_few(tmp_path):
    save(tmp_path, eager=[[1000, 0], [0, 1000]], ours=[[999, 1], [0, 1000]])
    races.compare_answers(tmp_path, ['ours', 'eager'], 'judging')
    save(tmp_path, ours=[[998, 2], [0, 1000]])
    with pytest.raises(RuntimeError, match='differs from eager by 2.0e-03, allowed is 1e-03'):
        races.compare_answers(tmp_path, ['ours', 'eager'], 'judging')


def test_answers_of_another_shape_fail(tmp_path):
    save(tmp_path, eager=[[4.0, -2.0]], ours=[4.0, -2.0])
    with pytest.raises(RuntimeError, match=r'ours gives \(2,\) and eager \(1, 2\)'):
        races.compare_answers(tmp_path, ['ours', 'eager'], 'classification')


def raced(**seconds):
    race = races.Race()
    race.seconds = {name: list(numbers) for name, numbers in seconds.items()}
    race.peak_bytes = dict.fromkeys(seconds, 2**20)
    return race


def test_ratios_are_those_of_each_round():
    workload = against_pytorch.WORKLOADS['drn_c_26']
    race = raced(ours=[1.0, 2.0, 4.0], eager=[2.0, 3.0, 4.0], compiled=[1.0, 1.0, 1.0], int8=[])
    ours, eager, compiled = against_pytorch.speeds(workload, race)
    assert ours['images/s'] == '4.00 (2.00-8.00)'
    assert eager['drn_jax, times as fast'] == '1.50 (1.00-2.00)'
    assert compiled['contestant'] == 'PyTorch, compiled'
    wanted = against_pytorch.verdicts(workload, race, 'compiled')
    assert [(row['wanted'], row['measured'], row['met']) for row in wanted] == [
        ('1.3 times PyTorch, eager', '1.50 (1.00-2.00)', 'yes'),
        ('1 times PyTorch, compiled', '0.50 (0.25-1.00)', 'no'),
    ]


def test_what_is_smaller_is_compared_with_ours():
    int8 = against_pytorch.FASTEST_INT8  # that of this machine
    others = {int8: [0.5], 'bfloat16': [1.0], 'openvino_bfloat16': [0.8]}
    race = raced(ours=[3.0], eager=[4.0], **others)
    wanted = against_pytorch.verdicts(against_pytorch.WORKLOADS['drn_c_26'], race, None)
    assert [(row['contestant'], row['measured'], row['met']) for row in wanted[1:]] == [
        ('drn_jax, bfloat16', '0.80 (0.80-0.80)', 'no'),
        (against_pytorch.TITLES[int8], '6.00 (6.00-6.00)', 'yes'),
    ]


def test_more_memory_than_eager_is_not_wanted():
    workload = against_pytorch.WORKLOADS['segmentation']
    race = raced(ours=[1.0], eager=[2.0])
    assert against_pytorch.verdicts(workload, race, None)[-1]['met'] == 'yes'
    race.peak_bytes['ours'] += 1
    assert against_pytorch.verdicts(workload, race, None)[-1]['met'] == 'no'


def test_table():
    assert races.table([{'a': '1', 'b': '2'}, {'a': '3', 'b': '4'}]) == (
        '| a | b |\n| --- | --- |\n| 1 | 2 |\n| 3 | 4 |'
    )


SMALL = ('--rounds=1', '--size=48', '--channels=.25', '--against', 'folded')


def run(*flags):
    return subprocess.run(
        [sys.executable, REPOSITORY / 'benchmarks' / 'against_pytorch.py', *flags],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )


@pytest.mark.skipif(sys.platform != 'linux', reason='reads /proc')
def test_a_small_run():
    pytest.importorskip('torch')
    result = run('--only=drn_c_26_single', '--only=segmentation', *SMALL)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    heads = [index for index, line in enumerate(lines) if line.startswith('| workload |')]
    for title in ('DRN-C-26, batch 1', 'DRN-D-22, segmentation of 1024 x 2048'):
        found = [line.split(' | ')[1] for line in lines if line.startswith(f'| {title} |')]
        assert found[:3] == ['drn_jax', 'PyTorch, eager', 'PyTorch, folded']
    assert len(heads) == 2 and 'processor: ' in result.stdout
    assert 'folded differs from eager by' in result.stderr
    assert 'a waiting contestant used at most' in result.stderr


@pytest.mark.skipif(sys.platform != 'linux', reason='reads /proc')
def test_a_small_training_run():
    pytest.importorskip('torch')
    result = run('--only=training', *SMALL)
    if 'eager does not run here: it ended without a word' in result.stderr:
        pytest.skip('PyTorch crashes in training so small a network on this processor')
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1].startswith('| training step of DRN-C-26, batch 8 |')
