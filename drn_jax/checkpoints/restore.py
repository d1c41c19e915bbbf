"""Finding checkpoints and rebuilding networks from them."""

import contextlib
import json
import os
from collections.abc import Iterator
from typing import Any

import jax
import ml_collections
import numpy as np
from etils import epath

from drn_jax import copies, fields, tasks
from drn_jax.checkpoints import archives, manifests, references, weight_folders
from drn_jax.errors import InputError, one_line
from drn_jax.models.networks import Network

FOLDER = 'checkpoints'
METRICS = 'metrics/metrics'  # file in the folder of a step
LARGE = ('variables', 'optimizer')  # items of a step whose files are large
_LOOKED_AT = (manifests.FILE, 'config', 'metrics', weight_folders.WEIGHTS, weight_folders.CONFIG)


def load(directory: epath.PathLike, step: int | None = None) -> tuple[Network, dict[str, Any]]:
    """Rebuilds a network and its variables from a checkpoint alone.

    Args:
        directory, step: see `find`.

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


def find(directory: epath.PathLike, step: int | None = None) -> epath.Path:
    """Finds the folder of one step, and checks its files but for those of the optimizer.

    Args:
        directory: a working directory of a run, its checkpoint folder, or the folder of one step;
            or anything else that `references.resolve` takes.
        step: the step wanted; None is the best by validation if one was evaluated, else the latest.

    Returns:
        The folder, `workdir/checkpoints/<step>`, or one that `weight_folders` wrote.

    Raises:
        InputError: there is no checkpoint, or not that step, or its files have changed.
    """
    root = references.resolve(directory)
    here = copies.fetch(root, LARGE, only=_LOOKED_AT)
    if not here.is_dir():
        raise InputError(
            f'{directory} is no directory; a checkpoint is given as the working '
            'directory of a run, its checkpoint folder or the folder of one step, or as a local '
            'file of weights',
            path=directory,
        )
    finished = _is_finished(here)
    if weight_folders.exists(here):
        root, finished = here, True
    if finished:
        if step not in (None, number(root)):
            raise InputError(
                f'{directory} is step {number(root)}, but step {step} was asked for',
                field='--step',
                path=directory,
            )
        return _checked(root)
    below = root / FOLDER if (here / FOLDER).exists() else root
    known = steps(below)
    if not known:
        files = [each.name for each in here.iterdir() if each.suffix in archives.SUFFIXES]
        weights = f', or the file {min(files)} in it' if files else ''
        raise InputError(
            f'{directory} holds no finished checkpoint; give the working directory '
            f'of a run, its checkpoint folder or the folder of one step{weights}',
            path=directory,
        )
    if step is not None and step not in known:
        raise InputError(
            f'{directory} holds no step {step}; it holds {", ".join(map(str, sorted(known)))}',
            field='--step',
            path=directory,
        )
    return _checked(known[_best(known) if step is None else step])


def steps(folder: epath.Path) -> dict[int, epath.Path]:
    """Returns the finished steps in a folder of checkpoints, {step: its folder}.

    Of a folder in Cloud Storage they are those that its local copy has.
    """
    return {
        int(path.name): folder / path.name
        for path in copies.local(folder).iterdir()
        if _is_finished(path)
    }


def number(path: epath.Path) -> int:
    """Returns the step that a folder holds; 0 where it is of no run."""
    return 0 if weight_folders.exists(path) else int(path.name)


def label(path: epath.Path) -> str:
    """Returns what to call a folder: 'step 5', or its name where it is of no run."""
    return path.name if weight_folders.exists(path) else f'step {path.name}'


def workdir(path: epath.Path) -> epath.Path:
    """Returns the directory that results go to: that of the run, or the current one without."""
    if weight_folders.exists(path):
        return epath.Path(os.getcwd())
    return path.parent.parent if path.parent.name == FOLDER else path.parent


def read_metrics(path: epath.Path) -> dict[str, Any] | None:
    """Reads the validation metrics of one of `steps`; None where it has none.

    Raises:
        InputError: they cannot be read.
    """
    file = copies.local(path) / METRICS
    with named_if_damaged(path):
        return json.loads(file.read_text()) if file.exists() else None


def read_config(path: epath.Path) -> ml_collections.ConfigDict:
    """Reads the configuration in the folder of one step, as `fields.from_stored`.

    Raises:
        InputError: it cannot be read.
    """
    if weight_folders.exists(path):
        with named_if_damaged(path):
            return weight_folders.read_config(path)
    here = copies.fetch(path / 'config')
    ocp = _orbax()
    with named_if_damaged(path), ocp.Checkpointer(ocp.JsonCheckpointHandler()) as checkpointer:
        stored = checkpointer.restore(here)
        return fields.from_stored(stored, tasks.TASKS[stored['task']].recipe())


def read_variables(
    path: epath.Path, model: Network, sharding: jax.sharding.Sharding | None = None
) -> dict[str, Any]:
    """Reads the variables of a network from the folder of one step.

    Args:
        path: the folder.
        model: the network.
        sharding: where they go; None is the first device.

    Returns:
        {'params', 'batch_stats'}, float32.

    Raises:
        InputError: the checkpoint has other parameters, which are listed, or cannot be read.
    """
    sharding = sharding or jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    if weight_folders.exists(path):
        with named_if_damaged(path):
            return jax.device_put(weight_folders.read_variables(path), sharding)
    variables = jax.eval_shape(
        lambda key: model.init(key, np.zeros((1, 32, 32, 3), np.float32)), jax.random.key(0)
    )
    check_shapes(path, variables)
    wanted = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), variables
    )
    return read_item(path, 'variables', wanted)


def read_item(path: epath.Path, name: str, wanted: Any) -> Any:
    """Reads a tree of arrays from the folder of one step.

    Args:
        path: the folder.
        name: of the item, one of `LARGE`.
        wanted: the tree, of `jax.ShapeDtypeStruct`s that say where they go.

    Raises:
        InputError: it cannot be read.
    """
    here = copies.fetch(path / name)
    with named_if_damaged(path), _orbax().StandardCheckpointer() as checkpointer:
        return checkpointer.restore(here, wanted)


def _orbax() -> Any:
    """Imports Orbax, which what is no run's does without, as that takes a sixth of a second."""
    import orbax.checkpoint

    return orbax.checkpoint


