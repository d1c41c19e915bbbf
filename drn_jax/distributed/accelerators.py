"""Accelerators that are not here, though the libraries for them are installed."""

import glob
import os

TPU_DEVICES = ('/dev/accel*', '/dev/vfio/[0-9]*')
NVIDIA_DEVICES = ('/dev/nvidia*', '/dev/dxg')
# Where libtpu finds none of these, it looks for the machine that it runs on at a server that only
# Cloud TPUs have, and prints that it found none; what it is told does not matter without a TPU.
NO_TPU = {
    'TPU_SKIP_MDS_QUERY': '1',
    'TPU_WORKER_HOSTNAMES': 'localhost',
    'TPU_ACCELERATOR_TYPE': 'v5litepod-8',
    'TPU_STDERR_LOG_LEVEL': '3',
    'TPU_MIN_LOG_LEVEL': '3',
}
# Without drivers JAX's plugin for CUDA prints a traceback.
NO_NVIDIA = {'JAX_SKIP_CUDA_CONSTRAINTS_CHECK': '1'}


def has_tpu() -> bool:
    """Says whether this machine has a TPU."""
    return any(map(glob.glob, TPU_DEVICES))


def keep_missing_quiet() -> None:
    """Lets JAX find out in silence that there is no TPU or no NVIDIA GPU; to be called before.

    It leaves what the environment says already.
    """
    for missing, environment in (
        (not has_tpu(), NO_TPU),
        (not any(map(glob.glob, NVIDIA_DEVICES)), NO_NVIDIA),
    ):
        for name, value in environment.items() if missing else ():
            os.environ.setdefault(name, value)
