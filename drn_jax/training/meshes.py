"""Devices as a mesh: where batches and states lie, and how batches get there."""
import collections
import itertools

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from drn_jax.errors import InputError

AXIS = 'data'


def create_mesh(devices=0):
    """Gives the one-axis mesh over which the examples of a batch are spread.

    Args:
        devices: how many devices, at least 1; 0 is all of them.

    Returns:
        A `jax.sharding.Mesh` with the axis 'data'.

    Raises:
        InputError: there are not that many devices.

    Example:
        >>> create_mesh(1).shape['data']
        1
    """
    known = jax.devices()
    if not 0 <= devices <= len(known):
        raise InputError(f'config.mesh.devices is {devices}, but this machine has {len(known)}; '
                         f'use 1 to {len(known)}, or 0 for all')
    known = known[:devices or None]
    return jax.make_mesh((len(known),), (AXIS,), devices=known,
                         axis_types=(jax.sharding.AxisType.Auto,))


def replicated(mesh):
    """Gives the sharding of what every device holds whole: states, keys, counts."""
    return NamedSharding(mesh, PartitionSpec())


def by_example(mesh):
    """Gives the sharding of batches: the first axis is spread over all devices."""
    return NamedSharding(mesh, PartitionSpec(AXIS))


def check_batch_size(batch_size, mesh, name='config.batch_size'):
    """Refuses a batch size that the devices do not divide."""
    devices = mesh.devices.size
    if batch_size < 1 or batch_size % devices:
        below = batch_size // devices * devices
        near = f'{below} or {below + devices}' if below > 0 else devices
        raise InputError(f'{name} is {batch_size}, which {devices} devices do not divide; '
                         f'use a multiple of {devices}, such as {near}')


def local_rows(batch_size, mesh):
    """Gives the rows of a global batch that the devices of this process hold, as (start, stop).

    Raises:
        InputError: they do not lie side by side.

    Example:
        >>> local_rows(32, create_mesh())
        (0, 32)
    """
    ranges = {rows.indices(batch_size)[:2] for (rows,) in by_example(mesh)
              .addressable_devices_indices_map((batch_size,)).values()}
    starts, stops = zip(*sorted(ranges))
    if stops[:-1] != starts[1:]:
        raise InputError(f'the devices of process {jax.process_index()} hold the rows '
                         f'{sorted(ranges)} of a batch, which do not lie side by side')
    return starts[0], stops[-1]


def feed(batches, mesh, keys, ahead=2):
    """Moves batches to the devices, `ahead` of the one that is handed out.

    Transfers run in the background, so the next batches are on the device when a step ends.

    Args:
        batches: an iterator of dicts of NumPy arrays, the rows that this process holds.
        mesh: where they go.
        keys: the entries that are moved.
        ahead: how many batches are on their way at a time.

    Yields:
        Dicts of global `jax.Array`s, spread over the first axis.

    Raises:
        InputError: the batches lack one of the keys.
    """
    sharding = by_example(mesh)

    def put(batch):
        missing = sorted(set(keys) - batch.keys())
        if missing:
            raise InputError(f'the task needs {", ".join(missing)} in every batch, but the data '
                             f'set has only {", ".join(sorted(batch))}')
        return {key: jax.make_array_from_process_local_data(sharding, np.asarray(batch[key]))
                for key in keys}

    batches = iter(batches)
    queue = collections.deque(put(batch) for batch in itertools.islice(batches, ahead))
    while queue:
        yield queue.popleft()
        queue.extend(put(batch) for batch in itertools.islice(batches, 1))
