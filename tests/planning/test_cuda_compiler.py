"""Where the CUDA compiler lies, and what is said where it ends its process."""

import sys

import jax
import pytest
from support.errors import refused

from drn_jax.planning import children, cuda_compiler


def install(folder, version, parts=cuda_compiler.PARTS):
    for part in parts:
        about = folder / f'jax_cuda12_{part}-{version}.dist-info'
        about.mkdir(parents=True)
        (about / 'METADATA').write_text(f'Name: jax-cuda12-{part}\nVersion: {version}\n')


def give_assembler(folder):
    (folder / 'nvidia/cuda_nvcc/bin').mkdir(parents=True)
    (folder / 'nvidia/cuda_nvcc/bin/ptxas').touch()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(cuda_compiler.FOLDER, str(tmp_path / 'cuda'))
    return tmp_path / 'cuda'


def command(folder):
    return (
        f'pip install --upgrade --no-deps --target {folder} jax-cuda12-plugin=={jax.__version__} '
        f'jax-cuda12-pjrt=={jax.__version__} nvidia-cuda-nvcc-cu12==12.8.93'
    )


def test_it_lies_in_its_folder(folder):
    install(folder, jax.__version__)
    give_assembler(folder)
    assert cuda_compiler.find() == str(folder)


def test_without_it(folder):
    with refused() as error:
        cuda_compiler.find()
    assert str(error.value) == (
        'the CUDA compiler is not installed whole, which needs no GPU and comes with '
        f'{command(folder)} (190 MB)'
    )


def test_half_of_it(folder):
    install(folder, jax.__version__, ['plugin'])
    with refused(match='not installed whole'):
        cuda_compiler.find()


def test_that_of_another_version(folder):
    install(folder, '0.1.2')
    give_assembler(folder)
    with refused(path=folder) as error:
        cuda_compiler.find()
    assert str(error.value) == (
        f'the CUDA compiler in {folder} is that of jax 0.1.2, but jax {jax.__version__} is '
        f'installed, whose compiler comes with {command(folder)}'
    )


CRASH = """
import os, sys
print('F1125 14:28:31.4 17969 tiling.cc:627] Check failed: a == b (1 vs. 2)', file=sys.stderr)
sys.stderr.flush()
os.abort()
"""


@pytest.mark.parametrize(
    'script, message',
    [
        (
            CRASH,
            f'the CUDA compiler of jax {jax.__version__} ended (signal 6) while it compiled '
            'drn_c_26: Check failed: a == b (1 vs. 2); another version may compile it',
        ),
        (
            'import os; os.kill(os.getpid(), 9)',
            f'the CUDA compiler of jax {jax.__version__} ended (signal 9) while it compiled '
            'drn_c_26; another version may compile it',
        ),
        (
            "import jax; raise jax.errors.JaxRuntimeError('no tile sizes')",
            f'the CUDA compiler of jax {jax.__version__} does not compile drn_c_26: no tile sizes',
        ),
        ("import sys; print('error: not so', file=sys.stderr); sys.exit(1)", 'not so'),
    ],
)
def test_what_ends_a_child(script, message, folder, capfd):
    install(folder, jax.__version__)
    give_assembler(folder)
    with refused() as error:
        cuda_compiler.run_child(['-c', script], 'drn_c_26')
    assert str(error.value) == message
    assert capfd.readouterr() == ('', '')


def test_a_defect_keeps_its_traceback(folder, capfd):
    install(folder, jax.__version__)
    give_assembler(folder)
    with pytest.raises(SystemExit) as end:
        cuda_compiler.run_child(['-c', "raise ValueError('mine')"], 'drn_c_26')
    assert end.value.code == 1
    assert 'ValueError: mine' in capfd.readouterr().err


def test_a_child_has_the_compiler_and_this_package(folder, capfd):
    install(folder, jax.__version__)
    give_assembler(folder)
    script = 'import sys, drn_jax; from drn_jax.planning import children as c; '
    cuda_compiler.run_child(['-c', f'{script} print(sys.path[1], c.is_child())'], '')
    assert capfd.readouterr() == (f'{folder} True\n', '')
    assert not children.is_child() and str(folder) not in sys.path
