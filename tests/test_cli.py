"""The command `drn-jax`: its verbs, what it lists, and how its commands name themselves."""

import ast
import configparser
import importlib
import importlib.metadata
import inspect
import pathlib
import platform
import subprocess
import sys

import flax
import jax
import pytest
import yaml
from support.errors import refused

import drn_jax
from drn_jax import cli, commands
from drn_jax.errors import InputError

ROOT = pathlib.Path(__file__).parent.parent
CONFIG = ROOT / 'configs' / 'drn_c_26.py'


@pytest.fixture
def argv(monkeypatch):
    """Takes back what a verb writes into `sys.argv`."""
    monkeypatch.setattr(sys, 'argv', ['/somewhere/bin/drn-jax'])


def python_m(*arguments):
    """Runs `python -m drn_jax ...` in a process of its own."""
    return subprocess.run(
        [sys.executable, '-m', 'drn_jax', *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize('verb, module', cli.VERBS.items())
def test_every_verb_has_a_command_and_a_line(verb, module):
    source = (ROOT / 'drn_jax' / f'{module}.py').read_text()
    line = (ast.get_docstring(ast.parse(source)) or '').splitlines()[0]
    assert line.endswith('.')
    assert f'  {verb:12}{line}' in cli.overview('drn-jax').splitlines()
    assert callable(importlib.import_module(f'drn_jax.{module}').main)


def test_every_command_has_a_verb():
    doors = {
        path.stem
        for path in (ROOT / 'drn_jax').glob('*.py')
        if 'commands.run(main)' in path.read_text()
    }
    assert doors == set(cli.VERBS.values())


@pytest.mark.parametrize('flags', [[], ['--help'], ['-h']])
def test_alone_it_lists_the_verbs(flags, capsys):
    cli.main(flags)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == 'usage: drn-jax VERB [FLAGS]'
    assert [line.split()[0] for line in lines if line.startswith('  ')] == list(cli.VERBS)


def test_versions_and_devices(capsys):
    cli.main(['--version'])
    assert capsys.readouterr().out.splitlines() == [
        f'drn_jax {drn_jax.__version__}',
        f'jax {jax.__version__}',
        f'jaxlib {importlib.metadata.version("jaxlib")}',
        f'flax {flax.__version__}',
        f'Python {platform.python_version()}',
        'devices: 8 x cpu',
    ]


def test_a_platform_that_cannot_be_used_is_said(monkeypatch, capsys):
    def devices():
        raise RuntimeError("Unable to initialize backend 'tpu': no TPU\nmore")

    monkeypatch.setattr(jax, 'devices', devices)
    cli.main(['--version'])
    assert capsys.readouterr().out.splitlines()[-1] == (
        "devices: none (Unable to initialize backend 'tpu': no TPU)"
    )


@pytest.mark.parametrize(
    'verb, nearest',
    [
        ('trian', 'train'),
        ('check_data', 'check-data'),
        ('exprot', 'export'),
        ('--versoin', '--version'),
    ],
)
def test_an_unknown_verb_is_one_sentence_with_the_nearest(verb, nearest):
    with pytest.raises(InputError) as error:
        cli.main([verb, '--help'])
    assert str(error.value) == (
        f'{verb!r} is no verb of drn-jax; the nearest is {nearest}, and drn-jax alone lists all'
    )


@pytest.mark.parametrize('verb, module', cli.VERBS.items())
def test_help_names_the_command_as_it_was_called(verb, module, argv, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main([verb, '--help'])
    text = capsys.readouterr().out
    assert end.value.code == 0 and text.startswith(f'usage: drn-jax {verb} ')
    assert f'\n  drn-jax {verb} --' in text and f'python -m drn_jax.{module}' not in text


def test_errors_and_reports_name_the_command_as_it_was_called(argv):
    with refused('--workdir', match=r'--workdir; drn-jax train --help lists the flags$'):
        cli.main(['train', f'--config={CONFIG}'])
    assert commands.command_line('main', ['--workdir=a b']) == "drn-jax train '--workdir=a b'"
    sys.argv = ['/somewhere/drn_jax/main.py']
    assert commands.command_line('main', ['--workdir=a']) == 'python -m drn_jax.main --workdir=a'


def test_as_a_module():
    done = python_m()
    assert (done.returncode, done.stderr) == (0, '')
    assert done.stdout == cli.overview('python -m drn_jax') + '\n'
    done = python_m('trian')
    assert (done.returncode, done.stdout) == (1, '')
    assert done.stderr == (
        "error: 'trian' is no verb of python -m drn_jax; the nearest is train, and "
        'python -m drn_jax alone lists all\n'
    )
    done = python_m('plan', f'--config={CONFIG}', '--topology=v9:1x1')
    assert done.returncode == 1 and done.stderr.startswith('error: --topology=v9:1x1 is unknown;')


def test_the_entry_point_and_the_version_are_those_of_setup_cfg(monkeypatch):
    setup = configparser.ConfigParser()
    setup.read(ROOT / 'setup.cfg')
    name, _, target = setup['options.entry_points']['console_scripts'].strip().partition(' = ')
    module, _, function = target.partition(':')
    run = getattr(importlib.import_module(module), function)
    assert name == 'drn-jax' and not any(
        parameter.default is parameter.empty
        for parameter in inspect.signature(run).parameters.values()
    )

    def version(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, 'version', version)
    assert drn_jax._version() == setup['metadata']['version'] == drn_jax.__version__


def test_hooks_before_a_commit_need_nothing_but_the_environment():
    (repo,) = yaml.safe_load((ROOT / '.pre-commit-config.yaml').read_text())['repos']
    assert repo['repo'] == 'local'
    assert {hook['language'] for hook in repo['hooks']} == {'system'}
    checks = (ROOT / 'launch' / 'test.sh').read_text()
    modules = [hook['entry'].split()[2] for hook in repo['hooks'] if '-m ' in hook['entry']]
    assert modules == ['ruff', 'ruff', 'mypy']
    assert all(f'-m {module}' in checks for module in modules)
