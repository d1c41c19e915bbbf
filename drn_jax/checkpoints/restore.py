"""Finding checkpoints and rebuilding networks from them."""

import contextlib
import json

import jax
import numpy as np
import orbax.checkpoint as ocp

from drn_jax import fields, paths, tasks
from drn_jax.checkpoints import manifests
from drn_jax.errors import InputError, one_line

FOLDER = 'checkpoints'
METRICS = 'metrics/metrics'  # file in the folder of a step, where Orbax looks for it


def load(directory, step=None):
    """Rebuilds a network and its variables from a checkpoint alone.

    Args:
        directory: a working directory of a run, its checkpoint folder, or the folder of one step.
        step: the step wanted; None is the best by validation error if one was evaluated, else the
            latest.

    Returns:
        The network, and {'params', 'batch_stats'} as float32 `jax.Array`s on the first device,
        whatever devices wrote them.

    Raises:
        InputError: there is no such checkpoint, or it does not hold the network it names.

    Example:
        model, variables = drn_jax.load('runs/digit_scenes')
        logits = model.apply(variables, images)
    """
    path = find(directory, step)
    model = tasks.create_network(read_config(path))
    return model, read_variables(path, model)


def find(directory, step=None):
    """Finds the folder of one step.

    Args:
        directory: a working directory of a run, its checkpoint folder, or the folder of one step.
        step: the step wanted; None is the best by validation error if one was evaluated, else the
            latest.

    Returns:
        The folder, `workdir/checkpoints/<step>`.

    Raises:
        InputError: there is no checkpoint, or not that step, or its files have changed.
    """
    root = paths.directory(directory)
    if not root.is_dir():
        raise InputError(
            f'{directory} is no directory; a checkpoint is given as the working '
            'directory of a run, its checkpoint folder or the folder of one step'
        )
    if _is_step(root):
        if step not in (None, int(root.name)):
            raise InputError(f'{directory} is step {root.name}, but step {step} was asked for')
        return _whole(root)
    known = steps(root / FOLDER if (root / FOLDER).exists() else root)
    if not known:
        raise InputError(
            f'{directory} holds no finished checkpoint; give the working directory '
            'of a run, its checkpoint folder or the folder of one step'
        )
    if step is not None and step not in known:
        raise InputError(
            f'{directory} holds no step {step}; it holds {", ".join(map(str, sorted(known)))}'
        )
    return _whole(known[_best(known) if step is None else step])


def steps(folder):
    """Returns the finished steps in a folder of checkpoints, {step: its folder}."""
    return {int(path.name): path for path in folder.iterdir() if _is_step(path)}


def read_metrics(path):
    """Reads the validation metrics in the folder of one step; None where it has none."""
    file = path / METRICS
    with named_if_damaged(path):
        return json.loads(file.read_text()) if file.exists() else None


def read_config(path):
    """Reads the configuration in the folder of one step; fields that it lacks get defaults."""
    with named_if_damaged(path), ocp.Checkpointer(ocp.JsonCheckpointHandler()) as checkpointer:
        stored = checkpointer.restore(path / 'config')
        return fields.from_stored(stored, tasks.TASKS[stored['task']].recipe())


def read_variables(path, model, sharding=None):
    """Reads the variables of a network from the folder of one step.

    Args:
        path: the folder.
        model: the network.
        sharding: where they go; None is the first device.

    Returns:
        {'params', 'batch_stats'}, float32.

    Raises:
        InputError: the checkpoint has other parameters; they are listed.
    """
    sharding = sharding or jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    variables = jax.eval_shape(
        lambda key: model.init(key, np.zeros((1, 32, 32, 3), np.float32)), jax.random.key(0)
    )
    check_shapes(path, variables)
    with named_if_damaged(path), ocp.StandardCheckpointer() as checkpointer:
        return checkpointer.restore(
            path / 'variables',
            jax.tree.map(
                lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
                variables,
            ),
        )


def check_shapes(path, variables):
    """Refuses a checkpoint whose variables are not those of a network.

    Args:
        path: the folder of one step.
        variables: what the network has: a tree of things with a shape.

    Raises:
        InputError: variables are missing, extra or of another shape; up to three of each are named.
    """
    with named_if_damaged(path):
        stored = _shapes(ocp.StandardCheckpointHandler().metadata(path / 'variables').tree)
    wanted = _shapes(variables)
    found = {
        'missing': sorted(wanted.keys() - stored.keys()),
        'extra': sorted(stored.keys() - wanted.keys()),
        'of another shape': [
            f'{name} {list(stored[name])} instead of {list(wanted[name])}'
            for name in sorted(stored.keys() & wanted.keys())
            if stored[name] != wanted[name]
        ],
    }
    problems = [
        f'{len(names)} {kind} ({", ".join(names[:3])}{", ..." if names[3:] else ""})'
        for kind, names in found.items()
        if names
    ]
    if problems:
        raise InputError(
            f'the checkpoint {path} holds another network than the configuration '
            f'asks for: parameters {"; ".join(problems)}'
        )


@contextlib.contextmanager
def named_if_damaged(path):
    """Turns whatever reading a checkpoint raises into one sentence that names it.

    Args:
        path: the folder of one step.

    Raises:
        InputError: reading failed.
    """
    try:
        yield
    except Exception as error:  # Orbax and TensorStore raise many kinds
        raise InputError(
            f'the checkpoint {path} is damaged and cannot be read '
            f'({one_line(error, short=True)}); '
            'choose another step, or move this one away'
        ) from error


def _shapes(tree):
    return {
        jax.tree_util.keystr(path, simple=True, separator='/'): tuple(leaf.shape)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def _is_step(path):
    return path.name.isdigit() and manifests.exists(path)


def _whole(path):
    """Returns the folder of a step whose files are those that were written."""
    if problem := manifests.problem(path, without=('optimizer',)):
        raise InputError(
            f'the checkpoint {path} is damaged: {problem}; choose another step, or '
            'move this one away'
        )
    return path


def _best(known):
    """Returns the step with the best validation metric, the first of equals; else the latest."""
    settings = read_config(known[max(known)]).checkpoint
    ranked = []
    for step, path in known.items():
        value = (read_metrics(path) or {}).get(settings.best_metric)
        if value is not None:
            ranked.append((value if settings.best_is == 'lowest' else -value, step))
    return min(ranked)[1] if ranked else max(known)
