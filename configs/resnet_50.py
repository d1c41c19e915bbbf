"""ResNet-50 on ImageNet.

  python -m drn_jax.main --config=configs/resnet_50.py --workdir=runs/resnet_50
  python -m drn_jax.evaluate --checkpoint=runs/resnet_50 --config.evaluation.crops=10

Validation error in %   1 crop: top-1  top-5   10 crops: top-1  top-5
  published                     24.01   7.02             22.24   6.08
  here                              not measured

Source of the published numbers: table 1 of the paper.
"""

from drn_jax import recipes


def get_config():
    """Returns the configuration of this experiment."""
    config = recipes.classification()
    config.model.variant = 'resnet_50'
    return config
