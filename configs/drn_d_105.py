"""DRN-D-105 on ImageNet.

  python -m drn_jax.main --config=configs/drn_d_105.py --workdir=runs/drn_d_105
  python -m drn_jax.evaluate --checkpoint=runs/drn_d_105 --config.evaluation.crops=10

Validation error in %   1 crop: top-1  top-5   10 crops: top-1  top-5
  published                      20.6    5.5                 -      -
  here                              not measured

Source of the published numbers: the release's README.
"""

from drn_jax import recipes


def get_config():
    """Returns the configuration of this experiment."""
    config = recipes.classification()
    config.model.variant = 'drn_d_105'
    return config
