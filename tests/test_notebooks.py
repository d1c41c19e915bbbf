"""The notebooks of the documentation run, with small numbers."""

import os
import pathlib

import pytest
from models.fills import random_variables

import drn_jax
from drn_jax import recipes
from drn_jax.checkpoints import conversion, weight_folders

nbformat = pytest.importorskip('nbformat')
nbclient = pytest.importorskip('nbclient')

ROOT = pathlib.Path(__file__).parent.parent
SMALL = {
    'classify_and_localize': (
        "steps, width, validation, tune = 2, 0.0625, 'validation[:16]', 'tune[:16]'"
    ),
    'segment_your_label_maps': 'steps, width = 2, 0.0625',
    'backbone_in_nnx': 'steps, width = 2, 0.0625',
    'pretrained': "resnet, drn = 'resnet', 'drn'",
}


def test_every_notebook_is_run():
    assert {path.stem for path in (ROOT / 'docs/notebooks').glob('*.ipynb')} == SMALL.keys()


@pytest.mark.parametrize('name', SMALL)
def test_a_notebook_shows_what_it_gave(name):
    notebook = nbformat.read(ROOT / f'docs/notebooks/{name}.ipynb', as_version=4)
    assert any('image/png' in str(cell.get('outputs')) for cell in notebook.cells)


@pytest.mark.parametrize('name', SMALL)
def test_notebook_runs(name, tmp_path, monkeypatch, request):
    notebook = nbformat.read(ROOT / f'docs/notebooks/{name}.ipynb', as_version=4)
    (parameters,) = [cell for cell in notebook.cells if cell.metadata.get('tags') == ['parameters']]
    parameters.source += f'\n{SMALL[name]}'
    monkeypatch.setenv('PYTHONPATH', os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')]))
    if name == 'classify_and_localize':
        monkeypatch.setenv('TFDS_DATA_DIR', str(request.getfixturevalue('digit_scenes_dir')))
    if name == 'pretrained':
        for folder, variant in (('resnet', 'resnet_18'), ('drn', 'drn_a_18')):
            config = recipes.classification()
            config.model.variant, config.model.width = variant, 0.0625
            config.model.num_classes, config.data.class_names = 2, ('cat', 'dog')
            model = drn_jax.create_model(variant, 2, width=0.0625)
            (tmp_path / folder).mkdir()
            network = conversion.Converted(config, random_variables(model))
            weight_folders.write(tmp_path / folder, network)
    client = nbclient.NotebookClient(
        notebook, timeout=300, resources={'metadata': {'path': str(tmp_path)}}
    )
    client.execute()
    pictures = [
        output
        for cell in notebook.cells
        for output in cell.get('outputs', ())
        if 'image/png' in output.get('data', {})
    ]
    assert pictures
