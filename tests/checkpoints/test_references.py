"""Checkpoints by name and address; files come from a server on loopback, as from a mirror."""

import hashlib
import io
import json
import sys
import threading
import zipfile

import jax
import numpy as np
import pytest
import safetensors.numpy
from models.fills import random_variables
from support.file_server import serving

import drn_jax
from drn_jax import convert
from drn_jax.checkpoints import pretrained, references, weight_folders
from drn_jax.errors import InputError

PATH = '/releases/tiny-0755.zip'


def zipped(**files):
    content = io.BytesIO()
    with zipfile.ZipFile(content, 'w') as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return content.getvalue()


def bomb():
    """A small archive that says that it unpacks to more than a GiB."""
    whole, said = zipped(**{'a.pth': bytes(5)}), (2**30 + 1).to_bytes(4, 'little')
    return whole.replace(bytes([5, 0, 0, 0]) * 2, bytes([5, 0, 0, 0]) + said)


@pytest.fixture(scope='module')
def tiny():
    """Variables of a small DRN-C-26, and its weights as a file of safetensors."""
    model = drn_jax.create_model('drn_c_26', num_classes=3, width=0.0625)
    variables = random_variables(model)
    state = drn_jax.to_torch('drn_c_26', variables)
    return variables, safetensors.numpy.save(state)


@pytest.fixture
def server(tiny, tmp_path, monkeypatch):
    """A mirror with the file of the row `tiny`, and an empty cache."""
    monkeypatch.setenv('DRN_JAX_CACHE', str(tmp_path / 'cache'))
    monkeypatch.delenv('DRN_JAX_OFFLINE', raising=False)
    row = pretrained.lookup('drn_c_26')._replace(
        name='tiny',
        url=f'https://weights.example{PATH}',
        digest=hashlib.sha1(tiny[1]).hexdigest(),
    )
    monkeypatch.setitem(pretrained.TABLE, 'tiny', row)
    with serving(**{PATH: zipped(**{'tiny-0755.safetensors': tiny[1]})}) as server:
        monkeypatch.setenv('DRN_JAX_MIRROR', server.url)
        yield server


def refused(reference):
    with pytest.raises(InputError) as error:
        drn_jax.load(reference)
    assert '\n' not in str(error.value)
    return error.value


def kept(tmp_path):
    """What lies in the cache, locks aside."""
    files = (path for path in (tmp_path / 'cache').rglob('*') if path.is_file())
    return sorted(path.name for path in files if path.suffix != '.lock')


def test_a_name_gives_the_network_and_asks_once(server, tiny, monkeypatch):
    model, variables = drn_jax.load('pretrained:tiny')
    assert (model.variant, model.num_classes, model.width) == ('drn_c_26', 3, 0.0625)
    jax.tree.map(np.testing.assert_array_equal, variables, tiny[0])
    monkeypatch.setenv('DRN_JAX_OFFLINE', '1')
    jax.tree.map(np.testing.assert_array_equal, drn_jax.load('pretrained:tiny')[1], variables)
    assert server.requests == [(PATH, None)]


def test_what_is_kept_needs_safetensors_and_json_alone(server, tiny):
    folder = references.resolve('pretrained:tiny')
    state = safetensors.numpy.load_file(folder / weight_folders.WEIGHTS)
    np.testing.assert_array_equal(state['fc.bias'], tiny[0]['params']['head']['bias'])
    content = json.loads((folder / weight_folders.CONFIG).read_text())
    assert (content['architecture'], content['num_classes']) == ('drn_c_26', 3)


def test_addresses_and_files_work_too(server, tiny, tmp_path, monkeypatch):
    server.files['/a/drn.safetensors'] = safetensors.numpy.save(
        drn_jax.to_torch('drn_d_22', tiny_d_22())
    )
    model, _ = drn_jax.load('https://weights.example/a/drn.safetensors')
    assert model.variant == 'drn_d_22'  # the only one that the file fits
    file = tmp_path / 'mine.safetensors'
    file.write_bytes(server.files['/a/drn.safetensors'])
    assert drn_jax.load(str(file))[0].variant == 'drn_d_22'
    file.write_bytes(tiny[1])
    row = pretrained.TABLE['tiny']
    monkeypatch.delitem(pretrained.TABLE, 'tiny')
    error = refused(str(file))
    assert error.field == '--variant' and 'fits drn_b_26 and drn_c_26' in str(error)
    # By its digest the file of a row is known, whatever its name.
    other = row._replace(digest=hashlib.sha256(tiny[1]).hexdigest()[:8])
    monkeypatch.setitem(pretrained.TABLE, 'tiny', other)
    assert drn_jax.load(str(file))[0].variant == 'drn_c_26'


