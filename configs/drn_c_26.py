"""DRN-C-26 on ImageNet.

  python -m drn_jax.main --config=configs/drn_c_26.py --workdir=runs/drn_c_26
  python -m drn_jax.evaluate --checkpoint=runs/drn_c_26 --config.evaluation.crops=10

Validation error in %   1 crop: top-1  top-5   10 crops: top-1  top-5
  published                     24.86   7.55             22.93   6.39
  here                              not measured

Source of the published numbers: table 1 of the paper.
"""

from drn_jax import recipes


def get_config():
    """Returns the configuration of this experiment."""
    config = recipes.classification()
    config.model.variant = 'drn_c_26'
    return config
