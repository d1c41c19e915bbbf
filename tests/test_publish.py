"""Publishing a network, and reading what was published, also from a hub on loopback."""

import json

import jax
import numpy as np
import pytest
import safetensors.numpy
from models.fills import random_variables
from support.errors import refused
from support.hub_server import hub

import drn_jax
from drn_jax import publish, recipes
from drn_jax.checkpoints import manager


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """A small network as a checkpoint, with metrics and a report as a run leaves them."""
    config = recipes.classification()
    config.model.variant, config.model.width, config.model.num_classes = 'drn_c_58', 0.0625, 3
    config.data.class_names = ('cat', 'dog', 'fox')
    config.data.data_dir, config.init_from = '/home/me/data', '/home/me/runs/it'
    model = drn_jax.create_model('drn_c_58', 3, width=0.0625)
    variables = random_variables(model)
    folder = tmp_path_factory.mktemp('run') / 'it'
    manager.save_variables(folder, config, variables, step=7)
    (folder / 'report.json').write_text(
        json.dumps(
            {
                'command': 'python -m drn_jax.main --config=it.py',
                'metrics': {'top1_error': 0.25, 'examples': 8},
                'published': {'top1_error': 0.2486},
                'data': {'name': 'pets'},
                'versions': {'jax': '1.2.3'},
            }
        )
    )
    return str(folder), variables


@pytest.fixture
def server(monkeypatch, tmp_path):
    pytest.importorskip('huggingface_hub')
    monkeypatch.setenv('DRN_JAX_CACHE', str(tmp_path / 'cache'))
    monkeypatch.delenv('DRN_JAX_OFFLINE', raising=False)
    monkeypatch.setenv('HF_TOKEN', 'hf_test')
    with hub() as server:
        monkeypatch.setenv('DRN_JAX_MIRROR', server.url)
        yield server


def test_a_folder_is_the_same_network_bit_for_bit(run, tmp_path):
    checkpoint, variables = run
    output = tmp_path / 'out'
    publish.main([f'--checkpoint={checkpoint}', f'--output={output}'])
    assert sorted(path.name for path in output.iterdir()) == [
        'README.md',
        'config.json',
        'model.safetensors',
        'preprocessor_config.json',
    ]
    model, again = drn_jax.load(output)
    assert (model.variant, model.num_classes, model.width) == ('drn_c_58', 3, 0.0625)
    jax.tree.map(np.testing.assert_array_equal, again, variables)
    # PyTorch's strict loading finds every name, also what the authors' code owns and never uses.
    state = safetensors.numpy.load_file(output / 'model.safetensors')
    assert state.keys() == drn_jax.to_torch('drn_c_58', variables).keys()
    assert '/home/me' not in (output / 'config.json').read_text()
    preprocessor = json.loads((output / 'preprocessor_config.json').read_text())
    assert preprocessor['image_std'] == [0.229, 0.224, 0.225]
    card = (output / 'README.md').read_text()
    assert '| top1_error | 25.00 % | 24.86 % |' in card and 'On pets, step 7:' in card
    assert 'python -m drn_jax.main --config=it.py' in card and 'jax 1.2.3' in card


def test_to_the_hub_and_back(run, server, tmp_path, monkeypatch, capsys):
    output = tmp_path / 'out'
    publish.main([f'--checkpoint={run[0]}', f'--output={output}', '--to=hf:me/it'])
    assert f'uploaded: {server.url}/me/it/commit/' in capsys.readouterr().out
    assert server.repositories['me/it'].keys() == {path.name for path in output.iterdir()}
    _, again = drn_jax.load('hf:me/it')
    jax.tree.map(np.testing.assert_array_equal, again, run[1])
    asked = len(server.requests)
    monkeypatch.setenv('DRN_JAX_OFFLINE', '1')
    drn_jax.load('hf:me/it')
    assert len(server.requests) == asked
    with refused(path='hf:me/other', match='DRN_JAX_OFFLINE is set'):
        drn_jax.load('hf:me/other')


def test_a_repository_of_others(server):
    model = drn_jax.create_model('resnet_50', 5, width=0.0625)
    state = drn_jax.to_torch('resnet_50', random_variables(model))
    server.repositories['timm/resnet50.it'] = {
        'model.safetensors': safetensors.numpy.save(state),
        'config.json': b'{"architecture": "resnet50", "num_classes": 5}',
    }
    server.repositories['timm/resnet50.it']['pytorch_model.bin'] = b'the same in another format'
    server.damaged.add('model.safetensors')
    with refused(
        path='hf:timm/resnet50.it', match='SHA-256 is not that of the hub; it was removed'
    ):
        drn_jax.load('hf:timm/resnet50.it')
    server.damaged.clear()
    assert drn_jax.load('hf:timm/resnet50.it')[0].variant == 'resnet_50'
    assert not [path for path in server.requests if path.endswith('.bin')]


def test_what_cannot_be_had(server, run, tmp_path, monkeypatch):
    server.gated.add('big/lab')
    server.repositories['me/empty'] = {'README.md': b'nothing'}
    for reference, reason in (
        ('hf:no/such', 'does not exist, or is private'),
        ('hf:big/lab', 'asks for its license to be accepted'),
        ('hf:me/empty', 'holds neither model.safetensors nor pytorch_model.bin'),
        ('hf:alone', 'is no repository; give hf:ORGANIZATION/NAME'),
        ('hf:../..', 'is no repository'),
    ):
        with refused(path=reference, match=reason):
            drn_jax.load(reference)
    monkeypatch.setenv('DRN_JAX_MIRROR', 'http://127.0.0.1:9')
    with refused(path='hf:me/it', match='http://127.0.0.1:9 cannot be reached or refuses'):
        drn_jax.load('hf:me/it')
    publishing = [f'--checkpoint={run[0]}', f'--output={tmp_path}/new']
    with refused('--to', match='names a revision'):
        publish.main([*publishing, '--to=hf:me/it@v2'])
    monkeypatch.setenv('DRN_JAX_OFFLINE', '1')
    with refused('--to', match='needs the network'):
        publish.main([*publishing, '--to=hf:me/it'])
    (tmp_path / 'full').mkdir()
    (tmp_path / 'full' / 'file').write_text('kept')
    with refused('--output', match='is not an empty directory'):
        publish.main([f'--checkpoint={run[0]}', f'--output={tmp_path}/full'])
