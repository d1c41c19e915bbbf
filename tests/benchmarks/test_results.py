"""Files of measured numbers, the tables and verdicts made of them, and the runs behind them."""

import argparse
import doctest
import importlib
import json
import pathlib
import subprocess
import sys
import threading

import comparison
import numpy as np
import orderings
import pytest
import results
import tables
import verdicts
from training import shared_run

from drn_jax.errors import InputError
from drn_jax.training import evaluation

ORIGIN = ('d6601ea', 'python 3.11.7; jax 0.10.2', '1 x cpu')
PNG = b'\x89PNG'


def row(network, seed, metric, value, data='digit_scenes', origin=ORIGIN):
    return results.Row(network, data, seed, metric, value, *origin)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder of results."""
    monkeypatch.setattr(results, 'FOLDER', tmp_path / 'results')
    return tmp_path / 'results'


@pytest.mark.parametrize('name', ['comparison', 'orderings', 'results', 'tables', 'verdicts'])
def test_examples(name):
    tried = doctest.testmod(importlib.import_module(name))
    assert tried.attempted and not tried.failed


# Files.


def test_rows_come_back_sorted_as_they_were(folder):
    path = results.file_of('digit_scenes')
    rows = [row('drn_c_26', 1, 'top1_error', 0.1), row('drn_a_18', 0, 'gridding/level5', 0.25)]
    results.add(path, rows)
    assert results.read(path) == rows[::-1]
    assert path.read_text().splitlines() == [
        'network,data,seed,metric,value,commit,versions,device',
        'drn_a_18,digit_scenes,0,gridding/level5,0.25,d6601ea,python 3.11.7; jax 0.10.2,1 x cpu',
        'drn_c_26,digit_scenes,1,top1_error,0.1,d6601ea,python 3.11.7; jax 0.10.2,1 x cpu',
    ]


def test_a_number_keeps_its_origin_until_it_changes(folder):
    path, later = results.file_of('digit_scenes'), ('aaaaaaa', *ORIGIN[1:])
    results.add(path, [row('drn_c_26', 0, 'top1_error', 0.1), row('drn_c_26', 0, 'pxap', 0.4)])
    results.add(
        path,
        [
            row('drn_c_26', 0, 'top1_error', 0.1, origin=later),
            row('drn_c_26', 0, 'pxap', 0.5, origin=later),
        ],
    )
    assert [(each.value, each.commit) for each in results.read(path)] == [
        (0.5, 'aaaaaaa'),
        (0.1, 'd6601ea'),
    ]


def test_a_file_that_is_not_there_has_no_rows(folder):
    assert results.read(results.file_of('digit_scenes')) == []


def test_nothing_is_lost_where_several_write(folder):
    path = results.file_of('digit_scenes')
    writers = [
        threading.Thread(target=results.add, args=(path, [row('drn_c_26', seed, 'pxap', 0.1)]))
        for seed in range(16)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [each.seed for each in results.read(path)] == list(range(16))


def test_the_commit_says_whether_code_has_changed_and_results_may(tmp_path, monkeypatch):
    monkeypatch.setattr(results, 'ROOT', tmp_path)
    assert results.commit() == ''  # no repository
    files = [tmp_path / 'results' / 'a.csv', tmp_path / 'drn_jax' / 'a.py']
    for file in files:
        file.parent.mkdir()
        file.write_text('old')
    author = ['-c', 'user.name=a', '-c', 'user.email=a@b']
    for words in (['init', '-q'], ['add', '.'], [*author, 'commit', '-qm', 'a']):
        subprocess.run(['git', *words], cwd=tmp_path, check=True)
    clean = results.commit()
    assert len(clean) >= 7 and int(clean, 16)
    files[0].write_text('new')
    assert results.commit() == clean
    files[1].write_text('new')
    assert results.commit() == f'{clean}-changed'
    monkeypatch.setenv('PATH', str(tmp_path))  # no git
    assert results.commit() == ''


@pytest.mark.parametrize(
    'text, problem',
    [
        ('network,data,metric,value\n', 'has the columns network, data, metric, value, and this'),
        ('', 'has the columns , and this version reads network'),
        (f'{",".join(results.Row._fields)}\na,b,0,c\n', 'line 2 of .* is no row of 8 columns'),
        (f'{",".join(results.Row._fields)}\na,b,x,c,1,d,e,f\n', 'line 2 of'),
        (f'{",".join(results.Row._fields)}\na,b,0,c,good,d,e,f\n', 'line 2 of'),
        (f'{",".join(results.Row._fields)}\na,b,0,c,1,d,e,f,g\n', 'line 2 of'),
    ],
)
def test_another_version_or_damage_is_a_sentence(tmp_path, text, problem):
    path = tmp_path / 'x.csv'
    path.write_text(text)
    with pytest.raises(InputError, match=problem):
        results.read(path)


# Tables.


@pytest.fixture
def measured(folder):
    """Three seeds of two networks, a fourth of one, and what resampling said."""
    values = {'drn_a_18': (0.06, 0.07, 0.08), 'drn_c_26': (0.03, 0.04, 0.05, 0.30)}
    rows = [
        row(network, seed, 'top1_error', value)
        for network, numbers in values.items()
        for seed, value in enumerate(numbers)
    ]
    pair = verdicts.pair_of('drn_c_26', 'drn_a_18')
    rows += [
        row(pair, verdicts.ALL, f'top1_error{verdicts.LOW}', -0.045),
        row(pair, verdicts.ALL, f'top1_error{verdicts.HIGH}', -0.01),
        row('drn_c_26', verdicts.ALL, f'top1_error{verdicts.LOW}', 0.031),
        row('drn_c_26', verdicts.ALL, f'top1_error{verdicts.HIGH}', 0.052),
    ]
    results.add(results.file_of('digit_scenes'), rows)
    return rows


def test_documents_get_their_tables_and_nothing_else_changes(measured, tmp_path):
    path = tmp_path / 'page.md'
    path.write_text(
        'Before.\n\n<!-- table: spread -->\nold\n<!-- end of table -->\n\nBetween.\n\n'
        '<!-- table: orderings_192 -->\n<!-- end of table -->\n'
    )
    assert tables.write_tables(path, check=True)
    assert 'old' in path.read_text()
    assert tables.write_tables(path)
    assert path.read_text().startswith(
        'Before.\n\n<!-- table: spread -->\n'
        '| network | seeds | mean | standard deviation | best | worst |\n'
        '|---|---|---|---|---|---|\n'
        '| DRN-A-18 | 3 | 7.0 | 1.0 | 6.0 | 8.0 |\n'
        '| DRN-C-26 | 4 | 10.5 | 13.0 | 3.0 | 30.0 |\n\n'
        'Measured at d6601ea, with python 3.11.7; jax 0.10.2, on 1 x cpu.\n'
        '<!-- end of table -->\n\nBetween.\n\n<!-- table: orderings_192 -->\nNot measured yet.\n'
    )
    assert not tables.write_tables(path)


def test_comparisons_have_three_seeds_whatever_else_was_measured(measured):
    assert '| DRN-C-26 | 3 | 4.0 ± 1.0 | - |' in tables.TABLES['networks']()


def test_an_unknown_table_is_a_sentence(tmp_path):
    path = tmp_path / 'page.md'
    path.write_text('<!-- table: nonsense -->\n<!-- end of table -->\n')
    with pytest.raises(InputError, match="wants a table 'nonsense'; there are results, networks"):
        tables.write_tables(path)


def test_the_documents_say_what_the_files_of_results_say():
    for path in tables.FILES:
        assert not tables.write_tables(path, check=True), 'run python benchmarks/tables.py'


def test_a_report_is_put_into_the_file_of_its_data(folder, tmp_path, monkeypatch):
    report = {
        'metrics': {'examples': 233, 'mean_iou': 0.5},
        'data': {'name': 'camvid'},
        'training': {'seconds': 10.5},
        'config': {'seed': 3, 'task': 'segmentation'},
        'versions': {'jax': '0.10.2'},
        'devices': {'kind': 'cpu', 'count': 1},
    }
    (tmp_path / 'report.json').write_text(json.dumps(report))
    monkeypatch.setattr(tables, 'FILES', ())
    monkeypatch.setattr(tables, 'PICTURE', tmp_path / 'results.png')
    flags = [f'--report={tmp_path}/report.json', '--network=drn_a_50']
    monkeypatch.setattr(sys, 'argv', ['tables.py', *flags])
    tables.main()
    rows = results.read(folder / 'camvid.csv')
    assert [each[:5] for each in rows] == [
        ('drn_a_50', 'camvid', 3, 'mean_iou', 0.5),
        ('drn_a_50', 'camvid', 3, 'training_seconds/segmentation', 10.5),
    ]


def test_the_picture_has_a_panel_for_each_metric(measured, tmp_path):
    pytest.importorskip('matplotlib')
    tables.draw(tmp_path / 'results.png')
    assert (tmp_path / 'results.png').read_bytes().startswith(PNG)


# Verdicts.


def test_an_ordering_holds_only_where_both_intervals_say_so(measured):
    found = results.by_network(
        measured, ['drn_a_18', 'drn_c_26', verdicts.pair_of('drn_c_26', 'drn_a_18')]
    )
    better = verdicts.Ordering('drn_c_26', 'drn_a_18', 'top1_error', False, 'error')
    found['drn_c_26'].pop(3)  # the run at 30 %
    verdict = verdicts.verdict(found, better)
    # Welch: a difference of 3 points, standard error sqrt(2 / 3), 4 degrees: t is 2.776.
    assert verdict.gain == pytest.approx(0.03) and verdict.images == (0.01, 0.045)
    np.testing.assert_allclose(verdict.seeds, [0.03 - 0.02267, 0.03 + 0.02267], atol=1e-5)
    assert verdict.word == 'holds'
    worse = verdicts.Ordering('drn_c_26', 'drn_a_18', 'top1_error', True, 'error')
    assert verdicts.verdict(found, worse).word == 'contradicted'
    found['drn_c_26'][3] = {'top1_error': 0.30}
    assert verdicts.verdict(found, better).word == 'undecided'


def test_an_interval_of_nothing_decides_nothing():
    some, none = (0.1, 0.2), (np.nan, np.nan)
    for intervals in ((some, none), (none, some)):
        assert verdicts.Verdict(0.1, *intervals).word == 'undecided'


def test_what_is_not_measured_has_no_verdict(measured):
    found = results.by_network(measured, ['drn_a_18', 'drn_c_26'])
    text = verdicts.verdicts_table(found, verdicts.ORDERINGS[:1])
    assert text.splitlines()[-1] == (
        '| classification, top-1 error | DRN-C-26 better than DRN-B-26 | - | - | - | not measured |'
    )


def test_intervals_stand_beside_the_means(measured):
    found = results.by_network(measured, ['drn_c_26'], (0, 1, 2, verdicts.ALL))
    text = verdicts.intervals_table(found, {'error': 'top1_error'})
    # Student: 4 ± 4.303 / sqrt(3).
    assert text.splitlines()[-1] == '| error | DRN-C-26 | 4.0 | 3.1 to 5.2 | 1.5 to 6.5 |'


def test_counts_of_single_images_add_up_to_those_of_all(digit_scenes_dir):
    experiment, variables = shared_run.located(shared_run.digits(digit_scenes_dir, 1))
    alone = orderings.image_counts(experiment, variables)
    together = evaluation.evaluator(experiment)(variables).counts
    assert alone['examples'].tolist() == [1] * 21 and alone['max_box_acc'].any()
    assert alone.keys() == together.keys()
    for name, counts in alone.items():
        np.testing.assert_array_equal(counts.sum(0), together[name], err_msg=name)


def test_resampling_draws_the_same_images_for_all_networks():
    def report(summed):
        return {'error': summed['wrong'] / summed['examples']}

    images = 200
    wrong = (np.random.RandomState(1).rand(images) < 0.3).astype(int)
    counts = {'examples': np.ones(images, int), 'wrong': wrong}
    errors = np.array([each['error'] for each in orderings.resample(report, counts, 2000)])
    # The standard error of a proportion.
    share = wrong.mean()
    assert errors.std() == pytest.approx((share * (1 - share) / images) ** 0.5, rel=0.06)
    again = [each['error'] for each in orderings.resample(report, counts, 2000)]
    assert errors.tolist() == again


def test_resampling_keeps_the_shapes_of_counts():
    def report(summed):
        assert isinstance(summed['examples'], int)
        return {'trace': summed['confusion'].trace()}

    counts = {'examples': np.ones(3, int), 'confusion': np.stack([np.eye(2, dtype=int)] * 3)}
    assert {each['trace'] for each in orderings.resample(report, counts, 5)} == {6}


# Runs.


@pytest.fixture
def commands(monkeypatch, tmp_path, folder):
    """Stands in for drn_jax: writes reports, and remembers the commands."""
    seen = []

    def run(words, **_):
        words = words[words.index('-m') + 1 :]
        seen.append(words)
        flags = dict(word.removeprefix('--').split('=', 1) for word in words[1:])
        place = pathlib.Path(flags.get('workdir') or flags['output'])
        seed = int(flags.get('config.seed') or place.name.rpartition('_')[2])
        report = {
            'metrics': {'examples': 10, 'top1_error': 0.1 + seed / 100},
            'data': {'name': 'digit_scenes'},
            'config': {'seed': seed},
            'versions': {'jax': '0.10.2'},
            'devices': {'kind': 'cpu', 'count': 1},
        }
        if flags.get('config.model.variant') == 'resnet_18':
            return argparse.Namespace(returncode=1)
        (place / 'report.json').write_text(json.dumps(report))
        return argparse.Namespace(returncode=0)

    monkeypatch.setattr(comparison.subprocess, 'run', run)
    monkeypatch.setattr(results, 'commit', lambda: 'd6601ea')
    return seen


def compare(monkeypatch, tmp_path, *flags):
    monkeypatch.setattr(sys, 'argv', ['comparison.py', f'--runs={tmp_path}/runs', *flags])
    comparison.main()


def test_stages_follow_each_other_and_are_not_done_again(commands, monkeypatch, tmp_path, capsys):
    flags = ['--networks', 'drn_a_18+smooth', '--seeds', '0', '1', '--workers=2']
    compare(monkeypatch, tmp_path, *flags)
    of_seed_0 = [words for words in commands if any('smooth_0' in word for word in words)]
    runs = tmp_path / 'runs' / 'digit_scenes'
    assert [words[0] for words in of_seed_0] == ['drn_jax.main', 'drn_jax.evaluate', 'drn_jax.main']
    assert '--config.model.degridding=smooth' in of_seed_0[0]
    assert f'--checkpoint={runs}/classification/drn_a_18+smooth_0' in of_seed_0[1]
    assert f'--config.init_from={runs}/classification/drn_a_18+smooth_0' in of_seed_0[2]
    assert len(commands) == 6
    compare(monkeypatch, tmp_path, *flags)
    assert len(commands) == 6
    assert '| DRN-A-18, smooth | 2 | 10.5 ± 0.7 |' in capsys.readouterr().out
    rows = results.read(results.file_of('digit_scenes'))
    assert {each.commit for each in rows} == {'d6601ea'}


def test_a_run_that_fails_ends_the_comparison_and_says_where(commands, monkeypatch, tmp_path):
    with pytest.raises(SystemExit, match='status 1, see .*resnet_18_0/log'):
        compare(monkeypatch, tmp_path, '--networks', 'resnet_18', 'drn_a_18')
    assert len(commands) == 1


def test_orderings_without_runs_are_a_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, 'argv', ['orderings.py', f'--runs={tmp_path}'])
    with pytest.raises(SystemExit, match=r'^error: .* has no report; first run benchmarks/comp'):
        results.run(orderings.main)
