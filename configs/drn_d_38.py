"""DRN-D-38 on ImageNet.

  python -m drn_jax.main --config=configs/drn_d_38.py --workdir=runs/drn_d_38
  python -m drn_jax.evaluate --checkpoint=runs/drn_d_38 --config.evaluation.crops=10

Validation error in %   1 crop: top-1  top-5   10 crops: top-1  top-5
  published                      23.8    6.9                 -      -
  here                              not measured

Source of the published numbers: the release's README.
"""

from drn_jax import recipes


def get_config():
    """Returns the configuration of this experiment."""
    config = recipes.classification()
    config.model.variant = 'drn_d_38'
    return config
