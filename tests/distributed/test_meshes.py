"""Where batches go."""

import types

import jax
import numpy as np
import pytest
from support.errors import refused

from drn_jax.distributed import meshes


def batches(number, size=8):
    return [
        {'image': np.full((size, 2), i), 'mask': np.ones(size, bool), 'name': np.zeros(size)}
        for i in range(number)
    ]


def test_all_devices_or_some():
    assert meshes.create_mesh().devices.size == 8
    assert meshes.create_mesh(3).devices.size == 3


@pytest.mark.parametrize('devices', [-1, 9])
def test_a_number_of_devices_that_there_is_not(devices):
    with refused('config.mesh.devices', match='this machine has 8'):
        meshes.create_mesh(devices)


def test_devices_follow_slices_then_processes_then_numbers():
    devices = [
        types.SimpleNamespace(slice_index=part, process_index=process, id=number)
        for number, (part, process) in enumerate([(1, 2), (0, 1), (1, 3), (0, 0), (0, 1)])
    ]
    assert [device.id for device in meshes.sort_devices(devices)] == [3, 1, 4, 0, 2]


def test_processes_share_all_of_their_devices(monkeypatch):
    monkeypatch.setattr(jax, 'process_count', lambda: 2)
    assert meshes.create_mesh(8).shape == {'data': 8, 'spatial': 1}
    with refused('config.mesh.devices', match='2 processes share all of their 8 dev'):
        meshes.create_mesh(3)
    with refused('config.mesh.spatial'):
        meshes.create_mesh(spatial=8)


@pytest.mark.parametrize('size, near', [(30, '24 or 32'), (3, 'such as 8'), (0, 'such as 8')])
def test_a_batch_that_the_devices_do_not_divide(size, near):
    with refused('config.batch_size', match=near):
        meshes.check_batch_size(size, 8)


def test_one_process_holds_all_rows():
    assert meshes.local_rows(16, meshes.create_mesh()) == (0, 16)


def test_batches_are_spread_over_the_first_axis_and_arrive_in_order():
    mesh = meshes.create_mesh()
    fed = list(meshes.prefetch_to_device(batches(5), mesh, ('image', 'mask')))
    assert [int(batch['image'][0, 0]) for batch in fed] == [0, 1, 2, 3, 4]
    assert fed[0].keys() == {'image', 'mask'}
    assert {shard.data.shape for shard in fed[0]['image'].addressable_shards} == {(1, 2)}


def test_batches_are_on_their_way_before_they_are_asked_for():
    taken = []

    def watched():
        for batch in batches(5):
            taken.append(len(taken))
            yield batch

    fed = meshes.prefetch_to_device(watched(), meshes.create_mesh(), ('image',), ahead=2)
    next(fed)
    assert len(taken) == 2
    next(fed)
    assert len(taken) == 3


def test_a_missing_entry_is_named():
    with refused('config.data.name', match='needs boxes, label in every batch.*image, mask, name'):
        next(
            meshes.prefetch_to_device(batches(1), meshes.create_mesh(), ('image', 'boxes', 'label'))
        )


def test_replicated_and_spread():
    mesh = meshes.create_mesh()
    whole = jax.device_put(np.zeros(8), meshes.replicated(mesh))
    assert whole.addressable_shards[0].data.shape == (8,)
