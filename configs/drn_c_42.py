"""DRN-C-42 on ImageNet.

  python -m drn_jax.main --config=configs/drn_c_42.py --workdir=runs/drn_c_42
  python -m drn_jax.evaluate --checkpoint=runs/drn_c_42 --config.evaluation.crops=10

Validation error in %   1 crop: top-1  top-5   10 crops: top-1  top-5
  published                     22.94   6.57             21.20   5.60
  here                              not measured

Source of the published numbers: table 1 of the paper.
"""

from drn_jax import recipes


def get_config():
    """Returns the configuration of this experiment."""
    config = recipes.classification()
    config.model.variant = 'drn_c_42'
    return config
