"""DRN-A-50 on Cityscapes.

  python -m drn_jax.main --config=configs/cityscapes_drn_a_50.py \\
      --workdir=runs/cityscapes_drn_a_50 \\
      --config.init_from=runs/drn_a_50 --config.data.manual_dir=DIRECTORY_OF_THE_ZIPS
  python -m drn_jax.evaluate --checkpoint=runs/cityscapes_drn_a_50

Validation mean IoU in %, images as they are
  published  67.3
  here       not measured

Source of the published number: table 3 of the paper.
"""

from drn_jax import recipes


def get_config():
    """Returns the configuration of this experiment."""
    config = recipes.segmentation()
    config.model.variant = 'drn_a_50'
    return config
