"""One step of training and one of evaluation: pure functions, compiled once for a mesh."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import optax

from drn_jax.distributed import meshes
from drn_jax.models import convolutions
from drn_jax.tasks import Task
from drn_jax.training.states import TrainState


def train_step(
    task: Task,
    optimizer: optax.GradientTransformation,
    mesh: jax.sharding.Mesh,
    *,
    skip: bool = False,
    compiler_options: Sequence[str] = (),
) -> jax.stages.Wrapped:
    """Compiles the update of a state by one batch.

    Batches lie spread over the mesh, by examples and by rows of images, and states lie whole on
    every device, so the compiler sums gradients over all devices, convolutions fetch the rows that
    they need from neighbors, and means and batch statistics are those of the global batch.

    Args:
        task: the task to learn; it has a loss.
        optimizer: see `states.create_optimizer`.
        mesh: the devices.
        skip: whether `optimizer` leaves out updates by gradients that are not finite
            (`states.create_optimizer`); then batch statistics stay too, also where only the loss
            is not finite.
        compiler_options: of the configuration; see `convolutions.compiler_options`.

    Returns:
        A function (state, batch, key) -> (state, logs), compiled at its first call: of a
        `TrainState`, whose memory is used for the new one, a batch as `meshes.prefetch_to_device`
        yields it, with `index`, and a JAX random key. `logs` are float32 scalars: `loss`,
        `gradient_norm` before weight decay, and `parameter_norm` after the update, which is finite
        only if the new parameters are.
    """

    assert task.loss  # it is one to train
    loss_of = task.loss

    def step(state, batch, key):
        batch = task.preprocess(meshes.constrain_batch(batch, mesh, rows=True), key, True)

        def objective(params):
            outputs, batch_stats = task.forward({**state.variables, 'params': params}, batch)
            return loss_of(outputs, batch), batch_stats

        params = state.variables['params']
        (loss, batch_stats), gradients = jax.value_and_grad(objective, has_aux=True)(params)
        gradient_norm = optax.tree.norm(gradients)
        if skip:
            finite = jnp.isfinite(loss) & jnp.isfinite(gradient_norm)
            gradients = jax.tree.map(lambda each: jnp.where(finite, each, jnp.nan), gradients)
            batch_stats = jax.tree.map(
                lambda new, old: jnp.where(finite, new, old),
                batch_stats,
                state.variables['batch_stats'],
            )
        updates, optimizer_state = optimizer.update(gradients, state.optimizer, params)
        variables = {'params': optax.apply_updates(params, updates), 'batch_stats': batch_stats}
        logs = {
            'loss': loss,
            'gradient_norm': gradient_norm,
            'parameter_norm': optax.tree.norm(variables['params']),
        }
        return TrainState(state.step + 1, variables, optimizer_state), logs

    whole = meshes.replicated(mesh)
    return jax.jit(
        step,
        donate_argnums=0,
        out_shardings=whole,
        in_shardings=(whole, None, whole),
        compiler_options=convolutions.compiler_options(
            meshes.local_device(mesh), 'training', compiler_options
        ),
    )


def evaluation_step(
    task: Task, mesh: jax.sharding.Mesh, *, compiler_options: Sequence[str] = ()
) -> jax.stages.Wrapped:
    """Compiles the counts and predictions of one batch.

    Args:
        task: the task to evaluate.
        mesh: the devices.
        compiler_options: of the configuration; see `convolutions.compiler_options`.

    Returns:
        A function (variables, batch) -> (counts, predictions): a dict of int32 sums over the real
        examples of the batch, and what `task.predict` gives, spread over the devices by example.
    """

    def step(variables, batch):
        batch = task.preprocess(meshes.constrain_batch(batch, mesh), None, False)
        predictions = task.predict(variables, batch)
        return task.counts(predictions, batch), predictions

    whole = meshes.replicated(mesh)
    return jax.jit(
        step,
        in_shardings=(whole, None),
        out_shardings=(whole, meshes.batch_sharding(mesh)),
        compiler_options=convolutions.compiler_options(
            meshes.local_device(mesh), given=compiler_options
        ),
    )


def sample_inputs(
    task: Task,
    mesh: jax.sharding.Mesh,
    mean: Sequence[float],
    std: Sequence[float],
    number: int = 8,
) -> jax.stages.Wrapped:
    """Compiles a look at what the network sees: the first images of a batch after augmentation.

    Args:
        task: the task that preprocesses the batch.
        mesh: the devices.
        mean, std: of each channel, which images were normalized with.
        number: how many images.

    Returns:
        A function (batch, key) -> float32 [number, H, W, 3] in [0, 1].
    """

    def look(batch, key):
        batch = task.preprocess(meshes.constrain_batch(batch, mesh, rows=True), key, True)
        return jnp.clip(batch['image'][:number] * jnp.array(std) + jnp.array(mean), 0, 1)

    whole = meshes.replicated(mesh)
    return jax.jit(look, in_shardings=(None, whole), out_shardings=whole)
