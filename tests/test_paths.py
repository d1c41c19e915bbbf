"""Directories as users write them: local, in Cloud Storage, misspelt, and in other storages."""

import os
import pathlib
import re
import subprocess
import sys
import types

import pytest
from etils import epath
from support.errors import refused

import drn_jax
from drn_jax import (
    check_data,
    commands,
    convert,
    evaluate,
    experiments,
    main,
    paths,
    plan,
    recipes,
)
from drn_jax.checkpoints import manager
from drn_jax.errors import InputError
from drn_jax.prediction import inputs
from drn_jax.training import loop

ROOT = pathlib.Path(__file__).parent.parent
CONFIG = f'--config={ROOT}/configs/digit_scenes.py'
REFUSED = {
    '': 'is empty; name a directory',
    'gs:/bucket/run': 'is misspelt; Cloud Storage is gs://BUCKET/FOLDER, and a local directory',
    'gs:bucket/run': 'is misspelt',
    'gs//bucket/run': 'is misspelt',
    'GS://bucket/run': 'is misspelt',
    'gs://': 'names no bucket; give gs://BUCKET/FOLDER',
    'gs:///run': 'names no bucket',
    'gs://bucket/a/../run': "holds '..', '?' or '#', which cannot be used in Cloud Storage; give",
    'gs://bucket/run?': "holds '..', '?' or '#'",
    'gs://bucket/run#1': "holds '..', '?' or '#'",
    '/gs/bucket/run': "lies in a folder of the name 'gs' that is taken for gs://bucket/run; give",
    '/a/../s3/run': "lies in a folder of the name 's3' that is taken for s3://run; give",
    's3://bucket/run': 'is in a storage that is not supported; give a local directory, or one of '
    'Google Cloud Storage as gs://BUCKET/FOLDER',
    's3:/bucket/run': 'is in a storage that is not supported',
    'az://container/run': 'is in a storage that is not supported',
    'hdfs://host/run': 'is in a storage that is not supported',
    'gcs://bucket/run': 'is in a storage that is not supported',
    'hf://name/run': 'is in a storage that is not supported',
    'https://storage.googleapis.com/bucket': 'is in a storage that is not supported',
    ' gs://bucket/run': 'is in a storage that is not supported',
    'runs/gs://bucket/run': 'is in a storage that is not supported',
    'file://runs/a': 'is no absolute path; give file:///DIR, or the path alone',
    'file:runs/a': 'is no absolute path',
    '~nobody_here/run': 'is the home directory of a user who does not exist; give another',
}


@pytest.mark.parametrize(
    'given, wanted',
    [
        ('gs://bucket', 'gs://bucket'),
        ('gs://bucket/a b/run/', 'gs://bucket/a b/run'),
        (epath.Path('gs://bucket/run'), 'gs://bucket/run'),
        ('/a/b/', '/a/b'),
        ('/a/../b', '/b'),
        ('//a/b', '//a/b'),
        (pathlib.Path('/a/b'), '/a/b'),
        ('~', '/home/me'),
        ('~/runs', '/home/me/runs'),
        ('file:///a/b', '/a/b'),
        ('file://localhost/a/b', '/a/b'),
        ((pathlib.Path('/a/b c').as_uri()), '/a/b c'),
        ('run', '/here/run'),
        ('./~', '/here/~'),
        ('./gs:/bucket', '/here/gs:/bucket'),
        ('gs/bucket', '/here/gs/bucket'),
        ('runs/12:30', '/here/runs/12:30'),
        ('run:1', '/here/run:1'),
    ],
)
def test_directories_are_absolute_and_keep_their_scheme(given, wanted, monkeypatch):
    monkeypatch.setenv('HOME', '/home/me')
    monkeypatch.setattr(os, 'getcwd', lambda: '/here')
    found = paths.directory(given)
    assert isinstance(found, epath.Path) and str(found) == wanted
    assert paths.directory(found) == found


@pytest.mark.parametrize('given', REFUSED)
def test_what_is_no_directory_is_refused_in_one_sentence(given):
    start = f'--workdir={given}'.removesuffix('=')
    with refused('--workdir', given, match=f'^{re.escape(f"{start} {REFUSED[given]}")}'):
        paths.directory(given, '--workdir')
    with refused(path=given, match=re.escape(REFUSED[given])):
        paths.directory(given)


@pytest.mark.parametrize('character', '[]*?{}\\')
def test_runs_are_refused_where_orbax_would_read_other_files(character, tmp_path):
    name = f'{tmp_path}/a{character}/run'
    assert str(paths.directory(name)) == name
    config = recipes.digit_scenes()
    for use in (
        lambda: main.main([CONFIG, f'--workdir={name}']),
        lambda: loop.train(types.SimpleNamespace(config=config), name),
        lambda: manager.Checkpoints(name, config),
    ):
        with refused('--workdir', name, match=re.escape(f'holds {character}, which Orbax takes')):
            use()
    with refused('--output', name):
        convert.parse_flags(['--input=a.pth', f'--output={name}'])
    for use in (lambda: manager.save_variables(name, config, {}), lambda: drn_jax.load(name)):
        with refused(path=name):
            use()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('find', [paths.directory, paths.local], ids=['directory', 'local'])
