"""Files of weights as people have them: wrapped, counted, and named after another format."""

import zipfile

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


PREFIXES = ('', 'module.', 'module.module.', '_orig_mod.', 'model.', 'backbone.') + (
    'module._orig_mod.',
)


@pytest.mark.parametrize('prefix', PREFIXES)
def test_what_wrappers_put_before_names_is_taken_off(network, prefix, tmp_path, capsys):
    file = tmp_path / 'a.safetensors'
    state = {prefix + name: value for name, value in network[1].items()}
    state |= {f'{prefix}layer3.0.total_ops': np.float32([5]), 'n_averaged': np.int32([3])}
    state[f'{prefix}layer0.1.num_batches_tracked'] = np.float32([7])
    safetensors.numpy.save_file(state, file)
    jax.tree.map(np.testing.assert_array_equal, convert(str(file)).variables, network[0])
    said = f'taken off the names of its weights: {prefix}\n' in capsys.readouterr().out
    assert said == bool(prefix)


@pytest.mark.parametrize(
    'entries',
    [(), ('model',), ('state_dict',), ('model_state_dict',), ('state_dict', 'state_dict_ema')],
)
@pytest.mark.parametrize('new', [True, False], ids=['zip', '2017'])
def test_a_network_is_read_in_every_wrapping(network, entries, new, tmp_path, caplog):
    torch = pytest.importorskip('torch')
    file, archive = tmp_path / 'a.pth', tmp_path / 'a.pth.zip'
    for prefix in PREFIXES:
        state = {prefix + name: torch.from_numpy(value) for name, value in network[1].items()}
        state |= {
            'n_averaged': torch.tensor(3, dtype=torch.int32),
            f'{prefix}total_params': torch.zeros(1, dtype=torch.float64),
            f'{prefix}layer0.1.num_batches_tracked': torch.tensor(7.0),
        }
        average = {name: value * 2 for name, value in state.items()}
        wrapped = {name: average if name.endswith('ema') else state for name in entries}
        content = {'epoch': 3, 'arch': 'drn_d_22', **wrapped} if entries else state
        torch.save(content, file, _use_new_zipfile_serialization=new)
        with zipfile.ZipFile(archive, 'w') as packed:
            packed.write(file, 'folder/a.pth')
        for each in (file, archive):
            jax.tree.map(np.testing.assert_array_equal, convert(str(each)).variables, network[0])
    assert caplog.text.count('state_dict was taken') == 2 * len(PREFIXES) * (len(entries) > 1)


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
