"""Which algorithm computes which convolution, and with which options XLA compiles it."""

import functools
import re
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import jax
from jax.typing import DTypeLike

from drn_jax.errors import one_line
from drn_jax.models import variants
from drn_jax.ops import conv, strips, winograd

CONVOLUTIONS = ('auto', *conv.ALGORITHMS)


class Algorithms(NamedTuple):
    """What `auto` takes for convolutions of stride 1.

    Attributes:
        dense: algorithm of 3x3 kernels where there is no dilation.
        dilated: algorithm where there is.
        channels: the fewest, of input and output, with which it is taken; with fewer it is
            'native'.
        bfloat16_channels: `channels` for bfloat16, where processors multiply it; None: `channels`.
        strips: whether 'strips' is taken for few channels, of larger kernels too.
    """

    dense: str = 'native'
    dilated: str = 'native'
    channels: int = 1
    bfloat16_channels: int | None = None
    strips: bool = False

    def least(self, dtype: DTypeLike) -> int:
        """Returns the fewest channels for a dtype."""
        least = self.bfloat16_channels if winograd.multiplied_in_bfloat16(dtype) else None
        return self.channels if least is None else least


class Choice(NamedTuple):
    """What is fastest on one platform.

    Attributes:
        training: what `auto` takes in training.
        folded: the same in the form that `optimize_for_inference` gives.
        plain: the same in the network's usual form when it does not train.
        slices: whether training takes the pixels that a 1x1 convolution with a stride reads before
            it multiplies, whatever the algorithm. Its gradient is then a small product spread out,
            where that of a strided convolution is one over a map of zeros.
        averages: whether training averages over positions where the last layer is normalized, so
            that the gradient need not read its map once more.
        anew: the fewest channels with which convolutions take longer than reading their input, so
            that training leaves the sum at the end of a block to those that read it
            (`ops.rereading`); None leaves none.
    """

    training: Algorithms = Algorithms()
    folded: Algorithms = Algorithms()
    plain: Algorithms = Algorithms()
    slices: bool = False
    averages: bool = False
    anew: int | None = None


# TPU: the compiler estimates a training step of DRN-C-26 on v5e:2x4 at 161.1 million cycles with
# 'native', 174.4 with 'phase', and 162.1 with 'phase' for dilation 4 alone, where both are closest
# (benchmarks/tpu_convolutions.py); without slices at 165.5. With 64 MiB (`OPTIONS`) at 148.5, with
# `averages` 147.8, with `anew` too 145.1: sums of levels 5 and 6 cost nothing where they are read.
# GPU: cuDNN dilates by itself, forwards and for the gradient of the input, but weight gradients of
# 'native' become convolutions with kernels as large as the map; and the compiler of jax 0.10.2
# aborts where it fuses a slice into a product (tests/planning/test_gpu_programs.py).
# CPU: see benchmarks/convolution.py; 'winograd' takes XLA about a second to compile for each
# convolution, in training three, which pays where there is much to compute; with slices ResNet-50
# trains 1.15 times as fast. 'strips' wants the options below: without these XLA hands the
# convolution of strips to YNNPACK, in which the stem takes three times as long.
CHOICES = {
    'tpu': Choice(slices=True, averages=True, anew=256),
    'gpu': Choice(training=Algorithms(dilated='phase')),
    'any': Choice(),  # a file for several platforms
    'cpu': Choice(
        training=Algorithms('winograd', 'winograd', 256, strips=True),
        folded=Algorithms('winograd', 'winograd', 128, bfloat16_channels=64, strips=True),
        slices=True,
    ),
}


