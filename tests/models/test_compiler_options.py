"""Options of XLA: those of the table, those that are given, and what is refused."""

import types

import jax
import pytest

from drn_jax.models import convolutions
from drn_jax.ops import conv

CPU = jax.devices('cpu')[0]
YNN = 'xla_cpu_experimental_ynn_fusion_type'


def options(*given, use='training'):
    return convolutions.compiler_options(CPU, use, given)


def test_convolutions_go_to_eigen_where_that_is_asked_for():
    def program(options):
        return (
            jax.jit(
                lambda x, kernel: conv.dilated_conv(x, kernel, stride=2), compiler_options=options
            )
            .lower(
                jax.ShapeDtypeStruct((1, 32, 32, 32), 'float32'),
                jax.ShapeDtypeStruct((3, 3, 32, 64), 'float32'),
            )
            .compile()
            .as_text()
        )

    chosen = convolutions.compiler_options()
    if not chosen:
        pytest.skip('this XLA has no such option')
    assert 'ynn' in program({})
    assert 'ynn' not in program(chosen)
    assert options(f'{YNN}=', use='inference') == {}


def test_the_table_is_for_one_kind_of_device_and_use():
    assert options() == {YNN: convolutions.OPTIONS['cpu', 'training'][YNN]}
    for (kind, use), chosen in convolutions.OPTIONS.items():
        platforms = {convolutions.platform_of_option(name) for name in chosen}
        assert platforms == {'tpu' if kind.startswith('TPU ') else kind}
        assert use in ('training', 'inference')
    gpu = types.SimpleNamespace(platform='gpu', device_kind='NVIDIA H100 80GB HBM3')
    assert convolutions.compiler_options(gpu, 'training') == {}


def test_what_this_version_of_xla_does_not_know_is_left_out(monkeypatch):
    table = {('cpu', 'training'): {'xla_cpu_of_tomorrow': '1', 'xla_cpu_enable_fast_math': 'True'}}
    monkeypatch.setattr(convolutions, 'OPTIONS', table)
    assert options() == {'xla_cpu_enable_fast_math': 'True'}
    assert options('xla_cpu_enable_fast_math=False') == {'xla_cpu_enable_fast_math': 'False'}
    assert options('xla_cpu_enable_fast_math=false') == {'xla_cpu_enable_fast_math': 'False'}
    assert options('xla_cpu_enable_fast_math=') == {}


def test_options_of_other_platforms_are_left_out():
    others = ('xla_tpu_scoped_vmem_limit_kib=8', 'xla_jf_such=1', 'xla_gpu_such=1')
    assert options(*others) == options()
    assert options('xla_llvm_disable_expensive_passes=True').keys() == {
        'xla_llvm_disable_expensive_passes',
        *options(),
    }


@pytest.mark.parametrize(
    'option, message',
    [
        ('abc', "compiler option 'abc' is given, but the form is NAME=VALUE, such as xla_tpu_"),
        ('=1', "compiler option '=1' is given, but the form is NAME=VALUE"),
        (1, 'compiler option 1 is given, but the form is NAME=VALUE'),
        ('xla_cpu_such=1', "'xla_cpu_such=1' cannot be used for CPUs: No such compile option"),
        ('xla_cpu_enable_fast_math=9', "While setting option .*, '9' is not a valid bool value"),
    ],
)
def test_what_is_no_option(option, message):
    with pytest.raises(ValueError, match=message) as error:
        options(option)
    assert '\n' not in str(error.value)
