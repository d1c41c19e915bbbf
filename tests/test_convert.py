"""The convert command, there and back; the networks are narrow and their weights random."""

import os
import pathlib
import pickle
import subprocess
import sys

import jax
import numpy as np
import pytest
from golden import rebuild
from models.fills import random_variables
from support.errors import refused

import drn_jax
from drn_jax import cityscapes, convert, fields, recipes, tasks
from drn_jax.checkpoints import manager, restore, weight_files

ROOT = pathlib.Path(__file__).parent.parent


def state_of(variant, num_classes=3, task='classification'):
    model = drn_jax.create_model(variant, num_classes=num_classes, width=1 / 16)
    return drn_jax.to_torch(variant, random_variables(model), task)


def file_of(directory, variant, **options):
    """Writes weights of a narrow network to a file that needs no PyTorch."""
    path = f'{directory}/{variant}.safetensors'
    weight_files.write(path, state_of(variant, **options))
    return path


def convert_file(tmp_path, file, *flags):
    convert.main([f'--input={file}', f'--output={tmp_path}/output', *flags])


def assert_same(found, wanted):
    jax.tree.map(np.testing.assert_array_equal, found, wanted)


@pytest.fixture(scope='module')
def c_26(tmp_path_factory):
    return file_of(tmp_path_factory.mktemp('c_26'), 'drn_c_26')


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """A checkpoint of a segmentation network."""
    folder = tmp_path_factory.mktemp('checkpoint')
    file = file_of(folder, 'drn_d_22', num_classes=19, task='segmentation')
    convert.main(['--variant=drn_d_22', f'--input={file}', f'--output={folder}/d_22'])
    return f'{folder}/d_22'


# ------------------------------------------------------------------------------- to a checkpoint


@pytest.mark.parametrize(
    'variant, num_classes, task, summary',
    [
        ('resnet_18', 3, 'classification', 'resnet_18, classification, 3 classes'),
        ('drn_d_22', 19, 'segmentation', 'drn_d_22, segmentation, 19 classes'),
        (
            'drn_a_18',
            0,
            'classification',
            'drn_a_18 (first_block paper), classification, no classes',
        ),
    ],
)
def test_a_checkpoint_gives_the_network_of_the_file(
    tmp_path, capsys, variant, num_classes, task, summary
):
    file = file_of(tmp_path, variant, num_classes=num_classes, task=task)
    output = f'{tmp_path}/new/{variant}'
    convert.main([f'--variant={variant}', f'--input={file}', f'--output={output}'])
    printed = capsys.readouterr().out
    parameters = drn_jax.describe(variant, num_classes=num_classes, width=1 / 16).total.parameters
    assert f'{file}: {summary}, width 0.0625, {parameters:,} parameters\n' in printed
    assert f'drn_jax.load({output!r})' in printed

    model, variables = drn_jax.load(output)
    assert (model.variant, model.num_classes, model.task) == (variant, num_classes, task)
    wanted = drn_jax.from_torch(variant, weight_files.read(file))
    assert_same(variables, wanted)
    apply = jax.jit(model.apply)
    images = np.random.default_rng(0).standard_normal((2, 24, 40, 3), np.float32)
    assert_same(apply(variables, images), apply(wanted, images))


def test_a_checkpoint_has_the_configuration_of_a_run(checkpoint):
    path = restore.find(checkpoint)
    assert path.name == '0'
    wanted = recipes.segmentation()
    wanted.model.variant = 'drn_d_22'
    wanted.model.num_classes, wanted.model.width = 19, 1 / 16
    wanted.data.class_names = cityscapes.CLASS_NAMES
    found = restore.read_config(path)
    assert fields.differences(found, wanted, lambda field: not field.resume) == []
    assert type(found.model.width) is float