# Options of XLA by kind of device and use, 'training' or 'inference'; the field `compiler_options`
# is laid over them.
# CPU: XLA hands convolutions to YNNPACK or to Eigen. Eigen takes half the time for those with a
# stride and no copy of its input, so YNNPACK is left the matrix products, and in training the sums
# over pixels.
# TPU v5e: memory on the chip that one operation may take. With 64 MiB convolutions of 512 channels
# reach 98 % of peak by the compiler's estimate, and read summands at no cost (`Choice.anew`). Other
# generations: benchmarks/tpu_options.py.
OPTIONS: dict[tuple[str, str], dict[str, str]] = {
    ('cpu', 'inference'): {
        'xla_cpu_experimental_ynn_fusion_type': 'LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT'
    },
    ('cpu', 'training'): {
        'xla_cpu_experimental_ynn_fusion_type': (
            'LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT,LIBRARY_FUSION_TYPE_REDUCE'
        )
    },
    ('TPU v5 lite', 'training'): {'xla_tpu_scoped_vmem_limit_kib': '65536'},
}


def choose(
    convolution: str, platform: str, use: str, spec: variants.Conv, dtype: DTypeLike = 'float32'
) -> str:
    """Returns the algorithm for one convolution.

    Args:
        convolution: 'auto', or the algorithm for all convolutions that it can do; the others are
            'native': those with a stride, or (but for 'strips') with another kernel than 3x3, and
            'phase' without dilation and 'strips' of many channels, which would be the same.
        platform: 'cpu', 'gpu' or 'tpu', as `jax.default_backend` gives it, or 'any'; for others
            'auto' is 'native', with a warning, once for each.
        use: 'training', 'folded' or 'plain', as in `Choice`.
        spec: the convolution.
        dtype: of the images.

    Returns:
        One of `conv.ALGORITHMS`.

    Example:
        >>> spec = variants.Conv('conv1', 3, 256, 256, dilation=2)
        >>> [choose('auto', platform, 'folded', spec) for platform in ('tpu', 'gpu', 'cpu')]
        ['native', 'native', 'winograd']
        >>> [choose('auto', platform, 'training', spec) for platform in ('tpu', 'gpu', 'cpu')]
        ['native', 'phase', 'winograd']
        >>> choose('winograd', 'cpu', 'folded', variants.Conv('conv1', 3, 64, 64, stride=2))
        'native'
    """
    algorithm = convolution
    if convolution == 'auto':
        choice = CHOICES[platform if platform in CHOICES else _fallback(platform)]
        fastest = getattr(choice, use)
        if fastest.strips and spec.dilation == 1 and _can('strips', spec):
            return 'strips'
        if min(spec.inputs, spec.outputs) < fastest.least(dtype):
            return 'native'
        algorithm = fastest.dilated if spec.dilation > 1 else fastest.dense
    return algorithm if _can(algorithm, spec) else 'native'


def _can(algorithm, spec):
    """Returns whether an algorithm computes a convolution otherwise than 'native' does."""
    if spec.stride > 1:
        return False
    if algorithm == 'strips':
        return strips.pixels(spec.kernel_size, max(spec.inputs, spec.outputs)) > 1
    return spec.kernel_size == 3 and (spec.dilation > 1 or algorithm != 'phase')


def slices_first(platform: str, spec: variants.Conv) -> bool:
    """Returns whether training slices the input of a convolution and multiplies without a stride.

    Args:
        platform: as `choose` takes it.
        spec: the convolution.

    Example:
        >>> spec = variants.Conv('conv', 1, 64, 128, stride=2)
        >>> [slices_first(platform, spec) for platform in ('tpu', 'cpu', 'gpu')]
        [True, True, False]
    """
    choice = CHOICES.get(platform, CHOICES['any'])
    return choice.slices and spec.kernel_size == 1 and spec.stride > 1


def averages_at_once(platform: str, block: variants.Block) -> bool:
    """Returns whether training normalizes the last layer and averages over positions in one.

    Args:
        platform: as `choose` takes it.
        block: the last one; without a shortcut.

    Example:
        >>> *_, (_, (*_, block)) = variants.lookup('drn_c_26').expand()
        >>> [averages_at_once(platform, block) for platform in ('tpu', 'cpu', 'gpu')]
        [True, False, False]
    """
    return CHOICES.get(platform, CHOICES['any']).averages and not block.residual


