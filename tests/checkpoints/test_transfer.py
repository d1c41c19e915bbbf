"""Starting from the weights of another run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checkpoints.test_manager import config_of, save, state_of
from support.errors import refused
from training import tiny

from drn_jax.checkpoints import manifests, restore, transfer
from drn_jax.distributed import meshes
from drn_jax.training import states, steps


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """A checkpoint of a network with ten classes; its values start at 7."""
    workdir = tmp_path_factory.mktemp('run')
    save(workdir, config_of(), (7, None))
    return workdir


def test_everything_is_taken_by_the_same_network(run):
    initial = state_of(config_of()).variables
    found, report = transfer.start_from(restore.find(run), initial)
    jax.tree.map(np.testing.assert_array_equal, found, state_of(config_of(), offset=7).variables)
    assert jax.tree.structure(found) == jax.tree.structure(initial)
    assert not report.new and not report.unused
    assert len(found['params']['head']['bias'].devices()) == 8


def test_files_are_checked_once(run, monkeypatch):
    checked = []
    monkeypatch.setattr(manifests, 'problem', lambda path, without: checked.append(path))
    transfer.start_from(restore.find(run), state_of(config_of()).variables)
    assert checked == [run / 'checkpoints' / '7']


def test_a_head_of_another_size_stays_new(run):
    initial = state_of(config_of(**{'model.num_classes': 3})).variables
    found, report = transfer.start_from(restore.find(run), initial)
    wanted = state_of(config_of(), offset=7).variables
    for part, source in (('head', initial), ('stem', wanted)):
        jax.tree.map(np.testing.assert_array_equal, found['params'][part], source['params'][part])
    assert sorted(report.new) == sorted(report.unused) == ['params/head/bias', 'params/head/kernel']
    assert str(report) == (
        f'taken: {len(report.taken)} arrays; new: 2 (params/head/bias, params/head/kernel); '
        'unused: 2 (params/head/bias, params/head/kernel)'
    )


def test_another_backbone_is_refused(run):
    initial = state_of(config_of(**{'model.variant': 'resnet_34'})).variables
    with refused('config.init_from', restore.find(run), match='holds resnet_18, width 0.0625,'):
        transfer.start_from(restore.find(run), initial)


def test_smoothing_kernels_may_be_new(tmp_path):
    save(tmp_path, config_of(**{'model.variant': 'drn_a_18'}), (7, None))
    for degridding, new in (('none', 0), ('smooth', 7)):
        config = config_of(**{'model.variant': 'drn_a_18', 'model.degridding': degridding})
        _, report = transfer.start_from(restore.find(tmp_path), state_of(config).variables)
        assert len(report.new) == new and not report.unused
    config = config_of(**{'model.variant': 'drn_a_18', 'model.degridding': 'levels'})
    with refused('config.init_from', restore.find(tmp_path), match='which is another network'):
        transfer.start_from(restore.find(tmp_path), state_of(config).variables)


def one_step(**changes):
    """Variables before and after one step of the tiny network."""
    config = tiny.tiny_config()
    config.update_from_flattened_dict(changes)
    task, mesh = tiny.tiny_task(config), meshes.create_mesh(1)
    optimizer = states.create_optimizer(config.optimizer, 0.1)
    state = states.initialize(task.model, optimizer, jax.random.key(1), mesh)
    before = jax.device_get(state.variables)
    state, _ = steps.train_step(task, optimizer, mesh)(
        state, jax.device_put(tiny.tiny_batch()), jax.random.key(2)
    )
    return before, jax.device_get(state.variables)


def test_frozen_statistics_stay_while_parameters_learn():
    before, after = one_step(**{'model.freeze_batch_stats': True})
    jax.tree.map(np.testing.assert_array_equal, before['batch_stats'], after['batch_stats'])
    assert jnp.abs(before['params']['conv']['kernel'] - after['params']['conv']['kernel']).max() > 0
    moved, after = one_step()
    assert np.abs(moved['batch_stats']['bn']['mean'] - after['batch_stats']['bn']['mean']).max() > 0


def test_the_backbone_moves_at_its_own_rate():
    before, full = one_step()
    _, tenth = one_step(**{'optimizer.backbone_lr_scale': 0.1})

    def change(after, name):
        return np.asarray(after['params'][name]['kernel'] - before['params'][name]['kernel'])

    np.testing.assert_allclose(change(tenth, 'head'), change(full, 'head'), atol=1e-7)
    np.testing.assert_allclose(change(tenth, 'conv'), 0.1 * change(full, 'conv'), atol=1e-7)
    assert np.abs(change(full, 'conv')).max() > 1e-4
