"""DRN-A-18 on ImageNet.

  python -m drn_jax.main --config=configs/drn_a_18.py --workdir=runs/drn_a_18
  python -m drn_jax.evaluate --checkpoint=runs/drn_a_18 --config.evaluation.crops=10

Validation error in %   1 crop: top-1  top-5   10 crops: top-1  top-5
  published                     28.00   9.50             25.75   8.25
  here                              not measured

Source of the published numbers: table 1 of the paper.
"""

from drn_jax import recipes


def get_config():
    """Returns the configuration of this experiment."""
    config = recipes.classification()
    config.model.variant = 'drn_a_18'
    return config