def sums_anew(platform: str, block: variants.Block, after: variants.Block) -> bool:
    """Returns whether in training the next block makes the sum at the end of one anew.

    Args:
        platform: as `choose` takes it.
        block: which ends with the sum, or has none.
        after: the next one. Where it projects its shortcut, that would read more.

    Example:
        >>> *_, (_, blocks), (_, (after,)), _ = variants.lookup('drn_c_26').expand()
        >>> [sums_anew(platform, blocks[-1], after) for platform in ('tpu', 'cpu', 'gpu')]
        [True, False, False]
    """
    least, reader = CHOICES.get(platform, CHOICES['any']).anew, after.convs[0]
    return (
        least is not None
        and block.residual
        and after.projection is None
        and reader.kernel_size == 3
        and not reader.smoothing
        and min(reader.inputs, reader.outputs) >= least
    )


@functools.cache
def _fallback(platform):
    warnings.warn(
        f"'auto' knows no platform {platform!r} and takes native convolutions; "
        'benchmarks/convolution.py measures the others',
        stacklevel=2,
    )
    return 'any'


def compiler_options(
    device: jax.Device | None = None, use: str = 'inference', given: Sequence[str] = ()
) -> dict[str, str]:
    """Returns options of XLA with which programs are faster: those of `OPTIONS` and given ones.

    Args:
        device: what is compiled for, which need not be there; None is the default device.
        use: 'training' or 'inference'.
        given: 'NAME=VALUE', which goes before the table's; 'NAME=' leaves the table's out. Those of
            other platforms, as 'xla_gpu_...' for a TPU, are left out too.

    Returns:
        Options for the outermost `jax.jit`; none of the table that this XLA does not know.

    Raises:
        ValueError: a given one has another form, or this XLA does not know it or its value.

    Example:
        >>> run = jax.jit(jax.numpy.sin, compiler_options=compiler_options())
        >>> run(0.).item()
        0.0
        >>> compiler_options(given=['xla_cpu_no_such_option=1'])
        Traceback (most recent call last):
        ...
        ValueError: compiler option 'xla_cpu_no_such_option=1' cannot be used for CPUs: No such \
compile option: 'xla_cpu_no_such_option'; --config.compiler_options gives others
    """
    device = device or jax.local_devices()[0]
    table = OPTIONS.get((device.device_kind, use), {})
    chosen = {name: text for name, text in table.items() if not _refusal(device, name, text)}
    for option in given:
        name, separator, text = str(option).partition('=')
        if not separator or not name:
            raise ValueError(
                f'compiler option {option!r} is given, but the form is NAME=VALUE, such as '
                'xla_tpu_scoped_vmem_limit_kib=32768'
            )
        if platform_of_option(name) not in ('', device.platform):
            continue
        chosen.pop(name, None)
        text = {'true': 'True', 'false': 'False'}.get(text, text)  # as XLA_FLAGS have them
        if text and (reason := _refusal(device, name, text)):
            raise ValueError(
                f'compiler option {option!r} cannot be used for {device.platform.upper()}s: '
                f'{reason}; --config.compiler_options gives others'
            )
        chosen |= {name: text} if text else {}
    return chosen


def platform_of_option(name: str) -> str:
    """Returns the platform that an option of XLA is for; '' where the name says none.

    Example:
        >>> platform_of_option('xla_gpu_autotune_level'), platform_of_option('xla_dump_to')
        ('gpu', '')
    """
    found = re.match('xla_(cpu|gpu|tpu|jf|vf|gf)_', name)  # the last three are generations of TPUs
    return '' if not found else found[1] if found[1] in ('cpu', 'gpu') else 'tpu'


@functools.cache
def _refusal(device: jax.Device, name: str, text: str) -> str:
    """Says why XLA does not take an option, by compiling a constant; '' where it does."""
    place = jax.sharding.SingleDeviceSharding(device)
    try:
        jax.jit(lambda: 0, out_shardings=place, compiler_options={name: text}).lower().compile()
    except jax.errors.JaxRuntimeError as error:
        return one_line(error, short=True).removeprefix('INVALID_ARGUMENT: ').rstrip(': ')
    return ''
