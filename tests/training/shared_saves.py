"""Saves and reads a checkpoint as one of several processes; a script with their flags.

python tests/training/shared_saves.py WORKDIR --coordinator=... --processes=2 --process=0
"""

import jax
import numpy as np
from training import tiny

from drn_jax import commands
from drn_jax.checkpoints import manager
from drn_jax.distributed import meshes
from drn_jax.training import states


def state_of(config, step):
    """Returns a state on the devices of all processes, whose numbers tell its step."""
    variables = {'params': {'w': np.full(3, step, np.float32)}}
    optimizer = states.create_optimizer(config.optimizer, 0.1).init(variables['params'])
    return jax.device_put(
        states.TrainState(np.int32(step), variables, optimizer),
        meshes.replicated(meshes.create_mesh(0)),
    )


def main(argv):
    parser = commands.Parser('shared_saves', __doc__)
    parser.add_argument('workdir')
    commands.add_process_flags(parser)
    given = parser.parse_args(argv)
    with commands.initialize(given):
        config = tiny.tiny_config()
        with manager.Checkpoints(given.workdir, config) as saved:
            for step in (1, 2):
                saved.save(state_of(config, step))
            saved.add_metrics(1, {'top1_error': 0.5})
        with manager.Checkpoints(given.workdir, config) as saved:
            state = saved.restore(state_of(config, 0))
            assert saved.metrics(1) == {'top1_error': 0.5}
            np.testing.assert_array_equal(state.variables['params']['w'], [2, 2, 2])
            print('restored', int(state.step))


if __name__ == '__main__':
    commands.run(main)
