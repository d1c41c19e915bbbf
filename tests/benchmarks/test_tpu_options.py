"""The sweep of compiler options, with a stand-in for the compiler."""

import sys

import pytest
import slices
import tpu_options

from drn_jax.errors import InputError
from drn_jax.planning import compiler, estimates

CYCLES = {20: 153e6, 32: 148e6, 'xla_tpu_good=1': 147e6}


@pytest.fixture
def asked(monkeypatch):
    """What the compiler is asked for: the last option of every call."""
    seen = []

    def compiled(flags, tpu_slice, override):
        options = eval(override.partition('=')[2])
        seen.append(options[-1])
        if options[-1] == 'xla_tpu_bad=1':
            raise InputError('no such option')
        return compiler.Program(options[-1], 9e12, 4 * 10**9, compile_seconds=90.0)

    def cost(program, tpu_slice):
        name, _, text = program.text.partition('=')
        key = int(text or 0) // 1024 if name == tpu_options.LIMIT else program.text
        return estimates.Costs(CYCLES.get(key, 161e6), by_level={'level1': [1e6, 2e6]})

    monkeypatch.setattr(slices, 'compiled', compiled)
    monkeypatch.setattr(estimates, 'of_tpu', cost)
    monkeypatch.setattr(compiler, 'keep_off_accelerators', lambda: None)
    monkeypatch.setattr(compiler, 'libtpu_version', lambda: '0.0.52')
    return seen


def run(monkeypatch, *flags):
    monkeypatch.setattr(sys, 'argv', ['tpu_options.py', *flags])
    tpu_options.main()


def test_a_sweep_goes_on_where_it_was(asked, tmp_path, monkeypatch, capsys):
    flags = [f'--results={tmp_path}/rows.jsonl', '--limit=20', '--limit=32']
    run(monkeypatch, *flags)
    assert asked == [f'{tpu_options.LIMIT}={text}' for text in ('', 20480, 32768)]
    assert capsys.readouterr().out.splitlines()[1:] == [
        tpu_options.HEAD,
        '        161.00            4.00   42.6 %          90  none',
        '        153.00            4.00   44.8 %          90  xla_tpu_scoped_vmem_limit_kib=20480',
        '        148.00            4.00   46.3 %          90  xla_tpu_scoped_vmem_limit_kib=32768',
        'fewest cycles:',
        '        148.00            4.00   46.3 %          90  xla_tpu_scoped_vmem_limit_kib=32768',
    ]
    asked.clear()
    run(monkeypatch, *flags, '--option=xla_tpu_bad=1', '--option=xla_tpu_good=1')
    assert asked == ['xla_tpu_bad=1', 'xla_tpu_good=1']
    lines = capsys.readouterr().out.splitlines()
    assert lines[5].endswith('  xla_tpu_scoped_vmem_limit_kib=32768, xla_tpu_bad=1: no such option')
    assert lines[-1].endswith('  xla_tpu_scoped_vmem_limit_kib=32768, xla_tpu_good=1')
    asked.clear()
    run(monkeypatch, *flags, '--images=64')
    assert len(asked) == 3
