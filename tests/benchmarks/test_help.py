"""Every benchmark finds what it imports, and says how it is called."""

import importlib
import pathlib
import sys

import pytest

BENCHMARKS = pathlib.Path(__file__).parent.parent.parent / 'benchmarks'
# Without contestants.py, which another benchmark starts, and modules that are no programs.
PROGRAMS = sorted(
    path.stem
    for path in BENCHMARKS.glob('*.py')
    if f'\n  python benchmarks/{path.name}' in path.read_text()
)


@pytest.mark.parametrize('name', [name for name in PROGRAMS if name != 'contestants'])
def test_help_is_the_text_at_the_top(name, monkeypatch, capsys):
    module = importlib.import_module(name)
    monkeypatch.setattr(sys, 'argv', [f'{name}.py', '--help'])
    with pytest.raises(SystemExit) as end:
        module.main()
    text = capsys.readouterr().out
    assert end.value.code == 0 and text.startswith(f'usage: {name}.py [-h] ')
    assert module.__doc__.strip() in text
