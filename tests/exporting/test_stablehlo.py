"""StableHLO files: written, read back, refused."""

import re
import zipfile

import jax
import numpy as np
import pytest
from exporting import narrow
from jax import export
from support.errors import refused

import drn_jax
from drn_jax.exporting import checks, forward, signatures, stablehlo
from drn_jax.tasks import segmentation


def write(directory, source, *, platforms=('cpu',), **settings):
    """Exports a network and gives the file's path and its signature."""
    signature = signatures.make_signature(source.model, **settings)
    path = directory / 'network.stablehlo'
    stablehlo.write(
        path,
        forward.for_stablehlo(source, signature, platforms),
        signature,
        narrow.card(source, signature, 'stablehlo', platforms),
    )
    return path, signature


def images(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


@pytest.fixture(scope='module')
def classifier(tmp_path_factory):
    """DRN-C-26 for any platform, batch and size."""
    source = narrow.source()
    return source, write(tmp_path_factory.mktemp('c_26'), source, platforms=('cpu', 'cuda', 'tpu'))[
        0
    ]


@pytest.fixture()
def copy(tmp_path, classifier):
    path = tmp_path / 'copy.stablehlo'
    path.write_bytes(classifier[1].read_bytes())
    return path


@pytest.mark.parametrize(
    'options, settings',
    [
        ({'variant': 'drn_a_18'}, {}),
        ({'variant': 'drn_d_22', 'task': 'segmentation'}, {}),
        (
            {'variant': 'drn_d_22', 'convolution': 'phase'},
            {'size': (17, 24), 'answers': 'class_maps', 'pixels': 'normalized'},
        ),
        ({'variant': 'drn_d_22', 'dtype': 'bfloat16'}, {}),
    ],
)
def test_a_file_answers_as_its_network(tmp_path, options, settings):
    source = narrow.source(**options)
    path, signature = write(tmp_path, source, **settings)
    (outcome,) = checks.check(path, source, signature)
    assert outcome.platform == 'cpu'
    assert 0 <= outcome.difference <= outcome.bound
    card = drn_jax.load_exported(path).card
    assert card['input']['shape'] == list(signature.shape)
    batch = images((2, *(signature.size or (40, 30)), 3)).astype(signature.dtype)
    answer = drn_jax.load_exported(path)(batch)
    assert str(answer.dtype) == card['output']['dtype']
    if signature.size:
        assert ['batch', *answer.shape[1:]] == card['output']['shape']


def test_any_batch_and_any_size(classifier):
    source, path = classifier
    network = drn_jax.load_exported(path)
    apply = jax.jit(source.model.apply)
    mean, std = np.float32(source.config.data.mean), np.float32(source.config.data.std)
    for shape in [(1, 1, 1, 3), (5, 33, 8, 3)]:
        pixels = images(shape)
        wanted = apply(source.variables, (pixels.astype(np.float32) / 255 - mean) / std)
        np.testing.assert_allclose(network(pixels), wanted, atol=1e-4)


def test_jax_alone_reads_it(classifier):
    _, path = classifier
    with zipfile.ZipFile(path) as file:
        program = export.deserialize(bytearray(file.read('program.jax_export')))
    assert program.platforms == ('cpu', 'cuda', 'tpu')
    pixels = images((2, 16, 24, 3))
    np.testing.assert_array_equal(program.call(pixels), drn_jax.load_exported(path)(pixels))


def test_the_card(classifier):
    card = drn_jax.load_exported(classifier[1]).card
    assert (card['variant'], card['task'], card['step']) == ('drn_c_26', 'classification', 5)
    assert card['class_names'] == ['road', 'car', 'sky'] and card['num_classes'] == 3
    assert card['normalization'] == {
        'mean': [0.485, 0.456, 0.406],
        'std': [0.229, 0.224, 0.225],
        'done_by': 'the file',
    }
    assert card['input']['name'] == 'images' and card['output']['name'] == 'logits'
    assert card['output']['shape'] == ['batch', 3]
    assert card['platforms'] == ['cpu', 'cuda', 'tpu']
    assert card['versions']['jax'] == jax.__version__
    assert card['readable_by'] == stablehlo.readers()


def test_labels_are_those_of_segmentation(tmp_path):
    source = narrow.source('drn_d_22', task='segmentation')
    path, _ = write(tmp_path, source, answers='labels', size=(20, 33), pixels='normalized')
    batch = np.random.default_rng(0).standard_normal((2, 20, 33, 3), np.float32)
    wanted = segmentation.predict(source.model, source.variables, {'image': batch})
    np.testing.assert_array_equal(drn_jax.load_exported(path)(batch), wanted)


def test_files_for_every_platform_hold_nothing_for_cpus_only():
    source = narrow.source('drn_a_18')
    signature = signatures.make_signature(source.model, size=(16, 16))
    batch = jax.ShapeDtypeStruct((1, 16, 16, 3), np.uint8)

    def joined(platforms):
        function = forward.for_stablehlo(source, signature, platforms)
        return jax.jit(function).lower(batch).as_text().count('stablehlo.concatenate')

    assert joined(('cpu',)) > 0 == joined(('cpu', 'cuda', 'tpu')) == joined(('tpu',))


# -------------------------------------------------------------------------------------- bad input


def test_images_that_do_not_fit_are_refused(tmp_path, classifier):
    path, _ = write(tmp_path, classifier[0], size=(8, 16))
    for file, given, found in (
        (classifier[1], np.zeros((1, 8, 8, 3), np.float32), 'float32 [1, 8, 8, 3]'),
        (classifier[1], 'image', '<U5 []'),
        (classifier[1], images((8, 8, 3)), 'uint8 [8, 8, 3]'),
        (classifier[1], images((0, 8, 8, 3)), 'uint8 [0, 8, 8, 3]'),
        (path, images((1, 16, 8, 3)), 'uint8 [batch, 8, 16, 3], not uint8 [1, 16, 8, 3]'),
    ):
        network = drn_jax.load_exported(file)
        with refused(path=file, match=f'{re.escape(found)}$'):
            network(given)


def test_a_file_for_other_platforms_is_written_and_not_run(tmp_path, classifier):
    source, _ = classifier
    path, signature = write(tmp_path, source, platforms=('cuda', 'tpu'))
    assert checks.check(path, source, signature) == []
    network = drn_jax.load_exported(path)
    with refused(path=path, match='is for cuda, tpu, but this process computes on cpu; .*=cpu$'):
        network(images((1, 8, 8, 3)))


def test_an_expired_file_says_how_to_write_it_anew(copy, monkeypatch):
    narrow.change_card(copy, versions={'jax': '0.6.0', 'jaxlib': '0.10.2'})
    monkeypatch.setattr(export, 'minimum_supported_calling_convention_version', 98)
    monkeypatch.setattr(export, 'maximum_supported_calling_convention_version', 99)
    with refused(
        path=copy,
        match='is for versions of JAX released until 2026-12-15, .*; jax .* does not read it .*'
        'from 98 to 99.*; use jax 0.6.0, or write it anew: python -m drn_jax.export '
        '--checkpoint=DIR --step=5 --output=.* --overwrite$',
    ):
        drn_jax.load_exported(copy)


def test_files_of_another_version_are_named(copy):
    narrow.change_card(copy, format_version=2, versions={'drn_jax': '7.0'})
    with refused(path=copy, match='version 2 .* drn_jax 7.0, but this drn_jax reads version 1'):
        drn_jax.load_exported(copy)
    narrow.change_card(copy, format='of others')
    with refused(path=copy, match='is no file of python -m drn_jax.export; give one$'):
        drn_jax.load_exported(copy)


def test_a_card_that_lacks_something_is_damaged(copy):
    for versions in ({'jax': '0.10.2'}, None):
        narrow.change_card(copy, versions=versions)
        with refused(path=copy, match=r'or a damaged one \(.*\); export it again$'):
            drn_jax.load_exported(copy)


def test_damaged_files_are_named(tmp_path, copy):
    whole = copy.read_bytes()
    middle = len(whole) // 2
    for damaged in (whole[:middle], whole[:middle] + b'drn' + whole[middle + 3 :]):
        copy.write_bytes(damaged)
        with refused(path=copy, match=r'or a damaged one \(.*\); export it again$'):
            drn_jax.load_exported(copy)


def test_files_that_are_no_export(tmp_path):
    path = tmp_path / 'notes.txt'
    for content in (b'', b'words'):
        path.write_bytes(content)
        with refused(path=path, match='is neither a StableHLO nor an ONNX file'):
            drn_jax.load_exported(path)
    with zipfile.ZipFile(path, 'w') as file:
        file.writestr('notes', 'words')
    for given, message in (
        (path, 'or a damaged one'),
        (tmp_path, 'is a directory; give a file that python -m drn_jax.export wrote'),
        (f'{path}x', 'does not exist; give a file that python -m drn_jax.export wrote'),
    ):
        with refused(path=given, match=message):
            drn_jax.load_exported(given)
