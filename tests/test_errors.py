"""What errors say and carry."""

import pickle

import pytest

from drn_jax.errors import InputError, as_input_error, one_line


@pytest.mark.parametrize('kind', [ValueError, TypeError])
def test_errors_of_floors_below_become_the_users(kind):
    with pytest.raises(InputError) as error, as_input_error(field='config.model', path='runs/a'):
        raise kind('width 0 must be a number above 0')
    assert str(error.value) == 'width 0 must be a number above 0'
    assert (error.value.field, error.value.path) == ('config.model', 'runs/a')
    assert isinstance(error.value.__cause__, kind)


def test_input_errors_and_defects_stay_as_they_are():
    for given in (InputError('no such file', path='a'), KeyError('defect')):
        with pytest.raises(type(given)) as error, as_input_error(field='config.model'):
            raise given
        assert error.value is given


def test_input_errors_keep_what_they_carry_between_processes():
    error = pickle.loads(pickle.dumps(InputError('no such file', field='f', path='a')))
    assert (str(error), error.field, error.path) == ('no such file', 'f', 'a')


def test_a_long_first_line_keeps_its_end():
    line = one_line(OSError(f'{"a" * 300}: No space left on device\nmore'), short=True)
    assert len(line) == 200 and line.startswith('aaa')
    assert line.endswith('a: No space left on device') and ' ... ' in line
