"""DRN-A-34 on ImageNet.

  python -m drn_jax.main --config=configs/drn_a_34.py --workdir=runs/drn_a_34
  python -m drn_jax.evaluate --checkpoint=runs/drn_a_34 --config.evaluation.crops=10

Validation error in %   1 crop: top-1  top-5   10 crops: top-1  top-5
  published                     24.81   7.54             22.64   6.34
  here                              not measured

Source of the published numbers: table 1 of the paper.
"""

from drn_jax import recipes


def get_config():
    """Returns the configuration of this experiment."""
    config = recipes.classification()
    config.model.variant = 'drn_a_34'
    return config
