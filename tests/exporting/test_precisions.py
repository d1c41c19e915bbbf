"""ONNX files in fewer bits; the networks are narrow and their weights random."""

import collections

import numpy as np
import pytest
from data import own_maps
from exporting import narrow
from PIL import Image
from support.errors import refused

import drn_jax
from drn_jax import export, processors
from drn_jax.checkpoints import manager
from drn_jax.exporting import calibration, checks, forward, losses, precisions, signatures
from drn_jax.exporting import onnx as onnx_files

SIDE = 32


def write_photographs(folder, count, size=(40, 36)):
    """Writes blocks of color, like scenes rather than noise."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(count)
    for number in range(count):
        blocks = rng.integers(0, 256, (4, 5, 3), np.uint8)
        Image.fromarray(blocks).resize(size).save(folder / f'{number}.png')
    return str(folder)


# ----------------------------------------------------------------- images, flags: without libraries


def test_photographs_are_fitted_to_the_file(tmp_path):
    folder, source = write_photographs(tmp_path / 'photos', 9), narrow.source()
    raw = calibration.read(folder, source, signatures.Signature('uint8', 'logits', (24, 16)))
    assert raw.shape == (9, 24, 16, 3) and raw.dtype == np.uint8
    signature = signatures.Signature('normalized', 'logits', (24, 16))
    normalized = calibration.read(folder, source, signature)
    data = source.config.data
    assert normalized.dtype == np.float32
    np.testing.assert_allclose(normalized, (raw / 255 - data.mean) / data.std, atol=1e-5)


def test_at_most_so_many_photographs_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(calibration, 'MOST', 8)
    folder, source = write_photographs(tmp_path / 'photos', 15), narrow.source()
    assert len(calibration.read(folder, source, signatures.Signature('uint8', '', (8, 8)))) == 8


def test_photographs_that_cannot_be_used(tmp_path):
    source, signature = narrow.source(), signatures.Signature('uint8', 'logits', (8, 8))
    folder = write_photographs(tmp_path / 'photos', 7)
    with refused('--calibrate', match='has 7 images, but int8 needs at least 8, better 128; give'):
        calibration.read(folder, source, signature)
    (tmp_path / 'photos' / 'z.jpg').write_text('no image')
    with refused(path=f'{folder}/z.jpg', match='cannot be read as an image; repair or replace'):
        calibration.read(folder, source, signature)
    with refused(path=f'{folder}/none', match='does not exist'):
        calibration.read(f'{folder}/none', source, signature)
    source.config.data.name, source.config.data.data_dir = 'folder', f'{folder}/none'
    with refused('config.data.data_dir', match='is no directory; give the one that holds'):
        calibration.read('train', source, signature)


ONNX = ['--format=onnx', '--size=8']


@pytest.mark.parametrize(
    'flags, field, message',
    [
        (['--precision=int8', '--calibrate=a'], '--precision', 'int8 is for ONNX; let the name of'),
        ([*ONNX, '--precision=int4'], '--precision', "invalid choice: 'int4'"),
        ([*ONNX, '--precision=int8'], '--calibrate', 'is missing, and int8 needs to see images'),
        ([*ONNX, '--calibrate=a'], '--calibrate', 'is for --precision=int8; add that'),
        ([*ONNX, '--precision=float16', '--calibrate=a'], '--calibrate', 'is for --precision=int8'),
        ([*ONNX, '--runtime=any'], '--runtime', '=any is for --precision=int8; add that, or leave'),
        ([*ONNX, '--runtime=tflite'], '--runtime', "invalid choice: 'tflite'"),
        ([*ONNX, '--precision=bfloat16'], '--precision', 'bfloat16 is not written, because ONNX'),
        ([*ONNX, '--evaluate'], '--evaluate', 'is for --precision=int8 or float16; add one'),
        ([*ONNX, '--precision=float16', '--tolerance=1'], '--tolerance', 'is of what --evaluate'),
        ([*ONNX, '--tolerance=x'], '--tolerance', "'x' is given, but it is a number of points"),
        ([*ONNX, '--tolerance=nan'], '--tolerance', "'nan' is given, but it is a number of points"),
    ],
)
def test_flags_that_do_not_go_together(flags, field, message):
    with refused(field, match=message):
        export.main(['--checkpoint=nowhere', '--output=file', *flags])


def test_a_cpu_without_instructions_is_known_by_its_flags(tmp_path):
    assert not onnx_files.lacks_vnni(tmp_path / 'none')  # the system does not say
    for number, (flags, slow) in enumerate(
        [
            ('flags\t\t: fpu avx2 avx512f', True),
            ('flags\t\t: fpu avx2 avx512_vnni', False),
            ('flags\t\t: fpu avx2 avx_vnni', False),
            ('Features\t: fp asimd', False),  # Arm
        ]
    ):
        cpu = tmp_path / f'cpuinfo{number}'  # what one says is remembered
        cpu.write_text(f'processor\t: 0\n{flags}\n')
        assert onnx_files.lacks_vnni(cpu) == slow, flags


# -------------------------------------------------------------------------------------------- files


@pytest.fixture(scope='module')
def libraries():
    for name in (*onnx_files.LIBRARIES, *precisions.LIBRARIES.values()):
        pytest.importorskip(name)


def write(folder, source, precision, images=None, runtime='any', **settings):
    """Writes a file in float32 and one in fewer bits; gives both and their signature."""
    signature = signatures.make_signature(source.model, size=(SIDE, SIDE), **settings)
    whole, path = folder / 'whole.onnx', folder / f'{precision}.onnx'
    card = narrow.card(source, signature, 'onnx')
    function = forward.for_onnx(source, signature, precisions.STRIPS[runtime])
    onnx_files.write(whole, function, signature, card)
    if precision == 'int8':
        precisions.write_int8(path, whole, 'images', list(images(signature)[:, None]), runtime)
    else:
        precisions.write_float16(path, whole)
    onnx_files.write_card(path, card)
    return whole, path, signature


@pytest.mark.parametrize(
    'options, settings, method',
    [
        ({'variant': 'drn_a_18'}, {}, 'Percentile'),
        ({'variant': 'drn_c_26'}, {'pixels': 'normalized', 'answers': 'class_maps'}, 'MinMax'),
        ({'variant': 'drn_d_22', 'task': 'segmentation'}, {'answers': 'labels'}, 'Percentile'),
        ({'variant': 'drn_a_18', 'degridding': 'smooth'}, {}, 'Percentile'),
    ],
)
def test_int8_answers_nearly_as_float32(
    tmp_path, monkeypatch, capfd, libraries, options, settings, method
):
    import onnx

    if method == 'MinMax':
        monkeypatch.setattr(precisions, '_LARGE', SIDE)
    source = narrow.source(**options)
    folder = write_photographs(tmp_path / 'photos', 8)
    found = []

    def images(signature):
        found.append(calibration.read(folder, source, signature))
        return found[0]

    whole, path, signature = write(tmp_path, source, 'int8', images, **settings)
    assert capfd.readouterr() == ('', '')
    (outcome,) = checks.check_precision(path, whole, signature, 'int8', found[0])
    assert outcome.against == ' against float32, 8 images'
    assert 0 < outcome.difference <= 0.15 * max(1, outcome.largest) and outcome.same > 0.8
    graph = onnx.load(path).graph
    counts = collections.Counter(node.op_type for node in graph.node)
    integers = [array for array in graph.initializer if array.data_type == onnx.TensorProto.INT8]
    convs = [
        conv for _, level in source.model.table.expand() for block in level for conv in block.convs
    ]
    precise = sum(conv.smoothing > 0 for conv in convs)
    precise += bool(settings)  # the classifier, where its scores are maps
    assert len([array for array in integers if len(array.dims) == 4]) == counts['Conv'] - precise
    assert counts['Einsum'] == 0  # with it OpenVINO runs out of memory
    assert counts['Relu'] == 0  # each is part of what is before it
    per_channel = [array for array in graph.initializer if array.name.endswith('_scale')]
    assert any(array.dims for array in per_channel)


def test_a_file_for_amx_answers_the_same(tmp_path, monkeypatch, libraries):
    import onnx
    from onnx import numpy_helper

    source = narrow.source('drn_d_22')
    folder = write_photographs(tmp_path / 'photos', 8)
    monkeypatch.setattr(precisions, '_WIDE', 16)

    def images(signature):
        return calibration.read(folder, source, signature)

    whole, amx, signature = write(tmp_path, source, 'int8', images, 'onnxruntime_amx')
    (outcome,) = checks.check_precision(amx, whole, signature, 'int8', images(signature))
    assert outcome.difference <= 0.15 * max(1, outcome.largest) and outcome.same > 0.8
    usual = tmp_path / 'usual'
    usual.mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(precisions, '_take_products', lambda path: None)
        _, path, _ = write(usual, source, 'int8', images, 'onnxruntime_amx')
    answers, others = (drn_jax.load_exported(each)(images(signature)) for each in (path, amx))
    np.testing.assert_array_equal(others, answers)

    zeros = {}
    for file in (path, amx):
        graph = onnx.load(file).graph
        arrays = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
        zeros[file] = [  # of all weights, by input channels
            (arrays[node.input[0]].shape[1], set(arrays[node.input[2]].tolist()))
            for node in graph.node
            if node.op_type == 'DequantizeLinear' and arrays.get(node.input[0], np.int8()).ndim == 4
        ]
    assert len(zeros[path]) == len(zeros[amx]) > 20
    assert {zero for _, found in zeros[path] for zero in found} == {0}
    assert all(found == ({-1} if width >= 16 else {0}) for width, found in zeros[amx])
    assert 12 in dict(zeros[amx]) and 3 not in dict(zeros[amx])  # the stem's, four pixels of three
    assert {width >= 16 for width, _ in zeros[amx]} == {True, False}


def test_float16_answers_as_float32(tmp_path, libraries):
    source = narrow.source('drn_d_22', task='segmentation')
    whole, path, signature = write(tmp_path, source, 'float16')
    (outcome,) = checks.check_precision(path, whole, signature, 'float16')
    assert 0 < outcome.difference < 0.01 * max(1, outcome.largest)
    assert path.stat().st_size < 0.7 * whole.stat().st_size
    answers = drn_jax.load_exported(path)(np.zeros((2, SIDE, SIDE, 3), np.uint8))
    assert answers.dtype == np.float32 and answers.shape == (2, 4, 4, 3)


def test_a_file_that_answers_otherwise_is_refused(tmp_path, monkeypatch, libraries):
    whole, path, signature = write(tmp_path, narrow.source(), 'float16')
    monkeypatch.setitem(checks.BOUNDS, 'float16', (1e-9, 1e-9))
    with refused(path=path, match='unlike the one in float32 on cpu, by .* and was not kept; give'):
        checks.check_precision(path, whole, signature, 'float16')


# -------------------------------------------------------------------------------------- the command


def test_a_classifier_in_int8_is_evaluated(tmp_path, capsys, monkeypatch, libraries):
    source = narrow.source('drn_d_22')
    data = source.config.data
    data.name, data.data_dir = 'folder', str(tmp_path / 'data')
    data.image_size = data.resize_px = SIDE
    source.config.mesh.devices = 16  # where it was trained
    manager.save_variables(f'{tmp_path}/run', source.config, source.variables)
    for split, count in (('train', 3), ('validation', 4)):
        for name in data.class_names:
            write_photographs(tmp_path / 'data' / split / name, count)
    flags = [f'--checkpoint={tmp_path}/run', f'--output={tmp_path}/a.onnx', f'--size={SIDE}']
    flags += ['--precision=int8', '--calibrate=train', '--runtime=onnxruntime_amx']
    export.main([*flags, '--evaluate', '--tolerance=100'])
    said = capsys.readouterr().out
    assert '\nchecked on cpu against float32, 9 images: answers up to ' in said
    assert '\ntop1_error on 12 images of folder, validation: float32 ' in said
    assert onnx_files.lacks_vnni() == ('\nthis CPU has no instructions for int8 (VNNI): ' in said)
    card = drn_jax.load_exported(f'{tmp_path}/a.onnx').card
    assert (card['compute_dtype'], card['calibration_images']) == ('int8', 9)
    assert card['runtime'] == 'onnxruntime_amx'
    slower = not onnx_files.lacks_vnni() and processors.lacks(processors.AMX_INT8)
    assert slower == ('\nthis CPU has no AMX: ' in said)
    assert card['evaluation']['images'] == 12
    assert card['evaluation']['float32'] == pytest.approx(2 / 3)  # the same photographs, 3 classes

    monkeypatch.setattr(losses, 'points', lambda *_: 1.5)
    with refused('--tolerance', match='1.50 points are lost where --tolerance=1 allows less'):
        export.main([*flags, '--evaluate', '--overwrite', '--no_check'])
    (tmp_path / 'a.onnx').unlink()
    with refused('--size', match='of config.data.image_size 32; give --size=32, or change both'):
        export.main([*flags, '--size=24', '--evaluate', '--no_check'])
    with refused('config.data.validation_split', match="^split 'test' of 'folder' is unknown"):
        export.main([*flags, '--evaluate', '--no_check', '--config.data.validation_split=test'])
    assert sorted(path.name for path in tmp_path.iterdir()) == ['data', 'run']


@pytest.mark.parametrize('answers', ['logits', 'labels'])
def test_segmentation_is_measured_at_the_size_of_the_file(tmp_path, libraries, answers):
    source = narrow.source('drn_d_22', task='segmentation')
    own_maps.write_folders(tmp_path / 'data', val=3)
    source.config.data.class_names = ()
    source.config.data.name, source.config.data.data_dir = 'label_maps', str(tmp_path / 'data')
    whole, path, signature = write(tmp_path, source, 'float16', answers=answers)
    files = {'float32': drn_jax.load_exported(whole), 'float16': drn_jax.load_exported(path)}
    measured = losses.measure(files, source, signature, losses.resolve(source, signature))
    assert (measured['metric'], measured['images']) == ('mean_iou', 3)
    assert 0 < measured['float32'] < 1
    assert losses.points(measured, 'float16') == pytest.approx(0, abs=5)


@pytest.mark.parametrize('runtime', precisions.RUNTIMES)
def test_a_cpu_without_vnni_answers_right(tmp_path, monkeypatch, libraries, runtime):
    monkeypatch.setattr(precisions, '_WIDE', 16)
    source = narrow.source('drn_d_22')
    folder = write_photographs(tmp_path / 'photos', 8)
    path = write(
        tmp_path, source, 'int8', lambda given: calibration.read(folder, source, given), runtime
    )[1]
    images = calibration.read(folder, source, signatures.Signature('uint8', '', (SIDE, SIDE)))
    fast = drn_jax.load_exported(path)(images)
    monkeypatch.setattr(onnx_files, 'lacks_vnni', lambda: True)
    np.testing.assert_allclose(drn_jax.load_exported(path)(images), fast, atol=1e-3)
