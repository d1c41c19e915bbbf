"""The notebooks of the documentation run, with small numbers."""

import os
import pathlib

import pytest

nbformat = pytest.importorskip('nbformat')
nbclient = pytest.importorskip('nbclient')

ROOT = pathlib.Path(__file__).parent.parent
SMALL = {
    'classify_and_localize': (
        "steps, width, validation, tune = 2, 0.0625, 'validation[:16]', 'tune[:16]'"
    ),
    'segment_your_label_maps': 'steps, width = 2, 0.0625',
    'backbone_in_nnx': 'steps, width = 2, 0.0625',
}


def test_every_notebook_is_run():
    assert {path.stem for path in (ROOT / 'docs/notebooks').glob('*.ipynb')} == SMALL.keys()


@pytest.mark.parametrize('name', SMALL)
def test_notebook_runs(name, tmp_path, monkeypatch, request):
    notebook = nbformat.read(ROOT / f'docs/notebooks/{name}.ipynb', as_version=4)
    (parameters,) = [cell for cell in notebook.cells if cell.metadata.get('tags') == ['parameters']]
    parameters.source += f'\n{SMALL[name]}'
    monkeypatch.setenv('PYTHONPATH', os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')]))
    if name == 'classify_and_localize':
        monkeypatch.setenv('TFDS_DATA_DIR', str(request.getfixturevalue('digit_scenes_dir')))
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
