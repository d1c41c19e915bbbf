"""Reading and writing files of weights; the files are real, and so is what damages them."""

import argparse
import fractions
import hashlib
import io
import os
import pathlib
import pickle
import sys
import zipfile
from collections import OrderedDict

import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from models.fills import random_variables
from support.errors import refused

import drn_jax
from drn_jax.checkpoints import torch_files, weight_files

ARRAYS = {
    'fc.weight': np.arange(6, dtype=np.float32).reshape(2, 3) + 0.1,
    'fc.bias': np.float32([-1, 1e-40]),
}


def assert_same(found, wanted):
    assert sorted(found) == sorted(wanted)
    for name, value in wanted.items():
        assert found[name].dtype == value.dtype
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def error_of(path):
    with refused(path=path) as error:
        weight_files.read(str(path))
    return str(error.value)


def saved(content, **options):
    """What torch.save writes, as bytes."""
    torch = pytest.importorskip('torch')
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


def tensors(arrays=None):
    torch = pytest.importorskip('torch')
    return OrderedDict(
        (name, torch.from_numpy(value.copy())) for name, value in (arrays or ARRAYS).items()
    )


FORMATS = pytest.mark.parametrize(
    'options', [{}, {'_use_new_zipfile_serialization': False}], ids=['zip', '2017']
)


# ------------------------------------------------------------------------------------ safetensors


def test_safetensors_there_and_back(tmp_path):
    path = f'{tmp_path}/new/weights.safetensors'
    weight_files.write(path, ARRAYS)
    assert_same(weight_files.read(path), ARRAYS)
    assert os.listdir(tmp_path / 'new') == ['weights.safetensors']
    with safetensors.safe_open(path, 'np') as file:
        assert file.metadata() == {'format': 'pt'}


def test_safetensors_of_arrays_that_are_not_contiguous(tmp_path):
    path = f'{tmp_path}/weights.safetensors'
    arrays = {'a': ARRAYS['fc.weight'].T, 'b': np.broadcast_to(np.float32(2), (2, 2))}
    weight_files.write(path, arrays)
    assert_same(weight_files.read(path), arrays)


def test_safetensors_of_half_precision_become_float32(tmp_path):
    path = f'{tmp_path}/weights.safetensors'
    value = np.float32([1.5, -0.25, 2.0**-14])
    safetensors.numpy.save_file(
        {
            'half': value.astype(np.float16),
            'brain': value.astype(jnp.bfloat16),
            'double': value.astype(np.float64),
            'counter': np.int64([7]),
        },
        path,
    )
    assert_same(
        weight_files.read(path),
        {'half': value, 'brain': value, 'double': value, 'counter': np.int64([7])},
    )


def test_safetensors_need_no_torch(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'torch', None)
    path = f'{tmp_path}/weights.safetensors'
    weight_files.write(path, ARRAYS)
    assert_same(weight_files.read(path), ARRAYS)


@pytest.mark.parametrize(
    'damage, message',
    [
        (lambda data: data[:5], 'header too small'),
        (lambda data: data[:40], 'invalid header length'),
        (lambda data: data[:-1], 'incomplete metadata, file not fully covered'),
        (lambda data: b'\xff' + data[1:], 'header'),
    ],
)
def test_damaged_safetensors(tmp_path, damage, message):
    path = tmp_path / 'weights.safetensors'
    path.write_bytes(damage(safetensors.numpy.save(ARRAYS)))
    text = error_of(path)
    assert text.startswith(f'{path} is incomplete, damaged or no safetensors file (')
    assert message in text and text.endswith('; download or copy it again')


def test_safetensors_of_other_numbers(tmp_path):
    path = tmp_path / 'weights.safetensors'
    header = b'{"a": {"dtype": "F8_E4M3", "shape": [1], "data_offsets": [0, 1]}}'
    path.write_bytes(len(header).to_bytes(8, 'little') + header + b'\0')
    assert 'save it as float32, float16 or bfloat16' in error_of(path)
    safetensors.numpy.save_file({'a': np.zeros(1, np.complex64), 'b': np.zeros(1, np.int8)}, path)
    assert (
        '2 of its 2 entries are not a name with an array of floating-point numbers (a (compl'
        in error_of(path)
    )


# ---------------------------------------------------------------------------------------- PyTorch


@FORMATS
def test_torch_there_and_back(tmp_path, options):
    path = tmp_path / 'weights.pth'
    path.write_bytes(saved(tensors(), **options))
    assert_same(weight_files.read(str(path)), ARRAYS)
    weight_files.write(f'{tmp_path}/again.pth', weight_files.read(str(path)))
    assert_same(weight_files.read(f'{tmp_path}/again.pth'), ARRAYS)


