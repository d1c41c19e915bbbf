"""ResNet-34 on ImageNet.

  python -m drn_jax.main --config=configs/resnet_34.py --workdir=runs/resnet_34
  python -m drn_jax.evaluate --checkpoint=runs/resnet_34 --config.evaluation.crops=10

Validation error in %   1 crop: top-1  top-5   10 crops: top-1  top-5
  published                     27.73   8.74             24.76   7.35
  here                              not measured

Source of the published numbers: table 1 of the paper.
"""

from drn_jax import recipes


def get_config():
    """Returns the configuration of this experiment."""
    config = recipes.classification()
    config.model.variant = 'resnet_34'
    return config
