"""DRN-C-58 on ImageNet.

  python -m drn_jax.main --config=configs/drn_c_58.py --workdir=runs/drn_c_58
  python -m drn_jax.evaluate --checkpoint=runs/drn_c_58 --config.evaluation.crops=10

Validation error in %   1 crop: top-1  top-5   10 crops: top-1  top-5
  published                      21.7    6.0                 -      -
  here                              not measured

Source of the published numbers: the release's README.
"""

from drn_jax import recipes


def get_config():
    """Returns the configuration of this experiment."""
    config = recipes.classification()
    config.model.variant = 'drn_c_58'
    return config