@FORMATS
def test_training_checkpoints(tmp_path, options):
    torch = pytest.importorskip('torch')
    path = tmp_path / 'model_best.pth.tar'
    state = {f'module.{name}': value for name, value in tensors().items()}
    state['module.bn1.num_batches_tracked'] = torch.tensor(7)
    for best in (70.5, torch.tensor(70.5)):
        path.write_bytes(
            saved(
                {'epoch': 3, 'arch': 'drn_c_26', 'best_prec1': best, 'state_dict': state}, **options
            )
        )
        assert_same(
            weight_files.read(str(path)),
            {
                'module.fc.weight': ARRAYS['fc.weight'],
                'module.fc.bias': ARRAYS['fc.bias'],
            },
        )


AVERAGE = {name: 2 * value for name, value in ARRAYS.items()}


@pytest.mark.parametrize(
    'names, taken',
    [
        (('state_dict', 'state_dict_ema'), 'state_dict'),
        (('state_dict_ema', 'state_dict'), 'state_dict'),
        (('model_ema', 'model'), 'model'),
        (('teacher', 'student'), 'teacher'),
        (('model',), 'model'),
        (('model_state_dict',), 'model_state_dict'),
    ],
)
def test_of_several_networks_one_is_taken_and_named(tmp_path, caplog, names, taken):
    path = tmp_path / 'weights.pth'
    values = {name: ARRAYS if name == taken else AVERAGE for name in names}
    content = {'epoch': 3, **{name: tensors(value) for name, value in values.items()}}
    content['optimizer'] = {'state': {0: tensors()}, 'param_groups': [{'lr': 0.1}]}
    path.write_bytes(saved(content))
    assert_same(weight_files.read(str(path)), ARRAYS)
    said = f'holds several networks, {", ".join(names)}: {taken} was taken; --entry of convert,'
    assert (said in caplog.text) == (len(names) > 1)
    caplog.clear()
    for name in names:
        assert_same(weight_files.read(str(path), name), values[name])
    assert not caplog.text
    with refused('--entry', match=f"no state dict 'optimizer'; it holds {', '.join(names)}$"):
        weight_files.read(str(path), 'optimizer')


def test_a_file_of_one_network_has_no_entries(tmp_path):
    path = f'{tmp_path}/weights.safetensors'
    weight_files.write(path, ARRAYS)
    with refused('--entry', match="holds no state dict 'ema'; it holds one without a name$"):
        weight_files.read(path, 'ema')


@FORMATS
def test_parameters_and_half_precision_become_float32(tmp_path, options):
    torch = pytest.importorskip('torch')
    path, value = tmp_path / 'weights.pt', np.float32([1.5, -0.25, 2.0**-14])
    tensor = torch.from_numpy(value)
    path.write_bytes(
        saved(
            {
                'half': tensor.half(),
                'brain': tensor.bfloat16(),
                'double': tensor.double(),
                'parameter': torch.nn.Parameter(tensor),
                'transposed': tensor[None].T,
            },
            **options,
        )
    )
    assert_same(
        weight_files.read(str(path)),
        {
            'half': value,
            'brain': value,
            'double': value,
            'parameter': value,
            'transposed': value[:, None],
        },
    )


@pytest.mark.parametrize('ending', ['.pth', '.safetensors'])
@pytest.mark.parametrize(
    'variant, task', [('drn_c_58', 'classification'), ('drn_d_22', 'segmentation')]
)
def test_state_dicts_pass_through_files_bit_for_bit(tmp_path, variant, task, ending):
    if ending == '.pth':
        pytest.importorskip('torch')
    model = drn_jax.create_model(variant, num_classes=3, width=1 / 16)
    state = drn_jax.to_torch(variant, random_variables(model), task)
    path = f'{tmp_path}/weights{ending}'
    weight_files.write(path, state)
    variables = drn_jax.from_torch(variant, weight_files.read(path))
    assert_same(drn_jax.to_torch(variant, variables, task), state)


def test_written_files_load_in_torch_under_strict_names(tmp_path):
    torch = pytest.importorskip('torch')
    model = drn_jax.create_model('drn_c_26', num_classes=3, width=1 / 16)
    state = drn_jax.to_torch('drn_c_26', random_variables(model))
    weight_files.write(f'{tmp_path}/weights.pth', state)
    loaded = torch.load(f'{tmp_path}/weights.pth', weights_only=True)
    assert type(loaded) is OrderedDict and list(loaded) == list(state)
    norm = torch.nn.BatchNorm2d(1)  # one that counts batches, which the release's did not
    norm.load_state_dict(
        {
            name.removeprefix('bn1.'): value
            for name, value in loaded.items()
            if name.startswith('bn1.')
        }
    )
    assert norm.running_var.numpy() == state['bn1.running_var']


# --------------------------------------------------------------------------- code in pickle files


