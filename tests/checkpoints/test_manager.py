"""Saving, keeping, restoring and finding checkpoints."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.errors import refused

import drn_jax
from drn_jax import recipes, tasks
from drn_jax.checkpoints import manager, manifests, restore
from drn_jax.distributed import meshes
from drn_jax.training import states

# What a network of this size costs to compile is what these tests would otherwise take.
VARIANT, WIDTH = 'resnet_18', 1 / 16


def config_of(**changes):
    config = recipes.digit_scenes()
    config.update_from_flattened_dict(
        {'model.variant': VARIANT, 'model.width': WIDTH, 'model.num_classes': 10, **changes}
    )
    return config


def state_of(config, step=0, devices=8, offset=0.0):
    """Returns a state whose every value is known, without compiling the network."""
    mesh = meshes.create_mesh(devices)
    model = tasks.create_network(config)
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    leaves, tree = jax.tree.flatten(shapes)
    variables = jax.tree.unflatten(
        tree,
        [
            np.arange(leaf.size, dtype=np.float32).reshape(leaf.shape) + i + offset
            for i, leaf in enumerate(leaves)
        ],
    )
    optimizer = states.create_optimizer(config.optimizer, 0.1)
    state = states.TrainState(np.int32(step), variables, optimizer.init(variables['params']))
    return jax.device_put(state, meshes.replicated(mesh))


def save(workdir, config, *steps):
    """Saves states with these numbers of steps and top-1 errors."""
    with manager.Checkpoints(workdir, config) as saved:
        for step, error in steps:
            saved.save(state_of(config, step, offset=step))
            if error is not None:
                saved.add_metrics(step, {'top1_error': error, 'top5_error': 0.0})


def assert_same(found, wanted):
    jax.tree.map(
        lambda a, b: np.testing.assert_array_equal(a, b),
        jax.device_get(found),
        jax.device_get(wanted),
    )


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """A run with the steps 3 and 4, and 2, which is the best."""
    workdir = tmp_path_factory.mktemp('run')
    save(workdir, config_of(**{'checkpoint.keep_last': 2}), (1, 0.5), (2, 0.2), (3, 0.4), (4, None))
    return workdir


def test_the_last_and_the_best_are_kept(run):
    assert sorted(int(path.name) for path in (run / 'checkpoints').iterdir()) == [2, 3, 4]


def test_highest_may_be_best(tmp_path):
    save(
        tmp_path,
        config_of(**{'checkpoint.keep_last': 2, 'checkpoint.best_is': 'highest'}),
        (1, 0.5),
        (2, 0.2),
        (3, 0.4),
        (4, 0.3),
    )
    assert sorted(int(path.name) for path in (tmp_path / 'checkpoints').iterdir()) == [1, 3, 4]
    assert restore.find(tmp_path).name == '1'


@pytest.mark.parametrize('devices', [1, 4, 8])
def test_the_newest_state_is_restored_on_any_number_of_devices(run, devices):
    config = config_of()
    with manager.Checkpoints(run, config) as saved:
        state = saved.restore(state_of(config, devices=devices))
    assert int(state.step) == 4
    assert_same(state, state_of(config, step=4, offset=4))
    assert len(state.variables['params']['head']['bias'].devices()) == devices


def test_a_new_run_has_no_latest_step(tmp_path):
    with manager.Checkpoints(tmp_path, config_of()) as saved:
        assert saved.latest_step() is None
        saved.check_same_run()


def test_another_run_is_refused(run):
    with (
        manager.Checkpoints(run, config_of(seed=9)) as saved,
        refused('config.seed', run),
    ):
        saved.check_same_run()


def test_another_network_is_refused_with_its_differences(run):
    config = config_of(**{'model.num_classes': 7, 'model.variant': 'resnet_34'})
    with manager.Checkpoints(run, config) as saved, refused(path=run / 'checkpoints/4') as error:
        saved.restore(state_of(config))
    assert 'holds another network than the configuration asks for: parameters' in str(error.value)
    assert 'missing (' in str(error.value)
    assert 'params/head/bias [10] instead of [7]' in str(error.value)


def test_another_metric_may_decide_from_some_step_on(tmp_path):
    config = config_of(**{'checkpoint.keep_last': 2})
    save(tmp_path, config, (1, 0.5))
    config.checkpoint.best_metric = 'top5_error_10crop'
    save(tmp_path, config, (2, 0.2))
    config.checkpoint.best_metric = 'top5_error'
    save(tmp_path, config, (3, 0.4))
    assert restore.find(tmp_path).name == '2'  # the first of equals


def test_two_runs_do_not_share_a_directory(tmp_path):
    with (
        manager.Checkpoints(tmp_path, config_of()),
        refused(path=tmp_path, match='is in use by another run'),
    ):
        manager.Checkpoints(tmp_path, config_of())
    with manager.Checkpoints(tmp_path, config_of()):
        pass


def test_a_directory_that_cannot_be_made(tmp_path):
    (tmp_path / 'file').write_text('')
    with refused(path=tmp_path / 'file', match='Not a directory'):
        manager.Checkpoints(tmp_path / 'file', config_of())


def test_damaged_checkpoints_are_named(tmp_path):
    save(tmp_path, config_of(), (1, None))
    path = tmp_path / 'checkpoints' / '1'
    (path / 'variables/_METADATA').unlink()
    with refused(path=path, match='damaged: variables/_METADATA is missing; choose another'):
        drn_jax.load(tmp_path)
    manifests.write(path)  # as if it had never been there
    with refused(path=path, match='is damaged and cannot be read'):
        drn_jax.load(tmp_path)


def test_load_rebuilds_the_best_network_from_the_checkpoint_alone(run):
    model, variables = drn_jax.load(run)
    assert (model.variant, model.num_classes, model.width) == (VARIANT, 10, WIDTH)
    assert_same(variables, state_of(config_of(), offset=2).variables)
    assert {len(leaf.devices()) for leaf in jax.tree.leaves(variables)} == {1}


def test_load_takes_a_step_and_every_form_of_directory(run):
    wanted = state_of(config_of(), offset=4).variables
    for directory, step in (
        (run, 4),
        (run / 'checkpoints', 4),
        (run / 'checkpoints' / '4', None),
        (str(run), 4),
    ):
        assert_same(drn_jax.load(directory, step)[1], wanted)


def test_the_latest_is_taken_where_none_was_evaluated(tmp_path):
    save(tmp_path, config_of(), (1, None), (2, None))
    assert restore.find(tmp_path).name == '2'


def test_unfinished_steps_are_not_seen(run, tmp_path):
    (run / 'checkpoints' / '9').mkdir()
    try:
        assert restore.find(run).name == '2'
        with refused('--step', run, match='it holds 2, 3, 4$'):
            restore.find(run, 9)
    finally:
        (run / 'checkpoints' / '9').rmdir()


def test_a_folder_of_weights_names_its_file(tmp_path):
    (tmp_path / 'model.safetensors').touch()
    with refused('', tmp_path, match='of one step, or the file model.safetensors in it$'):
        restore.find(tmp_path)


def test_what_is_not_a_checkpoint_is_named(run, tmp_path):
    with refused(path=tmp_path / 'nowhere'):
        drn_jax.load(tmp_path / 'nowhere')
    with refused(path=tmp_path, match='holds no finished checkpoint'):
        drn_jax.load(tmp_path)
    with refused('--step', run / 'checkpoints' / '3'):
        drn_jax.load(run / 'checkpoints' / '3', 4)


def test_training_images_that_change_are_told_until_they_are_back(tmp_path):
    def go_on(images, step):
        config = config_of(**{'data.fingerprint': images})
        with manager.Checkpoints(tmp_path, config) as saved:
            told = saved.check_same_run()
            saved.save(state_of(config, step))
        return told

    assert go_on('9 images, 1f', 1) == []
    (told,) = go_on('10 images, 2e', 2)
    assert '(then 9 images, 1f; now 10 images, 2e)' in told
    assert go_on('9 images, 1f', 3) == []  # the step before saved what the run began with
