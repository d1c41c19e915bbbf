import json

import pytest
from support.errors import refused

from drn_jax import files


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / 'a.txt'
    path.write_text('old')
    with pytest.raises(RuntimeError, match='broken'), files.replacing(path) as partial:
        partial.write_text('half')
        raise RuntimeError('broken')
    assert path.read_text() == 'old' and list(tmp_path.iterdir()) == [path]


def test_an_error_before_anything_is_written_is_told(tmp_path):
    with pytest.raises(RuntimeError, match='broken'), files.replacing(tmp_path / 'b' / 'a'):
        raise RuntimeError('broken')


def test_json_replaces_what_was_there(tmp_path):
    for content in ({'a': [1, 2]}, {'b': None}):
        files.write_json(tmp_path / 'new' / 'a.json', content)
    assert json.loads((tmp_path / 'new' / 'a.json').read_text()) == {'b': None}


def test_a_directory_that_is_checked_stays_as_it_was(tmp_path):
    path = tmp_path / 'a' / 'b'
    files.check_directory(path, '--output')
    assert not list(tmp_path.iterdir())
    path.mkdir(parents=True)
    files.check_directory(path, '--output')
    assert path.is_dir()
    (tmp_path / 'c').touch()
    with refused('--output', tmp_path / 'c' / 'd', match='cannot be made'):
        files.check_directory(tmp_path / 'c' / 'd', '--output')
