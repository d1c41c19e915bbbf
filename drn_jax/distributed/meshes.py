"""Devices as a mesh: where batches and states lie, and how batches get there."""

import collections
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from drn_jax.errors import InputError

DATA, SPATIAL = 'data', 'spatial'  # examples of a batch; rows of an image


def create_mesh(
    devices: int = 0, spatial: int = 1, known: Sequence[jax.Device] | None = None
) -> Mesh:
    """Returns the mesh over which a batch is spread: its examples, and the rows of its images.

    Devices follow each other by slice, then by process. So each process holds rows of a batch that
    lie side by side, and of several TPU slices each holds one block of the batch: the compiler sums
    gradients inside the slices before it sums them across the slower network between them.

    Args:
        devices: how many devices, at least 1; 0 is all of them.
        spatial: how many of them share the rows of each image.
        known: the devices to take them from, all of one slice; None is those of this run.

    Returns:
        A `jax.sharding.Mesh` with the axes 'data' and 'spatial'.

    Raises:
        InputError: there are not that many devices, some processes would have none, or `spatial`
            does not divide them.

    Example:
        >>> dict(create_mesh(1).shape)
        {'data': 1, 'spatial': 1}
    """
    planned = known is not None
    known = jax.devices() if known is None else known
    processes = len({device.process_index for device in known}) if planned else jax.process_count()
    where = 'the slice' if planned else 'this machine'
    if not 0 <= devices <= len(known):
        raise InputError(
            f'config.mesh.devices is {devices}, but {where} has {len(known)}; '
            f'use 1 to {len(known)}, or 0 for all',
            field='config.mesh.devices',
        )
    if devices % len(known) and processes > 1:
        raise InputError(
            f'config.mesh.devices is {devices}, but {processes} processes '
            f'share all of their {len(known)} devices; use 0',
            field='config.mesh.devices',
        )
    known = sort_devices(known)[: devices or None]
    local = len(known) // processes  # an image lies on the devices of one process
    if spatial < 1 or local % spatial:
        raise InputError(
            f'config.mesh.spatial is {spatial}, but each process has {local} devices; '
            'use 1 or another number that divides them',
            field='config.mesh.spatial',
        )
    # jax.make_mesh would put them into another order on TPUs.
    return Mesh(
        np.array(known).reshape(-1, spatial),
        (DATA, SPATIAL),
        axis_types=(jax.sharding.AxisType.Auto,) * 2,
    )


def sort_devices(devices: Iterable[Any]) -> list[Any]:
    """Sorts devices by slice (of TPUs that several networks join), process and number."""
    return sorted(
        devices,
        key=lambda device: (getattr(device, 'slice_index', 0), device.process_index, device.id),
    )


def replicated(mesh: Mesh) -> NamedSharding:
    """Returns the sharding of what every device holds whole: states, keys, counts."""
    return NamedSharding(mesh, PartitionSpec())


