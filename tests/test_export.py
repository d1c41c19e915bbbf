"""The export command; the networks are narrow and their weights random."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from exporting import narrow
from support.errors import refused

import drn_jax
from drn_jax import export
from drn_jax.checkpoints import manager
from drn_jax.errors import InputError
from drn_jax.exporting import artifacts, checks, onnx, stablehlo

ROOT = pathlib.Path(__file__).parent.parent


def checkpoint_of(directory, **options):
    source = narrow.source(**options)
    manager.save_variables(directory, source.config, source.variables)
    return str(directory)


@pytest.fixture(scope='module')
def classifier(tmp_path_factory):
    return checkpoint_of(tmp_path_factory.mktemp('checkpoint') / 'd_22', variant='drn_d_22')


@pytest.fixture(scope='module')
def segmenter(tmp_path_factory):
    return checkpoint_of(
        tmp_path_factory.mktemp('checkpoint') / 'd_22', variant='drn_d_22', task='segmentation'
    )


def run(checkpoint, output, *flags):
    export.main([f'--checkpoint={checkpoint}', f'--output={output}', *flags])


def images(*shape):
    return np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)


def test_a_file_for_all_platforms(tmp_path, capsys, classifier):
    output = f'{tmp_path}/new/d_22.stablehlo'
    run(classifier, output)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        'drn_d_22, step 0: images uint8 [batch, height, width, 3] -> logits float32 [batch, 3]'
    )
    assert lines[1].startswith('checked on cpu: answers up to ')
    assert lines[2:] == [
        'written for, but not run on: cuda, tpu (this machine has none)',
        f'read by {stablehlo.readers()}',
        f'{output}: written; read it with drn_jax.load_exported({output!r})',
    ]
    network = drn_jax.load_exported(output)
    assert network(images(2, 40, 24)).shape == (2, 3)
    assert os.listdir(tmp_path / 'new') == ['d_22.stablehlo']


@pytest.mark.parametrize(
    'name, form',
    [('a.onnx', 'onnx'), ('A.ONNX', 'onnx'), ('a.Onnx', 'onnx'), ('onnx', 'stablehlo')],
)
def test_the_suffix_chooses_the_form_in_any_case(name, form):
    flags = ['--checkpoint=a', f'--output={name}', '--size=32']
    assert export.parse_flags(flags)[0].format == form


def test_the_choices_reach_the_file(tmp_path, capsys, segmenter):
    output = f'{tmp_path}/labels'
    run(
        segmenter,
        output,
        '--answers=labels',
        '--size=16x24',
        '--platforms=cpu',
        '--no_check',
        '--input=normalized',
        '--dtype=bfloat16',
        '--config.data.mean=(0.5,0.5,0.5)',
    )
    assert capsys.readouterr().out.splitlines() == [
        'drn_d_22, step 0: images float32 [batch, 16, 24, 3] -> labels uint8 [batch, 16, 24]',
        'written for, but not run on: cpu (asked for with --no_check)',
        f'read by {stablehlo.readers()}',
        f'{output}: written; read it with drn_jax.load_exported({output!r})',
    ]
    card = drn_jax.load_exported(output).card
    assert card['normalization'] == {
        'mean': [0.5, 0.5, 0.5],
        'std': [0.182954, 0.186566, 0.184475],
        'done_by': 'the caller',
    }
    assert card['compute_dtype'] == 'bfloat16' and card['platforms'] == ['cpu']


def test_the_algorithm_of_the_convolutions(tmp_path, segmenter):
    output = f'{tmp_path}/phase'
    run(segmenter, output, '--convolution=phase', '--size=16', '--platforms=cpu', '--no_check')
    assert drn_jax.load_exported(output).card['convolution'] == 'phase'


def test_a_checkpoint_without_a_classifier_gives_its_last_map(tmp_path, capsys):
    checkpoint = checkpoint_of(tmp_path / 'backbone', variant='drn_c_26', num_classes=0)
    run(checkpoint, f'{tmp_path}/backbone.stablehlo', '--platforms=cpu', '--size=16', '--no_check')
    assert '-> features float32 [batch, 2, 2, 32]' in capsys.readouterr().out
    with refused(
        '--answers', match='needs a classifier, but the checkpoint has none; leave it out'
    ):
        run(checkpoint, f'{tmp_path}/b', '--answers=class_maps')


def test_an_onnx_file(tmp_path, capsys, segmenter):
    for name in onnx.LIBRARIES:
        pytest.importorskip(name)
    output = f'{tmp_path}/d_22.onnx'
    run(segmenter, output, '--size=24x40')
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        'drn_d_22, step 0: images uint8 [batch, 24, 40, 3] -> logits float32 [batch, 3, 5, 3]'
    )
    assert len(lines) == 3 and lines[1].startswith('checked on cpu: ')
    assert drn_jax.load_exported(output).card['form'] == 'onnx'


# -------------------------------------------------------------------------------------- bad input


def test_numbers_must_be_finite(tmp_path):
    source = narrow.source('drn_d_22')
    source.variables['params']['level5']['block0']['bn1']['bias'][1] = np.nan
    manager.save_variables(f'{tmp_path}/nan', source.config, source.variables)
    with refused(
        path=f'{tmp_path}/nan/checkpoints/0',
        match='not finite in params/level5/block0/bn1/bias; choose another step with --step$',
    ):
        run(f'{tmp_path}/nan', f'{tmp_path}/file')
    assert os.listdir(tmp_path) == ['nan']


def test_what_is_there_stays_unless_it_may_be_replaced(tmp_path, classifier):
    output = tmp_path / 'file'
    output.write_text('kept')
    for given, flags, message in (
        (output, [], 'exists; name another file, or add --overwrite to replace it'),
        (tmp_path, ['--overwrite'], 'is a directory; name a file'),
        ('gs://bucket/file', [], 'is not local; give a local path, and copy it yourself'),
        (output / 'below', [], f'cannot be written, because {output} is a file; name another'),
    ):
        with refused('--output', match=f'^--output={given} {message}'):
            run(classifier, given, *flags)
    assert output.read_text() == 'kept'
    run(classifier, output, '--overwrite', '--platforms=cpu', '--size=8', '--no_check')
    assert drn_jax.load_exported(output).card['platforms'] == ['cpu']


def test_a_file_that_answers_otherwise_is_not_kept(tmp_path, monkeypatch, classifier):
    output = tmp_path / 'file'
    output.write_text('kept')
    run_as_it_is = artifacts.Artifact.__call__
    monkeypatch.setattr(artifacts.Artifact, '__call__', lambda *args: run_as_it_is(*args) + 100)
    with pytest.raises(
        InputError, match='^the file answers unlike the network on cpu, by '
    ) as error:
        run(classifier, output, '--overwrite', '--platforms=cpu', '--size=8')
    assert error.value.path.startswith(str(tmp_path))  # the file that was not kept
    assert os.listdir(tmp_path) == ['file'] and output.read_text() == 'kept'


@pytest.mark.parametrize('library', onnx.LIBRARIES)
def test_missing_libraries_are_named(tmp_path, monkeypatch, library):
    for name in onnx.LIBRARIES:
        monkeypatch.setitem(sys.modules, name, None if name == library else os)
    message = (
        rf"^ONNX files need {library}, which is not installed \(.*\): pip .*'drn_jax\[onnx\]'$"
    )
    with refused(match=message):
        run('nowhere', f'{tmp_path}/a.onnx', '--size=8')


@pytest.mark.parametrize(
    'flags, field, message',
    [
        (['--platforms=cpu,gpu'], '--platforms', "'gpu' is unknown; known: cpu, cuda, tpu"),
        (['--platforms='], '--platforms', "'' is unknown; known: cpu, cuda, tpu"),
        (['--size=0'], '--size', "'0' is given, but it is a whole number, at least 1"),
        (['--size=8x'], '--size', "'' is given, but it is a whole number, at least 1"),
        (['--format=onnx'], '--size', 'is missing, and ONNX files have a fixed image size; add'),
        (['--format=onnx', '--size=8', '--platforms=cpu'], '--platforms', 'is for StableHLO'),
        (['--format=onnx', '--size=8', '--dtype=bfloat16'], '--dtype', 'bfloat16 is for StableHLO'),
        (
            ['--format=onnx', '--size=8', '--convolution=phase'],
            '--convolution',
            'phase is for StableHLO, ONNX Runtime has its own; leave it out',
        ),
        (['--convolution=winograd'], '--convolution', 'winograd needs a fixed image size; add'),
        (['--config.model.convolution=native'], '--config', 'is for training; give --convolution'),
        (['photograph.jpg'], '', 'photograph.jpg is not understood'),
    ],
)
def test_flags_that_cannot_be(flags, field, message):
    with refused(field, match=f'{message}.*; python -m drn_jax.export --help lists the flags$'):
        run('nowhere', 'file', *flags)


def test_other_bad_flags(tmp_path, classifier):
    file = f'{tmp_path}/file'
    with refused(path='nowhere'):
        run('nowhere', file)
    for flag, field, message in (
        ('--step=7', '--step', 'it holds 0'),
        ('--config.model.width=1.0', 'config.model.width', 'was 0.0625 and is now 1.0'),
        (
            "--config.data.class_names=('road',)",
            'config.data.class_names',
            '3 classes, but 1 names',
        ),
        ('--answers=labels', '--answers', 'is for segmentation, but the checkpoint is for class'),
    ):
        with refused(field, match=message):
            run(classifier, file, flag)
    assert not os.listdir(tmp_path)


def test_the_check_runs_on_what_is_here():
    assert [device.platform for device in checks.devices(('cuda', 'cpu'))] == ['cpu']
    assert checks.devices(('cuda', 'tpu')) == []


def test_help_explains():
    result = subprocess.run(
        [sys.executable, '-m', 'drn_jax.export', '--help'],
        cwd=ROOT,
        timeout=120,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0 and not result.stderr
    assert 'python -m drn_jax.export --checkpoint=runs/drn_c_26 --output=' in result.stdout
