"""Dilated residual networks (Yu, Koltun and Funkhouser, CVPR 2017) in JAX and Flax."""

import configparser
import importlib
import importlib.metadata
import importlib.util
import pathlib
from typing import TYPE_CHECKING, Any

from drn_jax import requirements

if TYPE_CHECKING:
    from drn_jax import judge
    from drn_jax.checkpoints.pretrained import list_pretrained
    from drn_jax.checkpoints.restore import load
    from drn_jax.exporting.artifacts import load_exported
    from drn_jax.models.descriptions import describe
    from drn_jax.models.inference import optimize_for_inference
    from drn_jax.models.networks import create_model
    from drn_jax.models.variants import list_models
    from drn_jax.models.weights import from_torch, to_torch
    from drn_jax.prediction.predictor import Predictor

requirements.check()  # before what may not fit is imported

__all__ = [
    'Predictor',
    'create_model',
    'describe',
    'from_torch',
    'judge',
    'list_models',
    'list_pretrained',
    'load',
    'load_exported',
    'optimize_for_inference',
    'to_torch',
]
# Where the names lie. They are imported where they are first used: JAX takes most of a second, and
# Python warns of a command, as `judge` is, that the package imports before it runs it.
_MODULES = {
    'Predictor': 'prediction.predictor',
    'create_model': 'models.networks',
    'describe': 'models.descriptions',
    'from_torch': 'models.weights',
    'list_models': 'models.variants',
    'list_pretrained': 'checkpoints.pretrained',
    'load': 'checkpoints.restore',
    'load_exported': 'exporting.artifacts',
    'optimize_for_inference': 'models.inference',
    'to_torch': 'models.weights',
}


def _version() -> str:
    """Returns the installed version, or that of a checkout that is not installed."""
    try:
        return importlib.metadata.version('drn_jax')
    except importlib.metadata.PackageNotFoundError:
        setup = configparser.ConfigParser()
        setup.read(pathlib.Path(__file__).parent.parent / 'setup.cfg')
        return setup.get('metadata', 'version', fallback='unknown')


__version__ = _version()


def __getattr__(name: str) -> Any:
    """Imports a public name, or a module of the package, where it is first used."""
    if name in _MODULES:
        globals()[name] = getattr(importlib.import_module(f'drn_jax.{_MODULES[name]}'), name)
        return globals()[name]
    if not name.startswith('_') and importlib.util.find_spec(f'drn_jax.{name}'):
        return importlib.import_module(f'drn_jax.{name}')
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def __dir__() -> list[str]:
    """Lists the public names, whether they were used or not."""
    return sorted({*globals(), *__all__})