def test_a_checkpoint_of_weights_is_no_run_to_go_on_with(checkpoint):
    config = restore.read_config(restore.find(checkpoint))
    with (
        manager.Checkpoints(checkpoint, config) as saved,
        refused(path=checkpoint, match='name it with --config.init_from'),
    ):
        saved.check_same_run()


@pytest.mark.parametrize(
    'options', [{}, {'_use_new_zipfile_serialization': False}], ids=['zip', '2017']
)
@pytest.mark.parametrize(
    'variant, prefix, counters',
    [('drn_c_58', '', False), ('drn_c_58', 'module.', True), ('resnet_18', 'module.', False)],
)
def test_files_of_pytorch(tmp_path, caplog, options, variant, prefix, counters):
    torch = pytest.importorskip('torch')
    state = state_of(variant)
    content = {prefix + name: torch.from_numpy(value) for name, value in state.items()}
    if counters:
        content[f'{prefix}bn1.num_batches_tracked'] = torch.tensor(7)
    if prefix:
        content = {'epoch': 3, 'arch': variant, 'best_prec1': 70.5, 'state_dict': content}
    torch.save(content, f'{tmp_path}/model.pth.tar', **options)
    convert.main(
        [f'--variant={variant}', f'--input={tmp_path}/model.pth.tar', f'--output={tmp_path}/output']
    )
    assert_same(drn_jax.load(f'{tmp_path}/output')[1], drn_jax.from_torch(variant, state))
    assert 'num_batches_tracked' not in caplog.text
    assert ('layer7.0.downsample.0.weight' in caplog.text) == (variant == 'drn_c_58')


def test_the_entry_of_a_file_is_chosen(tmp_path, caplog):
    torch = pytest.importorskip('torch')
    states = {}
    for name, factor in (('state_dict', 1), ('state_dict_ema', 2)):
        state = state_of('resnet_18')
        states[name] = {key: torch.from_numpy(np.float32(factor * state[key])) for key in state}
    torch.save(states, tmp_path / 'both.pth')
    heads = {}
    for flags in ([], ['--entry=state_dict'], ['--entry=state_dict_ema']):
        output = f'{tmp_path}/{len(heads)}'
        input_flag = f'--input={tmp_path}/both.pth'
        convert.main(['--variant=resnet_18', input_flag, f'--output={output}', *flags])
        heads[len(heads)] = drn_jax.load(output)[1]['params']['head']['kernel']
    np.testing.assert_array_equal(heads[0], heads[1])
    np.testing.assert_array_equal(2 * heads[0], heads[2])
    assert caplog.text.count('state_dict was taken; --entry of convert') == 1


def test_the_first_block_is_chosen(tmp_path, capsys):
    file = file_of(tmp_path, 'drn_a_50')
    for choice in ('paper', 'release'):
        output = f'{tmp_path}/{choice}'
        flags = ['--first_block=release'] if choice == 'release' else []
        convert.main(['--variant=drn_a_50', f'--input={file}', f'--output={output}', *flags])
        assert f'drn_a_50 (first_block {choice}), ' in capsys.readouterr().out
        assert tasks.create_network(restore.read_config(restore.find(output))).first_block == choice


def test_an_empty_directory_may_be_there(tmp_path, c_26):
    (tmp_path / 'output').mkdir()
    convert.main(['--variant=drn_b_26', f'--input={c_26}', f'--output={tmp_path}/output'])
    assert drn_jax.load(tmp_path / 'output')[0].variant == 'drn_b_26'


# -------------------------------------------------------------------------------------- to a file


@pytest.mark.parametrize('ending', ['.pth', '.pt', '.safetensors'])
def test_a_checkpoint_becomes_the_file_that_it_came_from(tmp_path, capsys, checkpoint, ending):
    if ending != '.safetensors':
        pytest.importorskip('torch')
    output = f'{tmp_path}/new/d_22{ending}'
    convert.main([f'--checkpoint={checkpoint}', '--step=0', f'--output={output}'])
    assert 'step 0: drn_d_22, segmentation, 19 classes' in capsys.readouterr().out
    found, wanted = weight_files.read(output), state_of('drn_d_22', 19, 'segmentation')
    assert sorted(found) == sorted(wanted)
    assert_same(found, wanted)
    names = {name.split(' ')[0] for name in rebuild.load('drn_d_22_segmentation')['names']}
    assert set(found) == names  # what the release loads strictly