def check_shapes(path: epath.Path, variables: Any) -> None:
    """Refuses a checkpoint whose variables are not those of a network.

    Args:
        path: the folder of one step.
        variables: what the network has: a tree of things with a shape.

    Raises:
        InputError: variables are missing, extra or of another shape; up to three of each are named.
    """
    here = copies.fetch(path / 'variables')
    with named_if_damaged(path):
        stored = _shapes(_orbax().StandardCheckpointHandler().metadata(here).tree)
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
            f'asks for: parameters {"; ".join(problems)}',
            path=path,
        )


@contextlib.contextmanager
def named_if_damaged(path: epath.Path) -> Iterator[None]:
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
            'choose another step, or move this one away',
            path=path,
        ) from error


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    """Returns the shapes of a tree's leaves by their names, as 'params/head/kernel'."""
    return {
        jax.tree_util.keystr(path, simple=True, separator='/'): tuple(leaf.shape)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def _is_finished(path: epath.Path) -> bool:
    """Returns whether a path is the folder of a finished step."""
    return path.name.isdigit() and manifests.exists(path)


def _checked(path: epath.Path) -> epath.Path:
    """Returns the folder of a step, and refuses one whose files are not those that were written."""
    folder = weight_folders.exists(path)
    if (
        problem := weight_folders.problem(path)
        if folder
        else manifests.problem(path, without=('optimizer',))
    ):
        raise InputError(
            f'the checkpoint {path} is damaged: {problem}; choose another step, or '
            'move this one away',
            path=path,
        )
    return path


def _best(known: dict[int, epath.Path]) -> int:
    """Returns the step with the best validation metric, the first of equals; else the latest."""
    config = read_config(known[max(known)]).checkpoint
    ranked = []
    for step, path in known.items():
        value = (read_metrics(path) or {}).get(config.best_metric)
        if value is not None:
            ranked.append((value if config.best_is == 'lowest' else -value, step))
    return min(ranked)[1] if ranked else max(known)
