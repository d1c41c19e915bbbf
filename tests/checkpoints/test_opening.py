"""Checkpoints opened under new flags."""

import jax
import numpy as np
import pytest
from models.fills import random_variables
from support.errors import refused

import drn_jax
from drn_jax import checkpoints, convert, recipes
from drn_jax.checkpoints import manager, manifests


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """A run on four devices, and its variables."""
    config = recipes.classification()
    config.model.variant, config.model.width, config.model.num_classes = 'drn_a_18', 1 / 16, 3
    config.mesh.devices, config.mesh.spatial = 4, 2
    config.data.class_names = ('ant', 'bee', 'cat')
    model = drn_jax.create_model('drn_a_18', 3, width=1 / 16)
    variables, directory = random_variables(model), tmp_path_factory.mktemp('run')
    manager.save_variables(directory / 'run', config, variables)
    return directory / 'run', variables


def test_a_checkpoint_is_used_on_all_devices_whatever_the_run_had(run):
    directory, variables = run
    opened = checkpoints.open(directory)
    assert (opened.step, opened.path) == (0, directory / 'checkpoints' / '0')
    assert opened.model == drn_jax.create_model('drn_a_18', 3, width=1 / 16)
    assert (opened.config.mesh.devices, opened.config.mesh.spatial) == (0, 1)
    jax.tree.map(np.testing.assert_array_equal, opened.read_variables(), variables)


def test_flags_lie_over_the_stored_configuration(run):
    flags = ['--config.mesh.devices=2', '--config.model.dtype=bfloat16']
    opened = checkpoints.open(run[0], 0, flags)
    assert opened.config.mesh.devices == 2 and opened.model.dtype == 'bfloat16'


@pytest.mark.parametrize(
    'flag, field, message',
    [
        ('--config.batch_sise=8', 'config.batch_sise', ''),
        ('--config.batch_size=many', 'config.batch_size', 'invalid literal'),
        ('--config.batch_size=0', 'config.batch_size', 'is 0; it must be at least 1'),
        ('--config.model.width=1.0', 'config.model.width', 'was 0.0625 and is now 1.0'),
        ('--config.data.class_names=cat,bee,ant', 'config.data.class_names', 'is now .*cat.*bee'),
        ('--config.task=segmentation', 'config.task', "was 'classification' and is now 'seg"),
    ],
)
def test_flags_that_do_not_fit_are_refused(run, flag, field, message):
    with refused(field, match=message):
        checkpoints.open(run[0], overrides=[flag])


def test_steps_that_are_not_there_are_refused(run):
    with refused('--step', run[0]):
        checkpoints.open(run[0], 7)


@pytest.fixture
def checked(monkeypatch):
    """The folders whose files were hashed and compared."""
    folders = []
    monkeypatch.setattr(manifests, 'problem', lambda path, without: folders.append(path))
    return folders


def test_files_are_checked_once(run, checked, tmp_path):
    checkpoints.open(run[0]).read_variables()
    assert checked == [run[0] / 'checkpoints' / '0']
    convert.main([f'--checkpoint={run[0]}', f'--output={tmp_path}/weights.safetensors'])
    assert len(checked) == 2
