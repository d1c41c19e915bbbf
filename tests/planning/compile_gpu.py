"""Compiles the programs of a network for an H100 that is not there; run with the CUDA compiler.

  python compile_gpu.py NETWORK FOLDER

writes `DTYPE_training.txt`, `DTYPE_evaluation.txt` and `DTYPE_inference.txt` for both dtypes. The
batch of 121 images, a number that no other size is a multiple of, shows which arrays are
activations; with few images XLA holds some of small maps in float32.
"""

import pathlib
import sys

import jax
import jax.numpy as jnp

from drn_jax import commands
from drn_jax.data import batch_specs
from drn_jax.models import inference
from drn_jax.planning import compiler, cuda_compiler, dataset_sizes, gpus
from drn_jax.training import states, steps

BATCH, SIDE = 121, 224
FLAGS = (f'--config.batch_size={BATCH}', '--config.data.shards=1')
ROOT = pathlib.Path(__file__).parent.parent.parent


def experiment_of(network, dtype):
    size = f'--config.data.{"crop_px" if network.startswith("cityscapes") else "image_size"}={SIDE}'
    config = commands.load_config(
        str(ROOT / f'configs/{network}.py'), [*FLAGS, size, f'--config.model.dtype={dtype}']
    )
    devices = cuda_compiler.devices_of(gpus.find('h100:1'))
    return compiler.resolve(config, dataset_sizes.find(config), devices)


def evaluation(experiment):
    task, mesh = experiment.task, experiment.mesh
    optimizer = states.create_optimizer(experiment.config.optimizer, 0.1)
    state, _ = states.abstract(task.model, optimizer, mesh)
    batch = {
        key: jax.ShapeDtypeStruct(shape, dtype)
        for key, (shape, dtype) in batch_specs.training_batch(
            experiment.kind.label_kind, experiment.config.data, BATCH
        ).items()
    }
    return steps.evaluation_step(task, mesh).lower(state.variables, batch), state.variables


def inference_form(experiment, variables):
    model = experiment.task.model
    whole = jax.tree.leaves(variables)[0].sharding
    folded = jax.eval_shape(
        lambda variables: inference.optimize_for_inference(model, variables)[1], variables
    )
    folded, images = jax.tree.map(
        lambda array: jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=whole),
        (folded, jax.ShapeDtypeStruct((BATCH, SIDE, SIDE, 3), jnp.float32)),
    )
    return jax.jit(model.clone(bn_folded=True).apply).lower(folded, images)


def main(network, folder):
    for dtype in ('float32', 'bfloat16'):
        experiment = experiment_of(network, dtype)
        evaluating, variables = evaluation(experiment)
        lowered = {
            'evaluation': evaluating,
            'inference': inference_form(experiment, variables),
        }
        texts = {'training': compiler.compile_step(experiment).text} | {
            use: each.compile(compiler_options=cuda_compiler.OPTIONS).as_text()
            for use, each in lowered.items()
        }
        for use, text in texts.items():
            pathlib.Path(folder, f'{dtype}_{use}.txt').write_text(text)


if __name__ == '__main__':
    main(*sys.argv[1:])