class Payload:
    """Pickled, it makes a file when it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f'touch {self.marker}',)


@pytest.mark.parametrize(
    'write',
    [
        *(
            lambda content, protocol=protocol: pickle.dumps(content, protocol)
            for protocol in range(6)
        ),
        saved,
        lambda content: saved(content, _use_new_zipfile_serialization=False),
        lambda content: saved(content, pickle_protocol=4),
        lambda content: saved(content, pickle_protocol=4, _use_new_zipfile_serialization=False),
    ],
    ids=[*(f'protocol{i}' for i in range(6)), 'zip', '2017', 'zip_protocol4', '2017_protocol4'],
)
def test_code_is_refused_by_name_and_not_run(tmp_path, write):
    pytest.importorskip('torch')
    path, marker = tmp_path / 'weights.pth', tmp_path / 'marker'
    path.write_bytes(write({'fc.bias': [1.0], 'more': Payload(marker)}))
    assert error_of(path) == (
        f'{path} is refused, because to read it PyTorch would have to load and call '
        f"'{os.system.__module__}.system'; nothing was run; save it again with "
        'torch.save(model.state_dict(), FILE) where you can'
    )
    assert not marker.exists()


@pytest.mark.parametrize('protocol', [2, 4])
def test_whole_models_are_refused_by_name(tmp_path, protocol):
    torch = pytest.importorskip('torch')
    path = tmp_path / 'weights.pth'
    path.write_bytes(saved(torch.nn.Linear(2, 3), pickle_protocol=protocol))
    assert "call 'torch.nn.modules.linear.Linear'" in error_of(path)
    path.write_bytes(saved({'a': fractions.Fraction(1, 2)}, pickle_protocol=protocol))
    assert "call 'fractions.Fraction'" in error_of(path)


def test_what_training_code_puts_beside_a_state_dict_is_passed_over(tmp_path):
    torch = pytest.importorskip('torch')
    path = tmp_path / 'weights.pth.tar'
    content = {
        'args': argparse.Namespace(lr=0.1, output=pathlib.PosixPath('/runs')),
        'metric': np.float64(3),
        'epoch': np.int64(5),
        'state_dict': {'fc.bias': torch.ones(2)},
    }
    for new in (True, False):
        path.write_bytes(saved(content, _use_new_zipfile_serialization=new))
        assert weight_files.read(str(path))['fc.bias'].tolist() == [1, 1]


def test_names_in_pickles_are_found_through_the_memo():
    content = [OrderedDict(), Payload('a'), OrderedDict(), Payload('b'), os.getcwd]
    names = list(torch_files._globals(io.BytesIO(pickle.dumps(content, 4))))
    module = os.system.__module__
    assert names == ['collections.OrderedDict', f'{module}.system', f'{module}.getcwd']
    names = list(torch_files._globals(io.BytesIO(pickle.dumps(content, 2))))
    assert names == ['collections.OrderedDict', f'{module}.system', f'{module}.getcwd']


def test_old_torch_is_refused(tmp_path, monkeypatch):
    torch = pytest.importorskip('torch')
    path = tmp_path / 'weights.pth'
    path.write_bytes(saved(tensors()))
    monkeypatch.setattr(torch, '__version__', type(torch.__version__)('2.5.1'))
    assert 'needs PyTorch 2.6 or newer' in error_of(path) and '2.5.1' in error_of(path)


def test_missing_torch_is_named(tmp_path, monkeypatch):
    path = tmp_path / 'weights.pth'
    path.write_bytes(b'\x80\x02}q\x00.')
    monkeypatch.setitem(sys.modules, 'torch', None)
    message = "needs PyTorch, which is not installed: pip install 'drn_jax[torch]'"
    assert message in error_of(path)
    with refused(path=f'{tmp_path}/new/weights.pth'):
        weight_files.write(f'{tmp_path}/new/weights.pth', ARRAYS)
    assert os.listdir(tmp_path) == ['weights.pth']


# -------------------------------------------------------------------------------------- bad files


def zipped(name):
    file = io.BytesIO()
    with zipfile.ZipFile(file, 'w') as archive:
        archive.writestr(name, 'text')
    return file.getvalue()


@pytest.mark.parametrize(
    'content, message',
    [
        (lambda: b'', 'is empty; download or copy it again'),
        (lambda: b'\n<!DOCTYPE html><title>404</title>', 'is a web page and no file of weights'),
        (lambda: b'<HTML><BODY>moved', 'is a web page and no file of weights'),
        (
            lambda: b'\xef\xbb\xbf<?xml version="1.0"?><Error/>',
            'is a web page and no file of weights',
        ),
        (lambda: zipped('a.txt'), 'is a zip archive that torch.save did not write'),
        (lambda: zipped('model/a.txt'), 'is a zip archive that torch.save did not write'),
        (lambda: zipped('model/constants.pkl'), 'is a TorchScript program and no state dict'),
        (lambda: zipped('model/data.pkl'), 'is incomplete, damaged or not what torch.save writes'),
        (lambda: b'hello world', 'is incomplete, damaged or not what torch.save writes'),
        (lambda: b'\0' * 100, 'is incomplete, damaged or not what torch.save writes'),
        (lambda: pickle.dumps({'a': 1}, 2), 'is incomplete, damaged or not what torch.save writes'),
        (lambda: saved([1, 2]), 'holds a list instead of a state dict'),
        (lambda: saved({'state_dict': 'text'}), 'holds a str instead of a state dict'),
        (
            lambda: saved({'epoch': 3, 'lr': 0.1}),
            'is no state dict: 2 of its 2 entries are not a name '
            'with an array of floating-point numbers (epoch (int), lr (float)); save it again',
        ),
        (
            lambda: saved({'model': tensors(), 'a': 1, 'b': 2, 'c': 3, **tensors()}),
            '4 of its 6 entries are not a name with an array of floating-point numbers '
            '(model (OrderedDict), a (int), b (int), ...)',
        ),
        (lambda: saved({0: tensors()['fc.bias']}), '(0 (torch.float32))'),
        (lambda: saved({'a': tensors()['fc.bias'].to_sparse()}), '(a (torch.float32))'),
        (lambda: saved({'a': tensors()['fc.bias'].cfloat()}), '(a (torch.complex64))'),
    ],
)
def test_what_holds_no_state_dict(tmp_path, content, message):
    pytest.importorskip('torch')
    path = tmp_path / 'weights.pth'
    path.write_bytes(content())
    text = error_of(path)
    assert text.startswith(f'{path} ') and message in text


@FORMATS
@pytest.mark.parametrize('share', [0, 0.01, 0.3, 0.6, 1])
def test_truncated_files(tmp_path, options, share):
    path = tmp_path / 'weights.pth'
    data = saved(tensors({'fc.weight': np.zeros((50, 50), np.float32)}), **options)
    path.write_bytes(data[: 1 + int(share * (len(data) - 2))])
    assert 'incomplete' in error_of(path)


def test_what_is_no_file(tmp_path):
    assert error_of(tmp_path) == f'{tmp_path} is a directory; give one file, .pth or .safetensors'
    assert error_of(tmp_path / 'a.pth') == (
        f'{tmp_path}/a.pth does not exist; give a file of weights, .pth or .safetensors'
    )


def test_a_safetensors_file_may_begin_like_a_web_page(tmp_path):
    path, header = tmp_path / 'weights.safetensors', b'{}'.ljust(ord('<'))
    path.write_bytes(len(header).to_bytes(8, 'little') + header)
    assert weight_files.read(str(path)) == {}


def test_the_name_is_held_against_the_digests(tmp_path, caplog):
    data = saved(tensors())
    digits = hashlib.sha256(data).hexdigest()[:8]
    other = hashlib.sha1(data).hexdigest()[:8]  # pytorchcv's names end in it
    for name in (
        f'drn_c_26-{digits}.pth',
        f'drnc26-0755-{other}.pth',
        'drn_c_26.pth',
        'drn_c_26-final.pth',
    ):
        (tmp_path / name).write_bytes(data)
        weight_files.read(f'{tmp_path}/{name}')
    assert not caplog.records
    path = tmp_path / 'drn_c_26-ddedf421.pth'
    path.write_bytes(data)
    assert_same(weight_files.read(str(path)), ARRAYS)
    assert caplog.messages == [
        f'{path} is not the file that its name says: its SHA-256 begins with {digits} and its '
        f'SHA-1 with {other}, not ddedf421; it is damaged, or was changed or renamed'
    ]


# ---------------------------------------------------------------------------------------- writing


def test_files_are_not_overwritten(tmp_path):
    path = tmp_path / 'weights.safetensors'
    path.write_text('kept')
    with refused(path=path, match='exists and is not overwritten'):
        weight_files.write(str(path), ARRAYS)
    assert path.read_text() == 'kept' and os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize('name', ['weights', 'weights.npz', 'weights.pth.tar'])
def test_the_ending_chooses_the_format(tmp_path, name):
    with refused(path=tmp_path / name, match='does not end in .pth, .pt or .safetensors, which'):
        weight_files.write(f'{tmp_path}/{name}', ARRAYS)
    assert not os.listdir(tmp_path)


def test_files_that_cannot_be_written_leave_nothing(tmp_path):
    (tmp_path / 'file').write_text('kept')
    with refused(path=tmp_path / 'file/weights.safetensors', match='cannot be written'):
        weight_files.write(f'{tmp_path}/file/weights.safetensors', ARRAYS)
    with pytest.raises(Exception, match='object'):
        weight_files.write(f'{tmp_path}/weights.safetensors', {'a': np.array([None])})
    assert os.listdir(tmp_path) == ['file']
