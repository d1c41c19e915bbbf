"""GPUs, the hosts that hold them, how fast they exchange, and how the compiler is told of them."""

import os
import re
from typing import NamedTuple

from drn_jax.errors import InputError
from drn_jax.planning.hlo import Collective
from drn_jax.planning.kernels import Kernel


class Processor(NamedTuple):
    """What the compiler needs to know of a GPU, memory apart.

    Attributes:
        capability: CUDA's compute capability.
        cores: multiprocessors.
        fpus: float32 units of a core.
        clock_ghz: boost clock.
        l2_bytes: of the last cache.
        shared_bytes: memory of a core that its threads share; one block can have 1 KiB less (all of
            it before capability 8).
        threads: of a core.
    """

    capability: tuple[int, int]
    cores: int
    fpus: int
    clock_ghz: float
    l2_bytes: int
    shared_bytes: int
    threads: int = 2048


class Card(NamedTuple):
    """What a plan needs to know of one GPU.

    Attributes:
        description: NVIDIA's name of it.
        processor: for the compiler.
        memory_bytes: of the card, as CUDA reports it.
        memory_bandwidth: bytes a second.
        flops: operations a second without sparsity, a multiplication and an addition being two: of
            bfloat16 with float32 sums, of TF32, and of float32 outside the tensor cores. None:
            there are none, and the compiler takes float32.
        link_bandwidth: bytes a second in one direction to the other GPUs of a host.
        network_bandwidth: bytes a second of one GPU in one direction between hosts.
    """

    description: str
    processor: Processor
    memory_bytes: int
    memory_bandwidth: float
    flops: tuple[float | None, float | None, float]
    link_bandwidth: float
    network_bandwidth: float


# Figures for the compiler, memory and its bandwidth: openxla/xla,
# xla/backends/gpu/target_config/specs/{a100_sxm_40,a100_sxm_80,h100_sxm,h200,b200,v100}.txtpb; L4
# and RTX 4090: NVIDIA, Ada GPU architecture, 2023, appendices A and B, and the CUDA C++ Programming
# Guide, table of compute capabilities (8.9); memory as CUDA reports it (22.17 and 23.65 GiB).
# Operations: NVIDIA's data sheets of V100 SXM2 (no bfloat16), A100 (312 TFLOP/s bfloat16, 156
# TF32), H100 SXM and H200 (989, 495), HGX B200 (18 PFLOP/s bfloat16 and 8.8 TF32 of eight), L4
# (121, 60), and the Ada whitepaper for RTX 4090 (165.2, 82.6); where a sheet gives them with
# sparsity, half. NVLink, same sheets, both directions: 300, 600, 900, 900, 1800 GB/s; L4 and RTX
# 4090: PCIe 4.0 x16, 32 GB/s in each direction.
# Between hosts, for each of eight GPUs: DGX-1 4 x 100 Gbit/s, DGX A100 8 x 200, DGX H100, H200 and
# B200 8 x 400 (NVIDIA's data sheets); L4: 100 Gbit/s of a g2-standard-96 (cloud.google.com, GPU
# network bandwidth); RTX 4090: the same is assumed.
_VOLTA = Processor((7, 0), 80, 64, 1.53, 6291456, 98304)
_AMPERE = Processor((8, 0), 108, 64, 1.41, 41943040, 167936)
_HOPPER = Processor((9, 0), 132, 128, 1.98, 52428800, 233472)
_BLACKWELL = Processor((10, 0), 148, 128, 1.965, 132644864, 233472)
_AD104 = Processor((8, 9), 58, 128, 2.04, 50331648, 102400, 1536)
_AD102 = Processor((8, 9), 128, 128, 2.52, 75497472, 102400, 1536)
_A100, _H100 = (312e12, 156e12, 19.5e12), (989.4e12, 494.7e12, 66.9e12)
_ADA = (165.2e12, 82.6e12, 82.6e12)
_GIB = 2**30
CARDS = {
    'v100': Card(
        'Tesla V100-SXM2-16GB', _VOLTA, 16935682048, 898e9, (None, None, 15.7e12), 150e9, 6.25e9
    ),
    'a100-40': Card('NVIDIA A100-SXM4-40GB', _AMPERE, 42331013120, 1555e9, _A100, 300e9, 25e9),
    'a100-80': Card('NVIDIA A100-SXM4-80GB', _AMPERE, 85100068864, 2039e9, _A100, 300e9, 25e9),
    'h100': Card('NVIDIA H100 80GB HBM3', _HOPPER, 84942979072, 3352e9, _H100, 450e9, 50e9),
    'h200': Card('NVIDIA H200 141GB HBM3e', _HOPPER, 151397597184, 4800e9, _H100, 450e9, 50e9),
    'b200': Card(
        'NVIDIA B200', _BLACKWELL, 191514411008, 7672e9, (2250e12, 1100e12, 75e12), 900e9, 50e9
    ),
    'l4': Card(
        'NVIDIA L4', _AD104, int(22.17 * _GIB), 300e9, (121e12, 60e12, 30.3e12), 32e9, 1.56e9
    ),
    'rtx-4090': Card(
        'NVIDIA GeForce RTX 4090', _AD102, int(23.65 * _GIB), 1008e9, _ADA, 32e9, 1.56e9
    ),
}
PER_HOST = (1, 2, 4, 8)
# Of a card JAX takes this much unless one of these says otherwise; the second is the older name:
# JAX documentation, GPU memory allocation.
MEMORY_FRACTION = 0.75
FRACTION_NAMES = ('XLA_CLIENT_MEM_FRACTION', 'XLA_PYTHON_CLIENT_MEM_FRACTION')
# Seconds of an exchange, of each of its steps over NVLink or PCIe, and of each between hosts:
# NCCL, src/graph/tuning.cc, rings with the protocol for short messages (6.6, 0.6 and 2.7 us).
START_SECONDS, HOP_SECONDS, NETWORK_HOP_SECONDS = 6.6e-6, 0.6e-6, 2.7e-6


