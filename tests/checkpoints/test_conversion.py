"""Files of weights as people have them: wrapped, counted, and named after another format."""

import jax
import numpy as np
import pytest
import safetensors.numpy
from models.fills import random_variables
from support.errors import refused

import drn_jax
from drn_jax.checkpoints.conversion import convert


@pytest.fixture(scope='module')
def network():
    """Variables of a small DRN-D-22, which no other variant's files fit, and its state dict."""
    variables = random_variables(drn_jax.create_model('drn_d_22', 3, width=0.0625))
    return variables, drn_jax.to_torch('drn_d_22', variables)


@pytest.mark.parametrize(
    'prefix',
    ['', 'module.', 'module.module.', '_orig_mod.', 'model.', 'backbone.', 'module._orig_mod.'],
)
def test_what_wrappers_put_before_names_is_taken_off(network, prefix, tmp_path, capsys):
    file = tmp_path / 'a.safetensors'
    state = {prefix + name: value for name, value in network[1].items()}
    state |= {f'{prefix}layer3.0.total_ops': np.float32([5]), 'n_averaged': np.int32([3])}
    state[f'{prefix}layer0.1.num_batches_tracked'] = np.float32([7])
    safetensors.numpy.save_file(state, file)
    jax.tree.map(np.testing.assert_array_equal, convert(str(file)).variables, network[0])
    said = f'taken off the names of its weights: {prefix}\n' in capsys.readouterr().out
    assert said == bool(prefix)


def test_a_format_is_told_by_content_not_by_name(network, tmp_path):
    file = tmp_path / 'a.pth'
    file.write_bytes(safetensors.numpy.save(network[1]))
    jax.tree.map(np.testing.assert_array_equal, convert(str(file)).variables, network[0])
    torch = pytest.importorskip('torch')
    file = tmp_path / 'b.safetensors'
    state = {name: torch.from_numpy(value) for name, value in network[1].items()}
    for new in (True, False):
        torch.save(state, file, _use_new_zipfile_serialization=new)
        jax.tree.map(np.testing.assert_array_equal, convert(str(file)).variables, network[0])


def test_a_pointer_is_no_file(tmp_path):
    file = tmp_path / 'a.pth'
    file.write_text('version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n')
    with refused(path=file, match='is a pointer of git-lfs and not the file'):
        convert(str(file))


def test_a_variance_that_float16_could_not_hold(network, tmp_path, caplog):
    file = tmp_path / 'a.safetensors'
    state = dict(network[1]) | {'layer0.1.running_var': np.full(1, np.inf, np.float16)}
    safetensors.numpy.save_file(state, file)
    found = convert(str(file)).variables['batch_stats']['stem']['bn']['var']
    assert found.tolist() == [np.finfo(np.float32).max]
    assert 'layer0.1.running_var holds infinity' in caplog.text