def test_names_that_are_no_text_are_refused(find):
    name = os.fsdecode(b'runs/\xff')
    with refused('--output', match=r"^--output 'runs/\\udcff' is no UTF-8; rename it, or give ano"):
        find(name, '--output')


def start_from(given):
    config = recipes.digit_scenes()
    config.init_from = given
    return config


@pytest.mark.parametrize(
    'given, wanted',
    [
        ('~/file', '/home/me/file'),
        ('out/file', 'out/file'),
        ('file:///a/b', '/a/b'),
        ('run:1', 'run:1'),
    ],
)
def test_what_must_be_local(given, wanted, monkeypatch):
    monkeypatch.setenv('HOME', '/home/me')
    assert paths.local(given, '--output') == pathlib.Path(wanted)


@pytest.mark.parametrize('given', ['gs://bucket/a', 'gs:/bucket/a', 's3://bucket/a', 'hf://a/b'])
def test_what_must_be_local_and_is_not(given):
    with refused(
        '--output',
        given,
        match='is not local; give a local path, and copy it yourself$',
    ):
        paths.local(given, '--output')
    with refused('', given, match='^\\w+:/.* is not local'):
        inputs.find_photographs([given])


@pytest.mark.parametrize(
    'open_it',
    [
        lambda given: main.main([CONFIG, f'--workdir={given}']),
        lambda given: evaluate.main([f'--checkpoint={given}']),
        lambda given: evaluate.parse_flags(['--checkpoint=a', f'--output={given}']),
        lambda given: convert.main(['--variant=drn_c_26', '--input=a.pth', f'--output={given}']),
        lambda given: convert.main([f'--checkpoint={given}', '--output=new.safetensors']),
        lambda given: plan.main([CONFIG, '--topology=cpu', f'--output={given}']),
        lambda given: check_data.main(['--data_dir=a', f'--output={given}']),
        lambda given: experiments.resolve(start_from(given)),
        lambda given: manager.Checkpoints(given, recipes.digit_scenes()),
        lambda given: manager.save_variables(given, recipes.digit_scenes(), {}),
        drn_jax.load,
    ],
    ids=[
        'main',
        'evaluate',
        'report',
        'convert',
        'convert_from',
        'plan',
        'check_data',
        'init_from',
        'checkpoints',
        'save',
        'load',
    ],
)
@pytest.mark.parametrize('given', ['gs:/bucket/run', 's3://bucket/run'])
def test_whatever_opens_a_directory_refuses_the_others(open_it, given, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=re.escape(f'{given} {REFUSED[given]}')) as error:
        open_it(given)
    assert error.value.path == given
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    'command',
    [['main', CONFIG, '--workdir={}'], ['evaluate', '--checkpoint={}']],
    ids=lambda words: words[0],
)
@pytest.mark.parametrize('given', ['gs:/bucket/run', 'hdfs://host/run', 'gcs://bucket/run'])
def test_commands_end_with_one_sentence_and_status_1(command, given, tmp_path):
    module, *flags = command
    done = subprocess.run(
        [sys.executable, '-m', f'drn_jax.{module}', *[flag.format(given) for flag in flags]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
    )
    assert done.returncode == 1 and not done.stdout
    *_, line = done.stderr.splitlines()  # libraries may say what they miss before
    assert line.startswith('error: ') and f'{given} {REFUSED[given]}' in line
    assert 'Traceback' not in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('start', ['', 'file://', '~/'])
def test_a_configuration_is_found_like_a_directory(start, tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    (tmp_path / 'a.py').write_text(
        'from drn_jax import recipes\n'
        'def get_config(variant="drn_a_18"):\n'
        '  config = recipes.classification(); config.model.variant = variant; return config\n'
    )
    place = f'{start}a.py' if start == '~/' else f'{start}{tmp_path}/a.py'
    assert commands.load_config(place, []).model.variant == 'drn_a_18'
    assert commands.load_config(f'{place}:drn_d_22', []).model.variant == 'drn_d_22'


@pytest.mark.parametrize('given', ['https://host/a.py', 'gs://bucket/a.py'])
def test_a_configuration_is_local(given):
    with refused('--config'):
        commands.load_config(given, [])


def test_a_local_run_may_be_given_as_a_file_url(tmp_path):
    with refused(path=tmp_path.as_uri(), match='holds no finished checkpoint'):
        drn_jax.load(tmp_path.as_uri())
