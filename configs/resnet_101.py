"""ResNet-101 on ImageNet.

  python -m drn_jax.main --config=configs/resnet_101.py --workdir=runs/resnet_101
  python -m drn_jax.evaluate --checkpoint=runs/resnet_101 --config.evaluation.crops=10

Validation error in %   1 crop: top-1  top-5   10 crops: top-1  top-5
  published                     22.44   6.21             21.08   5.35
  here                              not measured

Source of the published numbers: table 1 of the paper.
"""

from drn_jax import recipes


def get_config():
    """Returns the configuration of this experiment."""
    config = recipes.classification()
    config.model.variant = 'resnet_101'
    return config