def test_of_several_networks_in_a_file_one_is_named(server, tmp_path, caplog):
    torch = pytest.importorskip('torch')
    content, state = io.BytesIO(), drn_jax.to_torch('drn_d_22', tiny_d_22())
    states = {
        name: {key: torch.from_numpy(factor * value) for key, value in state.items()}
        for name, factor in (('state_dict', 1), ('state_dict_ema', 2))
    }
    torch.save(states, content)
    file = tmp_path / 'mine.ckpt'
    file.write_bytes(content.getvalue())
    server.files['/a/drn.pth'] = content.getvalue()
    for place in (str(file), 'https://weights.example/a/drn.pth'):
        for entry, wanted in (('', 'state_dict'), *((f'#{name}', name) for name in states)):
            for _ in range(2):  # kept, it is told again
                caplog.clear()
                folder = references.resolve(place + entry)
                found = safetensors.numpy.load_file(folder / weight_folders.WEIGHTS)
                np.testing.assert_array_equal(found['fc.bias'], states[wanted]['fc.bias'])
                assert ('state_dict was taken; --entry of' in caplog.text) == (not entry)
        assert refused(f'{place}#teacher').field == '--entry'


def test_what_an_archive_of_macos_holds_besides_is_passed_over(server, tiny):
    server.files[PATH] = zipped(**{'tiny.safetensors': tiny[1], '__MACOSX/._tiny.pth': b'x'})
    assert drn_jax.load('pretrained:tiny')[0].variant == 'drn_c_26'


def test_a_choice_of_variants_costs_no_second_download(server, tiny, tmp_path, monkeypatch):
    monkeypatch.delitem(pretrained.TABLE, 'tiny')
    error = refused(f'https://weights.example{PATH}')
    assert error.field == '--variant'
    assert f'{error.path} fits drn_b_26 and drn_c_26; convert it with --variant' in str(error)
    convert.main([f'--input={error.path}', '--variant=drn_b_26', f'--output={tmp_path}/b_26'])
    assert len(server.requests) == 1


def test_an_address_that_names_another_digest_is_refused(server, tiny, tmp_path):
    server.files['/a/it-deadbeef.pth'] = tiny[1]
    server.files['/a/it-20170528.pth'] = b'nothing'  # a date
    error = refused('https://weights.example/a/it-deadbeef.pth')
    assert 'is not the file that its name says' in str(error) and not kept(tmp_path)
    assert 'its name says' not in str(refused('https://weights.example/a/it-20170528.pth'))


def test_without_pytorch_nothing_is_downloaded_in_vain(server, monkeypatch):
    row = pretrained.TABLE['tiny']
    monkeypatch.setitem(pretrained.TABLE, 'tiny', row._replace(url=f'{row.url[:-4]}.pth.zip'))
    monkeypatch.setitem(sys.modules, 'torch', None)
    assert 'needs PyTorch, which is not installed' in str(refused('pretrained:tiny'))
    assert not server.requests


def tiny_d_22():
    return random_variables(drn_jax.create_model('drn_d_22', num_classes=2, width=0.0625))


@pytest.mark.parametrize(
    ('damage', 'reason'),
    [
        (lambda file: file[:3000] + b'X' + file[3001:], 'damaged'),
        (lambda file: file[:-100], 'incomplete or damaged zip archive'),
        (lambda file: b'<!DOCTYPE html><p>Not Found', 'is a web page'),
        (lambda file: b'', 'is empty'),
        (lambda file: zipped(**{'tiny.safetensors': b'others'}), 'is not the file that'),
        (lambda file: zipped(**{'../tiny.safetensors': b'x'}), 'lies outside'),
        (lambda file: zipped(**{'read.me': b'x'}), 'no file of weights'),
        (lambda file: zipped(**{'a.pth': b'x', 'b.pth': b'x'}), '2 files of weights'),
        (lambda file: bomb(), 'would unpack to 1,073,741,825 bytes'),
    ],
)
def test_a_damaged_file_leaves_nothing(server, tiny, tmp_path, damage, reason):
    whole = server.files[PATH]
    server.files[PATH] = damage(whole)
    error = refused('pretrained:tiny')
    assert reason in str(error) and error.path
    assert not kept(tmp_path)
    server.files[PATH] = whole
    assert drn_jax.load('pretrained:tiny')[0].variant == 'drn_c_26'