# -------------------------------------------------------------------------------------- bad input


def test_a_file_of_weights_cannot_tell_degridding(tmp_path):
    config = recipes.classification()
    config.model.update(
        {'variant': 'drn_a_18', 'degridding': 'hdc', 'num_classes': 3, 'width': 0.0625}
    )
    variables = random_variables(tasks.create_network(config))
    manager.save_variables(tmp_path / 'hdc', config, variables)
    with refused('config.model.degridding', match="has degridding 'hdc', which files with"):
        convert.main([f'--checkpoint={tmp_path}/hdc', f'--output={tmp_path}/a.safetensors'])
    assert os.listdir(tmp_path) == ['hdc']


def test_without_a_variant_those_that_fit_are_named(tmp_path, c_26):
    with refused('--variant', c_26, match='fits drn_b_26 and drn_c_26; convert it with --var'):
        convert_file(tmp_path, c_26)
    none = tmp_path / 'a.safetensors'
    weight_files.write(str(none), {'a': np.zeros(3, np.float32)})
    with refused('--variant', none, match='fits no variant: it holds a; convert it with --var'):
        convert_file(tmp_path, none)
    assert os.listdir(tmp_path) == ['a.safetensors']


def test_another_variant_is_refused_with_those_that_fit(tmp_path, c_26):
    with refused(path=c_26, match="not fit 'drn_d_22', it fits drn_b_26 and drn_c_26,"):
        convert_file(tmp_path, c_26, '--variant=drn_d_22')
    for flags, message in (
        (['--variant=drn_c_27'], "variant 'drn_c_27' is unknown; known: drn_a_101,"),
        (['--variant=drn_a_18', '--first_block=old'], "first_block 'old' is unknown"),
        (['--variant=drn_c_26', '--first_block=release'], 'is a choice in drn_a variants only'),
    ):
        with refused('--variant', match=message):
            convert_file(tmp_path, c_26, *flags)
    assert not os.listdir(tmp_path)


def test_numbers_must_be_finite(tmp_path):
    state = state_of('drn_c_26')
    state['layer5.0.bn1.bias'][1] = np.nan
    file = tmp_path / 'a.safetensors'
    weight_files.write(str(file), state)
    with refused(path=file, match='not finite in layer5.0.bn1.bias; use an undamaged file'):
        convert_file(tmp_path, file, '--variant=drn_c_26')
    assert os.listdir(tmp_path) == ['a.safetensors']


def test_what_is_there_stays_as_it_was(tmp_path, c_26, checkpoint):
    (tmp_path / 'notes').write_text('kept')
    (tmp_path / 'a.pth').write_text('kept')
    weights = ['--variant=drn_c_26', f'--input={c_26}']
    for flags, output, message in (
        (weights, tmp_path, 'exists and is not an empty directory; name a new one'),
        (weights, tmp_path / 'notes', 'exists and is not an empty directory'),
        (weights, tmp_path / 'notes/output', 'cannot be made: '),
        ([f'--checkpoint={checkpoint}'], tmp_path / 'a.pth', 'exists and is not overwritten'),
    ):
        with refused(path=output, match=message):
            convert.main([*flags, f'--output={output}'])
    assert sorted(os.listdir(tmp_path)) == ['a.pth', 'notes']
    assert {path.read_text() for path in tmp_path.iterdir()} == {'kept'}


