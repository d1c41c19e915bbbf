"""Checkpoints: written and managed, found and opened, whole on disk and in Cloud Storage."""

from drn_jax.checkpoints.opening import Checkpoint, open

__all__ = ['Checkpoint', 'open']
