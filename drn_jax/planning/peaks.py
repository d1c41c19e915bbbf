"""What devices that are there could do at most, and how near to it programs come."""

from typing import Any

import jax

from drn_jax.planning import chips, gpus, kernels


def find(device_kind: str) -> chips.Chip | gpus.Card | None:
    """Finds the row of a device in the tables of chips and cards.

    Args:
        device_kind: as JAX calls it.

    Returns:
        The row; None where there is none, as of CPUs.

    Example:
        >>> find('TPU v5 lite') == chips.CHIPS['v5e'], find('NVIDIA H200') == gpus.CARDS['h200']
        (True, True)
        >>> find('NVIDIA H100 PCIe'), find('cpu')
        (None, None)
    """
    for chip in chips.CHIPS.values():
        if device_kind in chip.kinds:
            return chip
    for card in gpus.CARDS.values():
        if f'{card.description} '.startswith(f'{device_kind} '):  # of some JAX leaves out memory
            return card
    return None


def flops(device_kind: str, dtype: str) -> float | None:
    """Returns operations a second of a device at most; None where that is not known.

    Args:
        device_kind: as JAX calls it.
        dtype: of a network, 'float32' or 'bfloat16'; TPUs round factors of products to bfloat16.

    Example:
        >>> flops('NVIDIA A100-SXM4-40GB', 'float32') / 1e12, flops('cpu', 'float32')
        (156.0, None)
    """
    device = find(device_kind)
    if isinstance(device, gpus.Card):
        return gpus.peak_flops(device, dtype)
    return device and device.peak_flops


def operations(compiled: jax.stages.Compiled, platform: str) -> float:
    """Counts the floating-point operations of a program on one device.

    Args:
        compiled: the program.
        platform: it was compiled for; for GPUs those of convolutions and products are counted here,
            for others the compiler counts.
    """
    if platform == 'gpu':
        return kernels.total_operations(compiled.as_text() or '')
    analysis: Any = compiled.cost_analysis()
    return analysis['flops']


def seconds(compiled: jax.stages.Compiled, device: jax.Device, dtype: str) -> float | None:
    """Returns how long a program would take at the peak of its devices; None: not known.

    Args:
        compiled: the program.
        device: one of them.
        dtype: of the network.
    """
    peak = flops(device.device_kind, dtype)
    return peak and operations(compiled, device.platform) / peak