class Cluster(NamedTuple):
    """Hosts with GPUs.

    Attributes:
        name: such as 'h100:4x8'.
        card: what each GPU can do.
        hosts: how many.
        per_host: GPUs of each.
    """

    name: str
    card: Card
    hosts: int
    per_host: int

    @property
    def chips(self) -> int:
        """The number of its GPUs."""
        return self.hosts * self.per_host

    @property
    def memory_bytes(self) -> int:
        """Memory of one GPU that a program may take."""
        return int(self.card.memory_bytes * memory_fraction())


def memory_fraction() -> float:
    """Returns how much of a card JAX takes.

    Raises:
        InputError: the environment says something else than a part.
    """
    given = [(name, os.environ[name]) for name in FRACTION_NAMES if os.environ.get(name)]
    if not given:
        return MEMORY_FRACTION
    name, text = given[0]
    if len(given) > 1 or not re.fullmatch(r'0?\.\d*[1-9]\d*|1(\.0*)?', text, re.ASCII):
        raise InputError(
            f'the environment has {" and ".join(map("=".join, given))}, but JAX takes one part of '
            f'the memory, above 0 and at most 1; set {FRACTION_NAMES[0]} alone, such as 0.9'
        )
    return float(text)


def find(name: str) -> Cluster:
    """Finds hosts with GPUs by their name.

    Args:
        name: card and number of GPUs, such as 'h100:8', or hosts and GPUs of each: 'h100:4x8'.

    Returns:
        The `Cluster`.

    Raises:
        InputError: there is no such host, or as `memory_fraction`.

    Example:
        >>> find('h100:4x8').chips, find('l4:1').hosts
        (32, 1)
        >>> find('h100:16')
        Traceback (most recent call last):
        ...
        drn_jax.errors.InputError: --topology=h100:16 does not exist; a host has 1, 2, 4 or 8 \
GPUs, and several hosts, at most 9999, are h100:HOSTSxGPUS, such as h100:2x8
    """
    kind, _, text = name.partition(':')
    shape = re.fullmatch(r'(?:([1-9]\d{0,3})x)?([1-9]\d*)', text, re.ASCII)
    if not shape or int(shape[2]) not in PER_HOST:
        raise InputError(
            f'--topology={name} does not exist; a host has 1, 2, 4 or 8 GPUs, and several hosts, '
            f'at most 9999, are {kind}:HOSTSxGPUS, such as {kind}:2x8',
            field='--topology',
        )
    memory_fraction()  # what is wrong with it is said before compiling
    return Cluster(name, CARDS[kind], int(shape[1] or 1), int(shape[2]))


