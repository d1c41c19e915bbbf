"""DRN-B-26 on ImageNet.

  python -m drn_jax.main --config=configs/drn_b_26.py --workdir=runs/drn_b_26
  python -m drn_jax.evaluate --checkpoint=runs/drn_b_26 --config.evaluation.crops=10

Validation error in %   1 crop: top-1  top-5   10 crops: top-1  top-5
  published                     25.19   7.91             23.33   6.69
  here                              not measured

Source of the published numbers: table 1 of the paper.
"""

from drn_jax import recipes


def get_config():
    """Returns the configuration of this experiment."""
    config = recipes.classification()
    config.model.variant = 'drn_b_26'
    return config
