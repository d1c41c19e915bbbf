"""Where the CUDA compiler lies, and what is said where it ends its process."""

import logging
import os
import sys
import threading

import jax
import pytest
from support.errors import refused

from drn_jax.planning import children, compiler, cuda_compiler, gpus


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
            f'the CUDA compiler of jax {jax.__version__} was ended by SIGKILL while it compiled '
            'drn_c_26, as where memory runs out',
        ),
        (
            'import os; os.kill(os.getpid(), 15)',
            f'the CUDA compiler of jax {jax.__version__} was ended by SIGTERM',
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


class Lowered:
    """A step that the compiler refuses at first."""

    def __init__(self, reason):
        self.reason, self.options = reason, []

    def compile(self, compiler_options):
        self.options.append(compiler_options)
        if len(self.options) == 1:
            raise jax.errors.JaxRuntimeError(f'INTERNAL: {self.reason}')
        return 'program'


def test_products_by_cublas_where_triton_finds_no_tiles(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger('drn_jax'), 'propagate', True)
    step = Lowered("Couldn't find output tile sizes that satisfy hlo: %dot.53")
    assert compiler._compile(step, 'gpu') == 'program'
    without = {**cuda_compiler.OPTIONS, 'xla_gpu_enable_triton_gemm': False}
    assert step.options == [cuda_compiler.OPTIONS, without]
    assert 'xla_gpu_enable_triton_gemm=False' in caplog.text
    with pytest.raises(jax.errors.JaxRuntimeError, match='something else'):
        compiler._compile(Lowered('something else'), 'gpu')


def test_a_folder_that_holds_no_compiler(folder):
    install(folder, jax.__version__)
    give_assembler(folder)
    with refused(path=folder) as error:
        cuda_compiler.devices_of(gpus.find('h100:8'))
    assert str(error.value).startswith(f'the CUDA compiler in {folder} cannot be used (')
    assert str(error.value).endswith(f'); {command(folder)} brings it anew')


def test_a_child_ends_with_what_started_it(monkeypatch):
    """Also where that is killed, and can end nothing itself."""
    ended, parent = threading.Event(), os.getppid()
    monkeypatch.setattr(os, '_exit', lambda status: ended.set())
    monkeypatch.setattr(os, 'getppid', lambda: parent)
    monkeypatch.setenv(children._IN_CHILD, str(parent))
    children.end_with_parent()
    assert not ended.wait(0.1)
    parent = 1
    assert ended.wait(60)


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
