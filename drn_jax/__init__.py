"""Dilated residual networks (Yu, Koltun and Funkhouser, CVPR 2017) in JAX and Flax."""

import configparser
import importlib.metadata
import pathlib
from typing import Any

from drn_jax import requirements

requirements.check()  # before what may not fit is imported

from drn_jax.checkpoints.pretrained import list_pretrained
from drn_jax.checkpoints.restore import load
from drn_jax.exporting.artifacts import load_exported
from drn_jax.models.descriptions import describe
from drn_jax.models.inference import optimize_for_inference
from drn_jax.models.networks import create_model
from drn_jax.models.variants import list_models
from drn_jax.models.weights import from_torch, to_torch
from drn_jax.prediction.predictor import Predictor

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
    """Imports the command `judge`, which can be called, where it is first used.

    Not above: Python warns of a command that the package imports before it runs it.
    """
    if name == 'judge':
        return importlib.import_module('drn_jax.judge')
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
