"""The README's Python runs, and its commands exist."""

import pathlib
import re

ROOT = pathlib.Path(__file__).parent.parent
README = (ROOT / 'README.md').read_text()


def test_python_blocks_run(capsys):
    names: dict = {}
    blocks = re.findall(r'```python\n(.*?)```', README, re.DOTALL)
    assert len(blocks) >= 2
    for block in blocks:
        exec(compile(block, 'README.md', 'exec'), names)
    assert names['logits'].shape == (1, 1000)
    assert names['maps'].shape == (1, 28, 28, 1000)
    assert names['scores'].shape == (1, 24, 32, 21)
    assert 'drn_c_26' in capsys.readouterr().out


def test_files_and_commands_that_it_names_exist():
    for path in re.findall(r'(?:launch|benchmarks|configs|drn_jax)/[\w/]+\.\w+', README):
        assert (ROOT / path).exists(), path
    for command in re.findall(r'python -m drn_jax\.(\w+)', README):
        assert (ROOT / 'drn_jax' / f'{command}.py').exists(), command


def test_fields_that_it_names_exist():
    from drn_jax.training.configurations import flatten

    from drn_jax import recipes

    fields = {**flatten(recipes.classification()), **flatten(recipes.segmentation())}
    for name in re.findall(r'--config\.([\w.]*\w)', README):
        assert name in fields or name == 'FIELD', name