def target_config(card: Card) -> str:
    """Describes a card to XLA, as text of its protocol buffer `GpuTargetConfigProto`.

    Args:
        card: the GPU, which need not be there.

    Example:
        >>> 'cuda_compute_capability { major: 8 minor: 9 }' in target_config(CARDS['l4'])
        True
    """
    processor = card.processor
    major, minor = processor.capability
    per_block = processor.shared_bytes - (1024 if major >= 8 else 0)
    return f"""
gpu_device_info {{
  threads_per_block_limit: 1024 threads_per_warp: 32 threads_per_core_limit: {processor.threads}
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  registers_per_core_limit: 65536 registers_per_block_limit: 65536
  shared_memory_per_block: 49152 shared_memory_per_block_optin: {per_block}
  shared_memory_per_core: {processor.shared_bytes} l2_cache_size: {processor.l2_bytes}
  core_count: {processor.cores} fpus_per_core: {processor.fpus}
  clock_rate_ghz: {processor.clock_ghz}
  memory_bandwidth: {int(card.memory_bandwidth)} device_memory_size: {card.memory_bytes}
  cuda_compute_capability {{ major: {major} minor: {minor} }}
}}
platform_name: "CUDA"
dnn_version_info {{ major: 9 minor: 10 }}
runtime_version {{ major: 12 minor: 8 }}
device_description_str: "{card.description}"
"""


def peak_flops(card: Card, dtype: str) -> float:
    """Returns operations a second at most.

    Args:
        card: the GPU.
        dtype: of a network, 'float32' or 'bfloat16', or of a kernel, as in `kernels.Kernel`.

    Example:
        >>> peak_flops(CARDS['a100-40'], 'float32') == peak_flops(CARDS['a100-40'], 'tf32')
        True
    """
    bfloat16, tf32, float32 = card.flops
    peaks = {'bfloat16': bfloat16, 'bf16': bfloat16, 'float32': tf32, 'tf32': tf32}
    return peaks.get(dtype) or float32


def kernel_seconds(kernel: Kernel, card: Card) -> float:
    """Computes how long a kernel takes at least, by the roofline: operations or bytes at full rate.

    Args:
        kernel: of a program.
        card: where it runs.

    Returns:
        Seconds of all its repetitions in a step.

    Source: Williams, Waterman and Patterson, Roofline, 2009.
    """
    peak = peak_flops(card, kernel.dtype)
    once = max(kernel.operations / peak, kernel.bytes / card.memory_bandwidth)
    return kernel.repetitions * once


def exchange_seconds(collective: Collective, cluster: Cluster) -> float:
    """Estimates the time of an exchange.

    An all-reduce over n GPUs of a host sends 2 (n - 1) / n of its bytes over the links of each.
    Between h hosts each GPU sends 2 (h - 1) / h of its part, an n-th, over its share of the
    network, while the links are at work; the slower one counts. It is a reduce-scatter and an
    all-gather, each of which sends half. A group that is not everyone lies on one host. Every step
    of the ring adds its latency.

    Args:
        collective: the exchange.
        cluster: whose GPUs exchange.

    Returns:
        Seconds of all its repetitions in a step together, at full bandwidth.

    Example:
        >>> all_reduce = Collective('all-reduce', 10 ** 8, 0, 1, 'other')
        >>> round(exchange_seconds(all_reduce, find('h100:8')), 6)
        0.000404

    Source: NCCL, src/graph/tuning.cc, its model of rings.
    """
    card, group = cluster.card, collective.group or cluster.chips
    hosts = cluster.hosts if group == cluster.chips else 1
    local = group // hosts
    if group == 1:
        return 0.0
    if collective.kind == 'collective-permute':
        once = collective.bytes / card.link_bandwidth + START_SECONDS + HOP_SECONDS
        return collective.repetitions * once
    sendings = 2 if collective.kind == 'all-reduce' else 1
    sent = max(
        (local - 1) / local * collective.bytes / card.link_bandwidth,
        (hosts - 1) / hosts * collective.bytes / local / card.network_bandwidth,
    )
    hops = (group - hosts) * HOP_SECONDS + (hosts - 1) * NETWORK_HOP_SECONDS
    return collective.repetitions * (START_SECONDS + sendings * (sent + hops))


def exchange_basis(cluster: Cluster) -> str:
    """Says what `exchange_seconds` assumes for a cluster."""
    network = (
        f', {cluster.card.network_bandwidth / 1e9:g} GB/s for each GPU between hosts'
        if cluster.hosts > 1
        else ''
    )
    return (
        f'{cluster.card.link_bandwidth / 1e9:g} GB/s in each direction inside a host{network}, '
        f"and NCCL's latencies"
    )
