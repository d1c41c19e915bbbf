"""ONNX files: ONNX Runtime gives the network's answers."""

import collections
import json

import numpy as np
import pytest
from exporting import narrow
from support.errors import refused

import drn_jax
from drn_jax.exporting import checks, forward, signatures
from drn_jax.exporting import onnx as onnx_files

pytest.importorskip('jax2onnx')
onnxruntime = pytest.importorskip('onnxruntime')
onnx = pytest.importorskip('onnx')


def write(directory, source, **settings):
    """Exports a network and gives the file's path and its signature."""
    signature = signatures.make_signature(source.model, **settings)
    path = directory / 'network.onnx'
    onnx_files.write(
        path, forward.for_onnx(source, signature), signature, narrow.card(source, signature, 'onnx')
    )
    return path, signature


@pytest.mark.parametrize(
    'options, settings',
    [
        ({'variant': 'drn_a_18'}, {'size': (33, 41)}),
        ({'variant': 'drn_c_26'}, {'size': (32, 40), 'pixels': 'normalized'}),
        ({'variant': 'drn_d_54'}, {'size': (24, 24), 'answers': 'class_maps'}),
        ({'variant': 'drn_d_22', 'task': 'segmentation'}, {'size': (24, 41)}),
        ({'variant': 'drn_d_22', 'task': 'segmentation'}, {'size': (24, 41), 'answers': 'labels'}),
        ({'variant': 'resnet_18', 'num_classes': 0}, {'size': (40, 24)}),
    ],
)
def test_onnx_runtime_answers_as_the_network(tmp_path, options, settings):
    source = narrow.source(**options)
    path, signature = write(tmp_path, source, **settings)
    (outcome,) = checks.check(path, source, signature)
    assert outcome.difference <= outcome.bound <= max(1e-3, 1e-4 * outcome.largest)

    # As users call it who have nothing but ONNX Runtime.
    session = onnxruntime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
    card = json.loads(session.get_modelmeta().custom_metadata_map['drn_jax'])
    entry, answer = session.get_inputs(), session.get_outputs()
    assert [(value.name, value.shape) for value in entry] == [
        ('images', ['batch', *signature.size, 3])
    ]
    assert [(value.name, value.shape) for value in answer] == [
        (card['output']['name'], card['output']['shape'])
    ]
    images = next(checks.random_images(signature))
    (found,) = session.run(None, {'images': images})
    assert found.dtype == card['output']['dtype']
    np.testing.assert_array_equal(found, drn_jax.load_exported(path)(images))


def test_the_graph_is_plain(tmp_path):
    path, _ = write(tmp_path, narrow.source('drn_a_18'), size=(33, 41))
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    counts = collections.Counter(node.op_type for node in model.graph.node)
    assert counts['Conv'] == 17 + 3 and counts['MaxPool'] == 1 and counts['Transpose'] <= 2
    assert 'BatchNormalization' not in counts
    dilations = [
        list(attribute.ints)
        for node in model.graph.node
        if node.op_type == 'Conv'
        for attribute in node.attribute
        if attribute.name == 'dilations'
    ]
    assert dilations.count([2, 2]) == 4 and dilations.count([4, 4]) == 3


def test_bad_files_and_images(tmp_path):
    path, _ = write(tmp_path, narrow.source(), size=(8, 8))
    with refused(path=path, match=r', 8, 8, 3\], not uint8 \[1, 8, 9, 3\]$'):
        drn_jax.load_exported(path)(np.zeros((1, 8, 9, 3), np.uint8))
    model = onnx.load(path)
    card = json.loads(model.metadata_props[0].value)
    model.metadata_props[0].value = json.dumps({**card, 'format_version': 3})
    onnx.save(model, path)
    with refused(path=path, match='has version 3 of the export format and was written by'):
        drn_jax.load_exported(path)
    whole = path.read_bytes()
    del model.metadata_props[:]
    for content in (whole[: len(whole) // 2], model.SerializeToString()):
        path.write_bytes(content)
        with refused(path=path, match='or a damaged one; export it again'):
            drn_jax.load_exported(path)
