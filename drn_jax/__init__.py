"""Dilated residual networks (Yu, Koltun and Funkhouser, CVPR 2017) in JAX and Flax."""

from drn_jax.checkpoints.restore import load
from drn_jax.exporting.artifacts import load_exported
from drn_jax.models.descriptions import describe
from drn_jax.models.inference import optimize_for_inference
from drn_jax.models.networks import create_model
from drn_jax.models.variants import list_models
from drn_jax.models.weights import from_torch, to_torch

__all__ = [
    'create_model',
    'describe',
    'from_torch',
    'list_models',
    'load',
    'load_exported',
    'optimize_for_inference',
    'to_torch',
]
