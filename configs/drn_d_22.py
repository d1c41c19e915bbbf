"""DRN-D-22 on ImageNet.

  python -m drn_jax.main --config=configs/drn_d_22.py --workdir=runs/drn_d_22
  python -m drn_jax.evaluate --checkpoint=runs/drn_d_22 --config.evaluation.crops=10

Validation error in %   1 crop: top-1  top-5   10 crops: top-1  top-5
  published                      25.8    8.2                 -      -
  here                              not measured

Source of the published numbers: the release's README.
"""

from drn_jax import recipes


def get_config():
    """Returns the configuration of this experiment."""
    config = recipes.classification()
    config.model.variant = 'drn_d_22'
    return config
