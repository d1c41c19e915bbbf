"""What is installed and what setup.cfg asks for: one sentence where they differ."""

import configparser
import importlib.metadata
import pathlib

import pytest
from packaging.requirements import Requirement

from drn_jax import requirements

SETUP = pathlib.Path(__file__).parent.parent / 'setup.cfg'


@pytest.fixture()
def installed(monkeypatch):
    """Versions that can be changed, those that fit at first; None is not installed."""
    versions = dict.fromkeys(requirements.TOGETHER, '1.5')

    def version(name):
        if versions[name] is None:
            raise importlib.metadata.PackageNotFoundError
        return versions[name]

    monkeypatch.setattr(importlib.metadata, 'version', version)
    monkeypatch.setattr(
        importlib.metadata,
        'requires',
        lambda owner: {
            'drn_jax': [
                'absl-py>=3',
                'flax>=3; python_version < "3"',
                'flax>=1.4,<2; python_version >= "3"',
                'jax>=1,<2',
                'jax[tpu]>=7; extra == "tpu"',
                'orbax-checkpoint<2',
            ],
            'jax': ['jaxlib<=1.5,>=1.4', 'jaxlib==1.4; extra == "ci"', 'numpy>=9'],
            'optax': ['jax>=1.5', 'jaxlib'],
        }.get(owner),
    )
    return versions


def test_what_fits_is_accepted(installed):
    requirements.check()
    installed['flax'] = '1.9.0.dev20270101'
    requirements.check()


def test_what_does_not_fit_is_named(installed, monkeypatch):
    installed.update({'flax': '1.3', 'orbax-checkpoint': '2.0.1'})
    message = (
        'the installed flax 1.3 and orbax-checkpoint 2.0.1 do not fit drn_jax; '
        "pip install 'flax<2,>=1.4' 'orbax-checkpoint<2'"
    )
    with pytest.raises(ImportError) as error:
        requirements.check()
    assert str(error.value) == message
    for program in ('-m', '/usr/bin/drn-jax'):  # a command ends without a traceback
        monkeypatch.setattr('sys.argv', [program, 'train'])
        with pytest.raises(SystemExit) as ended:
            requirements.check()
        assert ended.value.code == f'error: {message}'


@pytest.mark.parametrize(
    'name, version, message',
    [
        ('jaxlib', '1.6', "jaxlib 1.6 does not fit jax 1.5; pip install 'jaxlib<=1.5,>=1.4'"),
        ('jax', '1.4', "jax 1.4 does not fit optax 1.5; pip install 'jax>=1.5'"),
    ],
)
def test_what_does_not_fit_another_library_is_named(installed, name, version, message):
    installed[name] = version
    with pytest.raises(ImportError) as error:
        requirements.check()
    assert str(error.value) == f'the installed {message}'


def test_what_is_missing_is_named(installed):
    installed['jax'] = None
    with pytest.raises(ImportError, match=r'jax \(none\) does not fit drn_jax; pip install'):
        requirements.check()


def test_a_checkout_that_is_not_installed_declares_nothing(installed, monkeypatch):
    def requires(_):
        raise importlib.metadata.PackageNotFoundError

    monkeypatch.setattr(importlib.metadata, 'requires', requires)
    installed['jax'] = None
    requirements.check()


def test_setup_bounds_them_above_for_every_python():
    setup = configparser.ConfigParser()
    setup.read(SETUP)
    wanted = list(map(Requirement, setup['options']['install_requires'].split('\n')[1:]))
    for python in ('3.11', '3.12', '3.13'):
        found = [
            each.name
            for each in wanted
            if each.name in requirements.TOGETHER
            and (not each.marker or each.marker.evaluate({'python_version': python}))
            and any(one.operator == '<' for one in each.specifier)
        ]
        assert {*found, 'jaxlib'} == {*requirements.TOGETHER}  # jaxlib is bounded by jax
        assert len(found) == len({*found})