@pytest.mark.parametrize(
    'flags, field, message',
    [
        ([], '--output', 'required'),
        (['--output=a'], '--input', '--input --checkpoint --list is required'),
        (['--input=a.pth', '--checkpoint=b', '--output=c'], '--checkpoint', 'not allowed with'),
        (['--input=a.pth', '--step=3', '--output=c'], '--step', 'goes with --checkpoint'),
        (['--input=a.pth', '--output=b.safetensors'], '--output', 'looks like a file'),
        (['--checkpoint=b', '--variant=drn_c_26', '--output=c.pth'], '--variant', ''),
        (['--checkpoint=b', '--entry=ema', '--output=c.pth'], '--variant', 'and --entry go with'),
        (['--checkpoint=b', '--output=gs://c/d.pth'], '--output', 'gs://c/d.pth is not local'),
        (['--input=gs://c/d.pth', '--output=b'], '--input', 'gs://c/d.pth is not local'),
        (['--input=', '--output=b'], '--input', 'is empty'),
        (['--checkpoint=b', '--output=c.pth', '--config.seed=1'], '--config', '.seed=1'),
        (['--checkpoint=b', '--step=last', '--output=c.pth'], '--step', "int value: 'last'"),
    ],
)
def test_flags_that_do_not_go_together(flags, field, message):
    with refused(field, match=message):
        convert.main(flags)


@pytest.mark.parametrize(
    'flags, path, message',
    [
        (['--input=.', '--variant=drn_c_26', '--output=b'], '.', 'is a directory'),
        (['--checkpoint=b', '--output=c'], 'c', 'does not end in .pth, .pt or .safetensors'),
        (['--checkpoint=nowhere', '--output=c.pth'], 'nowhere', 'is no directory'),
    ],
)
def test_paths_that_cannot_be(flags, path, message):
    with refused(path=path, match=message):
        convert.main(flags)


def test_a_step_that_is_not_there(tmp_path, checkpoint):
    with refused('--step', checkpoint, match='it holds 0$'):
        convert.main([f'--checkpoint={checkpoint}', '--step=7', f'--output={tmp_path}/a.pth'])
    assert not os.listdir(tmp_path)


# -------------------------------------------------------------------------------- as a user types


def python_m(*flags):
    return subprocess.run(
        [sys.executable, '-m', 'drn_jax.convert', *flags],
        cwd=ROOT,
        timeout=120,
        capture_output=True,
        text=True,
    )


def test_what_is_left_out_is_said_in_plain_lines(tmp_path):
    file = file_of(tmp_path, 'drn_c_58')
    result = python_m('--variant=drn_c_58', f'--input={file}', f'--output={tmp_path}/output')
    assert result.returncode == 0
    assert result.stdout.splitlines()[0] == (
        f'{file}: drn_c_58, classification, 3 classes, width 0.0625, 159,962 parameters'
    )
    assert result.stderr.startswith('warning: drn_c_58: left out what the network does not use, 5')
    assert len(result.stderr.splitlines()) == 1


def test_a_file_that_would_run_code_ends_in_one_line(tmp_path):
    pytest.importorskip('torch')

    class Payload:
        def __reduce__(self):
            return os.system, (f'touch {tmp_path}/marker',)

    (tmp_path / 'a.pth').write_bytes(pickle.dumps({'fc.bias': Payload()}))
    result = python_m(
        '--variant=drn_c_26', f'--input={tmp_path}/a.pth', f'--output={tmp_path}/output'
    )
    assert (result.returncode, result.stdout) == (1, '')
    assert result.stderr.startswith(f'error: {tmp_path}/a.pth is refused, because to read it')
    assert f"'{os.system.__module__}.system'; nothing was run" in result.stderr
    assert result.stderr.count('\n') == 1 and os.listdir(tmp_path) == ['a.pth']


def test_help_explains():
    result = python_m('--help')
    assert result.returncode == 0 and not result.stderr
    assert 'python -m drn_jax.convert --variant=drn_c_26 --input=' in result.stdout
