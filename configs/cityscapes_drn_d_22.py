"""DRN-D-22 on Cityscapes.

  python -m drn_jax.main --config=configs/cityscapes_drn_d_22.py \\
      --workdir=runs/cityscapes_drn_d_22 \\
      --config.init_from=runs/drn_d_22 --config.data.manual_dir=DIRECTORY_OF_THE_ZIPS
  python -m drn_jax.evaluate --checkpoint=runs/cityscapes_drn_d_22

Validation mean IoU in %, images as they are
  published  68.0
  here       not measured

Source of the published number: the README of the authors' release.
"""

from drn_jax import recipes


def get_config():
    """Returns the configuration of this experiment."""
    config = recipes.segmentation()
    config.model.variant = 'drn_d_22'
    return config
