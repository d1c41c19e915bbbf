"""ResNet-18 on ImageNet.

  python -m drn_jax.main --config=configs/resnet_18.py --workdir=runs/resnet_18
  python -m drn_jax.evaluate --checkpoint=runs/resnet_18 --config.evaluation.crops=10

Validation error in %   1 crop: top-1  top-5   10 crops: top-1  top-5
  published                     30.43  10.76             28.22   9.42
  here                              not measured

Source of the published numbers: table 1 of the paper.
"""

from drn_jax import recipes


def get_config():
    """Returns the configuration of this experiment."""
    config = recipes.classification()
    config.model.variant = 'resnet_18'
    return config
