"""A network as a folder that needs no Orbax: `model.safetensors` and `config.json`.

It is what hubs expect and what the cache of `references` holds. The arrays have the names of the
authors' PyTorch code, so `safetensors` and `json` alone can use them.
"""

import hashlib
import json
from typing import Any

import ml_collections
import safetensors.numpy
from etils import epath

from drn_jax import copies, fields, files, tasks
from drn_jax.checkpoints.conversion import Converted
from drn_jax.models import torch_names, variants, weights

WEIGHTS, CONFIG = 'model.safetensors', 'config.json'


def exists(path: epath.Path) -> bool:
    """Returns whether a directory is such a folder, and not one that others wrote like it.

    Of a directory in Cloud Storage its local copy is looked at.
    """
    here = copies.local(path)
    try:
        return (here / WEIGHTS).exists() and 'drn_jax' in json.loads((here / CONFIG).read_text())
    except (OSError, ValueError, TypeError):
        return False


def write(path: epath.Path, network: Converted) -> None:
    """Writes a network into a folder.

    Args:
        path: the folder, which is there.
        network: its configuration and variables.

    Raises:
        InputError: a file of weights cannot hold the network.
        OSError: a file cannot be written.
    """
    config = network.config
    content = safetensors.numpy.save(network.state_dict(), metadata={'format': 'pt'})
    (path / WEIGHTS).write_bytes(content)
    files.write_json(
        path / CONFIG,
        {
            'architecture': config.model.variant,
            'num_classes': config.model.num_classes,
            'sha256': hashlib.sha256(content).hexdigest(),
            'drn_jax': config.to_dict(),
        },
    )


def read_config(path: epath.Path) -> ml_collections.ConfigDict:
    """Reads the configuration in a folder.

    Raises:
        Exception: of many kinds, where the file is not what was written.
    """
    stored = json.loads((path / CONFIG).read_text())['drn_jax']
    return fields.from_stored(stored, tasks.TASKS[stored['task']].recipe())


def read_variables(path: epath.Path) -> dict[str, Any]:
    """Reads the variables in a folder, {'params', 'batch_stats'}, NumPy arrays bit for bit.

    Raises:
        ValueError: they are not those of the network that the configuration names.
        Exception: of many kinds, where a file is not what was written.
    """
    config = read_config(path)
    row = variants.lookup(config.model.variant, config.model.width)
    kind = tasks.kind_of(config).network
    state_dict = safetensors.numpy.load((path / WEIGHTS).read_bytes())
    for entry in torch_names.entries(row, config.model.num_classes, kind):
        if not entry.path:  # the authors' code owns it, and no network uses it
            state_dict.pop(entry.name, None)
        elif state_dict[entry.name].shape != entry.shape:
            raise ValueError(f'{entry.name} is not of the shape {entry.shape}')
    return weights.from_torch(config.model.variant, state_dict)


def problem(path: epath.Path) -> str | None:
    """Finds what is wrong with a folder, by reading all of its weights; None: nothing."""
    try:
        wanted = json.loads((path / CONFIG).read_text())['sha256']
    except (OSError, ValueError, KeyError, TypeError):
        return f'{CONFIG} is not what was written'
    if hashlib.sha256((path / WEIGHTS).read_bytes()).hexdigest() != wanted:
        return f'{WEIGHTS} is not what was written'
    return None
