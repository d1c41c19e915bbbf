"""Accelerators that are not here: what commands say where libraries for them are installed."""

import importlib.util
import os
import pathlib
import subprocess
import sys

import pytest

from drn_jax.distributed import accelerators
from drn_jax.errors import InputError
from drn_jax.planning import cuda_compiler

ROOT = pathlib.Path(__file__).parent.parent.parent


def test_only_what_is_missing_is_told_to_the_libraries(tmp_path, monkeypatch):
    here = {name: tmp_path / name for name in ('accel0', 'nvidia0')}
    monkeypatch.setattr(accelerators, 'TPU_DEVICES', (f'{tmp_path}/accel*',))
    monkeypatch.setattr(accelerators, 'NVIDIA_DEVICES', (f'{tmp_path}/nvidia*',))
    for devices, told in (
        ((), accelerators.NO_TPU | accelerators.NO_NVIDIA),
        (('accel0',), accelerators.NO_NVIDIA),
        (('nvidia0',), accelerators.NO_TPU),
        (('accel0', 'nvidia0'), {}),
    ):
        for name, path in here.items():
            path.unlink(missing_ok=True)
            if name in devices:
                path.touch()
        monkeypatch.setattr(os, 'environ', {})
        accelerators.keep_missing_quiet()
        assert os.environ == told
        assert accelerators.has_tpu() == ('accel0' in devices)


def test_what_the_user_says_stays(monkeypatch):
    monkeypatch.setattr(os, 'environ', {'TPU_MIN_LOG_LEVEL': '0'})
    accelerators.keep_missing_quiet()
    assert os.environ['TPU_MIN_LOG_LEVEL'] == '0'


@pytest.mark.parametrize('library', ['libtpu', 'cuda'])
def test_commands_are_quiet(library):
    environment = {**os.environ, 'JAX_PLATFORMS': ''}
    if library == 'cuda':
        try:
            environment['PYTHONPATH'] = cuda_compiler.find()
        except InputError:
            pytest.skip('the CUDA plugin is not installed')
    elif importlib.util.find_spec('libtpu') is None:
        pytest.skip('libtpu is not installed')
    result = subprocess.run(
        [sys.executable, '-m', 'drn_jax', '--version'],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0 and 'devices: ' in result.stdout
    # The libraries of CUDA, which come with the plugin unless it is installed alone, are missed
    # while JAX 0.10 is imported.
    alone = ('cudart_stub', 'before absl::InitializeLog()')
    assert [line for line in result.stderr.splitlines() if not any(map(line.count, alone))] == []