def local_device(mesh: Mesh) -> jax.Device:
    """Returns the first device of this process."""
    return next(each for each in mesh.devices.flat if each.process_index == jax.process_index())


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Returns the sharding of batches in evaluation: the examples are spread over all devices."""
    return NamedSharding(mesh, PartitionSpec((DATA, SPATIAL)))


def spatial_sharding(mesh: Mesh, dims: int) -> NamedSharding:
    """Returns the sharding of batches in training: rows of images and label maps are spread too.

    Args:
        mesh: the devices.
        dims: number of axes: [B] and [B, C] have no rows, [B, H, W] and [B, H, W, C] have.
    """
    return NamedSharding(mesh, PartitionSpec(DATA, SPATIAL) if dims > 2 else PartitionSpec(DATA))


def constrain_batch(
    batch: Mapping[str, jax.Array], mesh: Mesh, rows: bool = False
) -> dict[str, jax.Array]:
    """Lays out a batch over the devices, inside a compiled function.

    Args:
        batch: arrays whose first axis is that of examples.
        mesh: the devices.
        rows: whether to spread the rows of images too: `spatial_sharding`, else `batch_sharding`.

    Returns:
        The batch, with the same values.
    """
    return {
        key: jax.lax.with_sharding_constraint(
            array, spatial_sharding(mesh, array.ndim) if rows else batch_sharding(mesh)
        )
        for key, array in batch.items()
    }


def check_batch_size(batch_size: int, devices: int, name: str = 'config.batch_size') -> None:
    """Refuses a batch size that the devices do not divide.

    Args:
        batch_size: images of a batch, over all devices.
        devices: how many share the batch.
        name: the field or flag that the size comes from, for the error.

    Raises:
        InputError: they do not; the nearest sizes that they divide are named.
    """
    if batch_size < 1 or batch_size % devices:
        below = batch_size // devices * devices
        near = f'{below} or {below + devices}' if below > 0 else devices
        raise InputError(
            f'{name} is {batch_size}, which {devices} devices do not divide; '
            f'use a multiple of {devices}, such as {near}',
            field=name,
        )


def check_rows(rows: int, spatial: int, stride: int) -> None:
    """Refuses images whose rows the devices that share them cannot split.

    Args:
        rows: how many an image has.
        spatial: devices that share them.
        stride: rows of an image for each row of the network's last map.

    Raises:
        InputError: a device would not hold whole rows of the map.
    """
    if spatial > 1 and rows % (spatial * stride):
        raise InputError(
            f'images of {rows} rows cannot be split over config.mesh.spatial {spatial} devices in '
            f'whole cells of {stride} rows; use a multiple of {spatial * stride}',
            field='config.mesh.spatial',
        )


def local_rows(batch_size: int, mesh: Mesh) -> tuple[int, int]:
    """Returns the rows of a global batch that the devices of this process hold, as (start, stop).

    Args:
        batch_size: rows of the global batch.
        mesh: the devices.

    Raises:
        InputError: they do not lie side by side.

    Example:
        >>> local_rows(32, create_mesh())
        (0, 32)
    """
    indices: Any = spatial_sharding(mesh, 1).addressable_devices_indices_map((batch_size,))
    ranges = {rows.indices(batch_size)[:2] for (rows,) in indices.values()}
    starts, stops = zip(*sorted(ranges))
    if stops[:-1] != starts[1:]:
        raise InputError(
            f'the devices of process {jax.process_index()} hold the rows '
            f'{sorted(ranges)} of a batch, which do not lie side by side'
        )
    return starts[0], stops[-1]


def prefetch_to_device(
    batches: Iterable[Mapping[str, np.ndarray]],
    mesh: Mesh,
    keys: Sequence[str],
    *,
    optional: Sequence[str] = (),
    rows: bool = False,
    ahead: int = 2,
) -> Iterator[dict[str, jax.Array]]:
    """Moves batches to the devices, `ahead` of the one that is handed out.

    Transfers run in the background, so the next batches are on the device when a step ends.

    Args:
        batches: NumPy arrays by name, the rows that this process holds.
        mesh: where they go.
        keys: the entries that are moved.
        optional: entries that are moved too, if batches have them.
        rows: whether the rows of images are spread too, as in training.
        ahead: how many batches are on their way at a time.

    Yields:
        Global `jax.Array`s by name, laid out as `constrain_batch` does.

    Raises:
        InputError: the batches lack one of the keys.
    """

    def put(batch):
        missing = sorted(set(keys) - batch.keys())
        if missing:
            raise InputError(
                f'the task needs {", ".join(missing)} in every batch, but the data '
                f'set has only {", ".join(sorted(batch))}',
                field='config.data.name',
            )
        arrays = {key: np.asarray(batch[key]) for key in (*keys, *optional) if key in batch}
        return {
            key: jax.make_array_from_process_local_data(
                spatial_sharding(mesh, array.ndim) if rows else batch_sharding(mesh), array
            )
            for key, array in arrays.items()
        }

    batches = iter(batches)
    queue = collections.deque(map(put, itertools.islice(batches, ahead)))
    while queue:
        yield queue.popleft()
        queue.extend(map(put, itertools.islice(batches, 1)))


def local_part(array: jax.Array) -> np.ndarray:
    """Copies the rows of an array that lie on the devices of this process.

    Args:
        array: its first axis is spread over all devices: `batch_sharding`.

    Returns:
        NumPy array, in the order of the global one.
    """
    shards = {shard.index[0].start or 0: shard.data for shard in array.addressable_shards}
    return np.concatenate([np.asarray(shards[start]) for start in sorted(shards)])
