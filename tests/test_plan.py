"""The plan command: on the CPU, and what it refuses; with the TPU compiler where that is there."""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys
from importlib import metadata

import jax
import pytest
from support.errors import refused

from drn_jax import commands, plan
from drn_jax.errors import InputError
from drn_jax.models import convolutions
from drn_jax.planning import compiler, cuda_compiler, dataset_sizes
from drn_jax.planning.memory_fit import MemoryFit

ROOT = pathlib.Path(__file__).parent.parent
CONFIG = f'--config={ROOT}/configs/drn_c_26.py'
TINY = ('--config.model.width=0.0625', '--config.data.image_size=16', '--config.batch_size=16')


@pytest.fixture(autouse=True)
def same_environment():
    """Takes back what the command sets for the process that it usually has to itself."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


def test_on_the_cpu(tmp_path, capsys):
    plan.main(
        [
            CONFIG,
            '--topology=cpu',
            f'--output={tmp_path}',
            *TINY,
            '--config.epochs=2',
            '--compiler_option=xla_cpu_enable_fast_math=False',
            '--compiler_option=xla_llvm_disable_expensive_passes=True',
            f'--program={tmp_path}/program.txt',
        ]
    )
    text = capsys.readouterr().out
    assert (
        'drn_c_26, width 0.0625, float32: steps of 16 images of 16 x 16 pixels on cpu, '
        '8 chips of 1 host, 2 images for each chip'
    ) in text
    report = json.loads((tmp_path / 'report.json').read_text())
    assert report['data'] == {
        'name': 'imagenet2012',
        'train_split': 'train',
        'train_examples': 1281167,
        'classes': 1000,
    }
    assert report['fits'] and report['temporary_bytes'] > 0 and report['argument_bytes'] > 0
    assert report['steps'] == 160145 and report['chips'] == 8
    seconds = report['estimated_step_seconds']
    assert report['hours'] == pytest.approx(160145 * seconds / 3600)
    assert report['chip_hours'] == pytest.approx(8 * report['hours'])
    assert report['images_per_second_per_chip'] == pytest.approx(2 / seconds)
    assert report['estimated_cycles'] is report['peak_fraction'] is None  # this compiler has none
    assert report['config']['model']['num_classes'] == 1000
    assert report['compiler_options'] == convolutions.compiler_options(use='training') | {
        'xla_cpu_enable_fast_math': 'False',
        'xla_llvm_disable_expensive_passes': 'True',
    }
    assert report['compile_seconds'] > 0 and 'xla_cpu_enable_fast_math=False, x' in text
    assert (tmp_path / 'program.txt').read_text().startswith('HloModule jit_step')


def test_the_largest_batch_is_looked_for(capsys):
    compiled = []

    def compile_batch(batch_size):
        compiled.append(batch_size)
        needed = 1000 + 100 * batch_size // 4
        return compiler.Program('x', 1.0, needed, 0, '' if needed <= 10_000 else 'no')

    fit = MemoryFit(10_000).with_trial(16, compile_batch(4 * 16))
    fit = plan.search_largest_batch(fit, 4, compile_batch)
    # 2600 bytes for 16 images: 61 would fit, rounded down to 56; the line through both gives 90.
    assert compiled == [4 * 16, 4 * 56, 4 * 88]
    assert (fit.largest(), fit.is_verified()) == (88, True)
    assert 'Compiling 224 images a step' in capsys.readouterr().out


def test_a_batch_that_is_compiled_alone_need_not_divide_into_shards():
    config = commands.load_config(CONFIG.partition('=')[2], TINY)
    other = compiler.with_batch_size(config, 5)
    source = dataset_sizes.find(other)
    assert compiler.resolve(other, source, jax.devices()[:1]).config.batch_size == 5
    assert (config.batch_size, config.data.shards) == (16, 8)


def test_a_data_set_that_is_not_known(capsys):
    plan.main(
        [
            f'--config={ROOT}/configs/cityscapes_drn_d_22.py',
            '--topology=cpu',
            *TINY[:1],
            '--config.batch_size=8',
            '--config.data.crop_px=32',
            '--config.data.name=mine',
            '--config.mesh.spatial=2',
            '--examples=80',
            '--config.model.num_classes=3',
            '--config.epochs=1',
            "--config.model.rematerialize=('level1',)",
        ]
    )
    text = capsys.readouterr().out
    assert '2 images for each 2 chips' in text and '10 steps' in text


@pytest.mark.parametrize(
    'flags, field, message',
    [
        (
            ['--topology=v5e:3x3'],
            '--topology',
            'v5e has 1x1, 2x2, 2x4, 4x4, 4x8, 8x8, 8x16, 16x16$',
        ),
        (
            ['--topology=v5p:3x3x3'],
            '--topology',
            'v5p has 2x2x1, 2x2x2, 2x2x4, 2x4x4, and AxBxC with A <= B <= C, all multiples of 4, '
            'of at most 6,144 chips$',
        ),
        (
            ['--topology=gpu'],
            '--topology',
            'known: v4, v5e, v5p, v6e, v100, a100-40, a100-80, h100, h200, b200, l4, rtx-4090$',
        ),
        (['--topology=h100:6'], '--topology', 'are h100:HOSTSxGPUS, such as h100:2x8$'),
        (
            [
                '--topology=cpu',
                '--config.batch_size=24',
                '--config.mesh.devices=5',
                '--config.data.shards=1',
            ],
            'config.batch_size',
            'use a multiple of 5, such as 20 or 25$',
        ),
        (
            ['--topology=cpu', '--examples=-1'],
            '--examples',
            '-1, .*; python -m drn_jax.plan --help',
        ),
        (
            ['--topology=cpu', '--compiler_option=xla_tpu_scoped_vmem_limit_kib=32768'],
            '--compiler_option',
            'limit_kib=32768 is for TPUs, but the plan is for a CPU; leave it out',
        ),
        (
            ['--topology=cpu', '--compiler_option=xla_cpu_such=1'],
            'config.compiler_options',
            "'xla_cpu_such=1' cannot be used for CPUs: No such compile option: 'xla_cpu_such'",
        ),
        (['--topology=cpu', '--examples=0'], '--examples', ''),
        (['--topology=cpu', '--config.task=localization'], 'config.task', ''),
        (['--topology=cpu', '--config.model.num_classes=7'], 'config.model.num_classes', ''),
        (
            ['--topology=cpu', '--config.mesh.spatial=8', '--config.batch_size=8'],
            'config.mesh.spatial',
            '',
        ),
    ],
)
def test_what_cannot_be(flags, field, message):
    with refused(field, match=message):
        plan.main([CONFIG, *flags])


def test_a_program_that_cannot_be_written():
    with refused('--program', '/nowhere/it'):
        plan.main([CONFIG, '--topology=cpu', '--program=/nowhere/it'])


def test_a_data_set_that_is_not_there(tmp_path):
    place = f'--config.data.data_dir={tmp_path}'
    with refused('config.data.data_dir', match=f"'mnist' is not prepared .* '{tmp_path}'"):
        plan.main([CONFIG, '--topology=cpu', '--config.data.name=mnist', place])


def test_without_the_compiler(monkeypatch):
    def version(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, 'version', version)
    with refused(match=r"libtpu, is not installed; pip install 'drn_jax\[plan\]', or give --topo"):
        plan.main([CONFIG, '--topology=v5e:2x4'])


def test_a_command_that_fails_says_so_in_a_line():
    done = subprocess.run(
        [sys.executable, '-m', 'drn_jax.plan', CONFIG, '--topology=v9:1x1'],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr == (
        'error: --topology=v9:1x1 is unknown; give cpu, a TPU slice such as v5e:2x4, or GPUs such '
        'as h100:8; known: v4, v5e, v5p, v6e, v100, a100-40, a100-80, h100, h200, b200, l4, '
        'rtx-4090\n'
    )


def test_without_the_cuda_compiler(monkeypatch, tmp_path):
    monkeypatch.setenv('DRN_JAX_CUDA_COMPILER', str(tmp_path))
    with refused(match='^the CUDA compiler is not installed whole.*pip install'):
        plan.main([CONFIG, '--topology=h100:8'])


def cuda_compiler_is_there():
    try:
        return cuda_compiler.find()
    except InputError:
        return None


def plan_in_a_process(*flags, **environment):
    return subprocess.run(
        [sys.executable, '-m', 'drn_jax.plan', CONFIG, *flags],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )


@pytest.mark.skipif(
    cuda_compiler_is_there() is None,
    reason='needs the CUDA compiler: python -m drn_jax.plan --topology=h100:8 says how to get it',
)
def test_gpus(tmp_path):
    flags = ['--topology=h100:2x4', '--config.model.width=0.25', '--config.data.image_size=64']
    done = plan_in_a_process(
        *flags,
        '--config.model.dtype=bfloat16',
        f'--output={tmp_path}',
        XLA_PYTHON_CLIENT_MEM_FRACTION='0.0001',
    )
    assert '8 GPUs of 2 hosts, 32 images for each GPU' in done.stdout
    assert 'step           at least ' in done.stdout and '\nkernels\n' in done.stdout
    report = json.loads((tmp_path / 'report.json').read_text())
    assert done.returncode == 1 and not report['fits']
    assert done.stderr == (
        'error: config.batch_size 256 does not fit into h100:2x4; '
        f'{report["largest_batch"]} would, by an estimate\n'
    )
    assert report['chips'] == 8 and report['hosts'] == 2 and report['temporary_bytes'] > 0
    seconds = sum(sum(both.values()) for both in report['seconds_bound_by_level'].values())
    assert seconds == pytest.approx(sum(each['seconds_bound'] for each in report['kernels']))
    assert report['step_seconds_bound'] == max(seconds, report['collective_seconds'])
    assert report['hours'] == pytest.approx(report['steps'] * report['step_seconds_bound'] / 3600)
    assert report['chip_hours'] == pytest.approx(8 * report['hours'])
    assert 'estimated_cycles' not in report and report['warnings'] == []
    assert {'stem', 'level1', 'level8', 'augmentation'} <= report['seconds_bound_by_level'].keys()
    assert report['collectives']['all-reduce']['bytes'] > 0

    done = plan_in_a_process('--topology=h100:4x8', '--config.batch_size=24')
    assert (done.returncode, done.stdout) == (1, '')
    assert done.stderr == (
        'error: config.batch_size is 24, which 32 devices do not divide; use a multiple of 32, '
        'such as 32\n'
    )


@pytest.mark.skipif(
    not importlib.util.find_spec('libtpu'),
    reason="needs the TPU compiler: pip install 'drn_jax[plan]'",
)
def test_a_slice(tmp_path):
    """In a process of its own: the compiler reads the environment once."""
    done = subprocess.run(
        [
            sys.executable,
            '-m',
            'drn_jax.plan',
            CONFIG,
            '--topology=v5e:2x2',
            *TINY,
            '--config.model.dtype=bfloat16',
            f'--output={tmp_path}',
        ],
        cwd=ROOT,
        env={**os.environ, 'XLA_FLAGS': ''},  # libtpu ends where it does not know one
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / 'report.json').read_text())
    assert report['fits'] and report['chips'] == 4 and report['hosts'] == 1
    assert report['compiler_options'] == {'xla_tpu_scoped_vmem_limit_kib': '65536'}  # the table's
    assert 0 < report['augmentation_cycles'] < report['estimated_cycles']
    assert 0 < report['collective_seconds'] < report['estimated_step_seconds']
    assert report['estimated_cycles'] == sum(
        sum(both.values()) for both in report['cycles_by_level'].values()
    )
    assert {'stem', 'level1', 'level8', 'augmentation'} <= report['cycles_by_level'].keys()
    assert len(report['most_expensive']) == 10 and report['collectives']['all-reduce']['bytes'] > 0