def test_a_download_that_ended_early_goes_on(server, tmp_path):
    server.cut_at = 1000
    assert 'ended early, after 1,000 of' in str(refused('pretrained:tiny'))
    assert [name.partition('-')[2] for name in kept(tmp_path)] == [
        'tiny-0755.zip.etag',
        'tiny-0755.zip.partial',
    ]
    server.cut_at = 0
    assert drn_jax.load('pretrained:tiny')[0].variant == 'drn_c_26'
    assert server.requests == [(PATH, None), (PATH, 'bytes=1000-')]


@pytest.mark.parametrize('more', [b'', b'of another file'])
def test_a_part_to_which_nothing_can_be_added_starts_anew(server, tmp_path, more):
    server.cut_at = 1000
    refused('pretrained:tiny')
    server.cut_at = 0
    (part,) = (tmp_path / 'cache').rglob('*.partial')
    part.write_bytes(server.files[PATH] + more)  # the process was killed at the very end
    assert drn_jax.load('pretrained:tiny')[0].variant == 'drn_c_26'


def test_a_part_that_was_not_asked_for_is_not_taken(server):
    server.cut_at = 1000
    refused('pretrained:tiny')
    server.cut_at, server.honest = 0, False
    assert drn_jax.load('pretrained:tiny')[0].variant == 'drn_c_26'


def test_a_file_that_changed_meanwhile_starts_anew(server, tiny):
    server.cut_at = 1000
    refused('pretrained:tiny')
    server.cut_at = 0
    server.files[PATH] = zipped(**{'other.safetensors': tiny[1]})
    assert drn_jax.load('pretrained:tiny')[0].variant == 'drn_c_26'


def test_a_file_placed_by_hand_is_taken(server, monkeypatch):
    monkeypatch.setenv('DRN_JAX_OFFLINE', '1')
    error = refused('pretrained:tiny')
    assert 'DRN_JAX_OFFLINE is set' in str(error)
    place = str(error).rpartition('by hand as ')[2]
    with open(place, 'wb') as file:
        file.write(server.files[PATH])
    assert drn_jax.load('pretrained:tiny')[0].variant == 'drn_c_26'
    assert not server.requests


def test_several_at_once_download_once(server):
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(references.resolve('pretrained:tiny')))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4 and len(set(found)) == 1 and len(server.requests) == 1


def test_a_kept_network_that_changed_is_refused(server, tmp_path):
    folder = references.resolve('pretrained:tiny')
    content = bytearray((folder / weight_folders.WEIGHTS).read_bytes())
    content[-1] ^= 1
    (folder / weight_folders.WEIGHTS).write_bytes(bytes(content))
    error = refused('pretrained:tiny')
    assert 'model.safetensors is not what was written' in str(error)


def test_unreachable_and_unknown(server, monkeypatch, tmp_path):
    assert 'near to it are drn_c_42' in str(refused('pretrained:drn_c_62'))
    server.files.clear()
    assert 'was answered with 404 Not Found' in str(refused('pretrained:tiny'))
    assert 'is no address (Invalid IPv6 URL)' in str(refused('https://['))
    monkeypatch.setenv('DRN_JAX_MIRROR', 'mirror:8000')
    assert refused('pretrained:tiny').field == 'DRN_JAX_MIRROR'
    monkeypatch.setenv('DRN_JAX_MIRROR', 'http://127.0.0.1:9')
    error = refused('pretrained:tiny')
    assert 'cannot be reached' in str(error) and error.path == f'http://127.0.0.1:9{PATH}'
    (tmp_path / 'file').write_text('')
    monkeypatch.setenv('DRN_JAX_CACHE', str(tmp_path / 'file'))
    error = refused('pretrained:tiny')
    assert 'cannot be written' in str(error) and error.path == str(tmp_path / 'file')


def test_a_step_cannot_be_chosen(server):
    with pytest.raises(InputError, match='is step 0, but step 5 was asked for'):
        drn_jax.load('pretrained:tiny', step=5)


def test_every_row_names_a_network_and_a_file():
    for row in drn_jax.list_pretrained():
        assert row.variant in drn_jax.list_models()
        assert row.digest[:8] in row.url
        assert row.url.startswith('https://') and row.license
    assert len(drn_jax.list_pretrained()) == 34
