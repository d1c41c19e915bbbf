"""The check of a written file: read back, it answers as the network does."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from drn_jax.errors import InputError
from drn_jax.exporting import artifacts, forward
from drn_jax.exporting.signatures import Signature

BATCHES = (1, 3)
SIZES = ((64, 96), (75, 53))  # where a file takes any
# By which answers may differ, as a fraction of the largest, and labels as one of the pixels. What
# int8 costs, only images with labels tell; this finds files that answer something else.
BOUNDS = {'float32': (1e-4, 1e-3), 'int8': (0.25, 0.25)}
ROUNDED = (5e-2, 5e-2)  # in other types, and on accelerators


class Outcome(NamedTuple):
    """What the check found on one device.

    Attributes:
        platform: cpu, cuda or tpu.
        difference: the largest between answers of the file and of the network; of labels the
            fraction of pixels that differ.
        largest: the largest answer of the network, without sign.
        bound: that difference must not exceed.
        same: the fraction of scores of one cell or image whose largest is the same.
        against: what the file was compared with, where that is not its network: words for people.
    """

    platform: str
    difference: float
    largest: float
    bound: float
    same: float
    against: str = ''


def check(path: Any, source: forward.ExportSource, signature: Signature) -> list[Outcome]:
    """Compares a file with its network on random images, on the devices that are here.

    Args:
        path: the file.
        source: the network.
        signature: what goes in and comes out.

    Returns:
        A list of `Outcome`s; none where no device of the file's platforms is here.

    Raises:
        InputError: they differ by more than the bound, `bound` times the largest answer.
    """
    artifact = artifacts.load_exported(path)
    network = jax.jit(forward.of_model(source, signature))
    outcomes = []
    for device in devices(artifact.card['platforms'] or ('cpu',)):
        outcome = compare(artifact, network, signature, device, source.model.dtype)
        _refuse(outcome, path, 'the network', 'this is a defect of drn_jax or of a library')
        outcomes.append(outcome)
    return outcomes


def check_precision(
    path: Any, whole: Any, signature: Signature, precision: str, images: np.ndarray | None = None
) -> list[Outcome]:
    """Compares a file in fewer bits with the one in float32, both in ONNX Runtime.

    Args:
        path, whole: the files.
        signature: what goes in and comes out.
        precision: of `path`.
        images: that it was calibrated with; None: random ones.

    Returns:
        As `check`.

    Raises:
        InputError: they differ by more than the bound.
    """
    artifact, network = artifacts.load_exported(path), artifacts.load_exported(whole)
    batches = None if images is None else list(images[:, None])
    against = f' against float32, {"random" if images is None else len(images)} images'
    outcomes = [
        compare(artifact, network.__call__, signature, device, precision, batches)._replace(
            against=against
        )
        for device in devices(('cpu',))
    ]
    for outcome in outcomes:
        _refuse(outcome, path, 'the one in float32', 'give another --precision, or other images')
    return outcomes


def _refuse(outcome, path, other, do):
    if not outcome.difference <= outcome.bound:  # NaN is refused too
        raise InputError(
            f'the file answers unlike {other} on {outcome.platform}, by {outcome.difference:.2g} '
            f'where {outcome.bound:.2g} is allowed, and was not kept; {do}',
            path=path,
        )


def compare(
    artifact: artifacts.Artifact,
    network: Callable[..., Any],
    signature: Signature,
    device: jax.Device,
    dtype: str,
    batches: Iterable[np.ndarray] | None = None,
) -> Outcome:
    """Compares a file with its network on one device.

    Args:
        artifact: the file, read back.
        network: (images) -> answers.
        signature: what goes in and comes out.
        device: the device.
        dtype: that the network, or the file in fewer bits, computes in.
        batches: of images; None: random ones.

    Returns:
        The `Outcome`.
    """
    difference = largest = 0.0
    same = []
    for images in random_images(signature) if batches is None else batches:
        found = np.asarray(artifact(images, device))
        wanted = np.asarray(network(jax.device_put(images, device)))
        if signature.answers == 'labels':
            same.append(np.mean(found == wanted))
            difference = max(difference, 1 - float(same[-1]))
            continue
        same.append(np.mean(found.argmax(-1) == wanted.argmax(-1)))
        found, wanted = found.astype(np.float32), wanted.astype(np.float32)
        largest = max(largest, float(np.max(np.abs(wanted))))
        difference = max(difference, float(np.max(np.abs(found - wanted))), key=_nan_first)
    platform = artifacts.platform_of(device)
    bound = (
        labels_tolerance(dtype, platform)
        if signature.answers == 'labels'
        else tolerance(dtype, platform) * max(1.0, largest)
    )
    return Outcome(platform, difference, largest, bound, float(np.mean(same)))


def _nan_first(number):
    return np.inf if np.isnan(number) else number


def tolerance(dtype: str, platform: str) -> float:
    """Returns the largest difference allowed, as a fraction of the largest answer.

    The file computes the same numbers in another order, so they differ by rounding: of float32, of
    shorter types, or of the shorter factors that accelerators multiply by default.

    Example:
        >>> tolerance('float32', 'cpu'), tolerance('float32', 'tpu')
        (0.0001, 0.05)
    """
    return _bounds(dtype, platform)[0]


def labels_tolerance(dtype: str, platform: str) -> float:
    """Returns the fraction of pixels that may differ: two classes equal but for rounding.

    Example:
        >>> labels_tolerance('float32', 'cpu'), labels_tolerance('bfloat16', 'cpu')
        (0.001, 0.05)
    """
    return _bounds(dtype, platform)[1]


def _bounds(dtype, platform):
    return BOUNDS.get(dtype, ROUNDED) if platform == 'cpu' else ROUNDED


def random_images(signature: Signature) -> Iterator[np.ndarray]:
    """Yields batches of random images of several shapes.

    Args:
        signature: shape and dtype.

    Yields:
        Images of 1 and of 3 in a batch; of several sizes where any is possible.
    """
    rng = np.random.default_rng(0)
    for batch, size in zip(BATCHES, (signature.size,) * 2 if signature.size else SIZES):
        shape = (batch, *size, 3)
        if signature.pixels == 'uint8':
            yield rng.integers(0, 256, shape, np.uint8)
        else:
            yield rng.standard_normal(shape, np.float32)


def devices(platforms: Sequence[str]) -> list[jax.Device]:
    """Finds a device of each of some platforms that is here: the default one, and the CPU.

    Args:
        platforms: as `jax.export` calls them.

    Returns:
        A list of devices, perhaps empty.
    """
    found = {artifacts.platform_of(jax.devices()[0]): jax.devices()[0]}
    try:
        found.setdefault('cpu', jax.devices('cpu')[0])
    except RuntimeError:
        pass  # JAX was told to use an accelerator only
    return [device for platform, device in found.items() if platform in platforms]
