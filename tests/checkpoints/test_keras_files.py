"""ResNets of Keras, which nobody here wrote: files that Keras saves, and its logits."""

import os
import re
import sys

import jax
import numpy as np
import pytest
from support.errors import refused

from drn_jax import convert
from drn_jax.checkpoints import keras_files
from drn_jax.checkpoints.restore import load, read_config

h5py = pytest.importorskip('h5py')
pytestmark = pytest.mark.filterwarnings('ignore:__array__ implementation:DeprecationWarning')
os.environ.setdefault('KERAS_BACKEND', 'tensorflow')


@pytest.fixture(scope='module')
def resnet(tmp_path_factory):
    """A ResNet-50 with random weights in both formats, images of 0 to 255, and its logits."""
    keras = pytest.importorskip('keras')
    folder = tmp_path_factory.mktemp('keras')
    model = keras.applications.ResNet50(
        weights=None, input_shape=(64, 64, 3), classes=7, classifier_activation=None
    )
    rng = np.random.default_rng(0)
    for layer in model.layers:
        shapes = [weight.shape for weight in layer.get_weights()]
        if layer.name.endswith('_bn'):
            ends = ((0.5, 1.5), (-0.1, 0.1), (-0.1, 0.1), (0.5, 1.5))
            layer.set_weights([rng.uniform(*end, size) for end, size in zip(ends, shapes)])
        elif len(shapes) == 2:
            layer.set_weights([layer.get_weights()[0], rng.uniform(-0.1, 0.1, shapes[1])])
    model.save(folder / 'resnet.keras')
    model.save(folder / 'resnet.h5')
    images = rng.uniform(0, 255, (2, 64, 64, 3)).astype(np.float32)
    logits = model(keras.applications.resnet50.preprocess_input(images.copy()))
    return folder, images, np.asarray(logits)


def test_its_files_give_its_logits(resnet, tmp_path):
    folder, images, wanted = resnet
    for name in ('resnet.keras', 'resnet.h5'):
        output = tmp_path / name.replace('.', '_')
        flags = ['--variant=resnet_50', f'--input={folder / name}', f'--output={output}']
        convert.main(flags)
        model, variables = load(output)
        assert (model.stride_in, model.num_classes) == ('1x1', 7)
        data = read_config(output / 'checkpoints/0').data
        inputs = (images / 255 - np.float32(data.mean)) / np.float32(data.std)
        logits = jax.jit(model.apply)(variables, inputs.astype(np.float32))
        assert np.abs(logits - wanted).max() <= 2e-5 * wanted.std(), name


def old_name(name):
    """Returns what Keras called a layer up to 2.2, as Caffe did."""
    if parts := re.fullmatch(r'conv(\d)_block(\d)_(\d)_(conv|bn)', name):
        kind, branch = {'conv': 'res', 'bn': 'bn'}[parts[4]], ('1', '2a', '2b', '2c')[int(parts[3])]
        return f'{kind}{parts[1]}{"abcdef"[int(parts[2]) - 1]}_branch{branch}'
    return {'conv1_conv': 'conv1', 'conv1_bn': 'bn_conv1', 'predictions': 'fc7'}.get(name, name)


def test_old_names_and_the_epsilon_of_their_time(resnet, tmp_path):
    file, old = resnet[0] / 'resnet.h5', tmp_path / 'old.h5'
    with h5py.File(file) as content, h5py.File(old, 'w') as copy:
        layers = content['model_weights']
        names = [str(name) for name in layers.attrs['layer_names']]
        for name in names:
            layers.copy(name, copy, old_name(name))
        copy.attrs['layer_names'] = [old_name(name) for name in names]
    wanted = keras_files.read(file)
    found = keras_files.read(old)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        more = 1e-3 - 1.001e-5 if name.endswith('running_var') else 0
        np.testing.assert_allclose(found[name], value + np.float32(more), rtol=1e-6)


def test_what_is_no_such_file(tmp_path, resnet, monkeypatch):
    file = tmp_path / 'cut.h5'
    file.write_bytes((resnet[0] / 'resnet.h5').read_bytes()[:5000])
    with refused(path=file, match='incomplete, damaged or no file of Keras'):
        keras_files.read(file)
    keras = pytest.importorskip('keras')
    other = tmp_path / 'other.keras'
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name='mine')]).save(other)
    with refused(path=other, match="holds the layer 'mine'"):
        keras_files.read(other)
    monkeypatch.setitem(sys.modules, 'h5py', None)
    with refused(path=other, match='needs h5py, which is not installed'):
        keras_files.read(other)
