"""What saves leave behind in memory."""
import gc
import sys

import jax
import tensorstore as ts

from drn_jax.training import checkpoints, storage_memory
from test_checkpoints import config_of, state_of

SPECS = [
    {'driver': 'file', 'path': '/' + 300 * 'a' + '/'},
    {'driver': 'gcs', 'bucket': 'a-bucket', 'path': 'b/c/'},
    {'driver': 'ocdbt', 'base': {'driver': 'memory', 'path': 'd/'},
     'config': {'max_inline_value_bytes': 10}}]


def test_saves_lose_no_memory(tmp_path):
    config = config_of(**{'checkpoint.keep_last': 1})
    state = state_of(config, devices=1)
    blocks = []  # of Python's allocator, one for each object of up to 512 bytes
    with checkpoints.Checkpoints(tmp_path, config) as saved:
        for step in range(1, 21):
            saved.save(state.replace(step=jax.device_put(step, state.step.sharding)))
            saved.wait()
            gc.collect()
            blocks.append(sys.getallocatedblocks())
    arrays = len(jax.tree.leaves((state.variables, state.optimizer)))
    lost = (blocks[19] - blocks[9]) / 10
    assert lost < arrays, f'{lost} objects a save of {arrays} arrays'


def test_specifications_are_answered_as_before():
    storage_memory.keep_flat()
    for spec in SPECS:
        for _ in range(2):
            found = ts.KvStore.Spec(spec).to_json()
            assert found == spec
            found['driver'] = 'changed by who asked'
    for _ in range(2):
        assert 'context' in ts.KvStore.Spec(SPECS[0]).to_json(include_defaults=True)
        assert 'context' not in ts.KvStore.Spec(SPECS[0]).to_json()


def test_metrics_are_there_for_others(tmp_path):
    storage_memory.keep_flat()
    store = ts.KvStore.open({'driver': 'file', 'path': f'{tmp_path}/'}).result()
    store.write('a', b'b').result()
    names = [metric['name'] for metric in ts.experimental_collect_matching_metrics('/tensorstore/')]
    assert any(name.startswith('/tensorstore/kvstore/file/') for name in names), names
