"""DRN-D-38 on Cityscapes.

  python -m drn_jax.main --config=configs/cityscapes_drn_d_38.py \\
      --workdir=runs/cityscapes_drn_d_38 \\
      --config.init_from=runs/drn_d_38 --config.data.manual_dir=DIRECTORY_OF_THE_ZIPS
  python -m drn_jax.evaluate --checkpoint=runs/cityscapes_drn_d_38

Validation mean IoU in %, images as they are
  published  71.4
  here       not measured

Source of the published number: the README of the authors' release.
"""

from drn_jax import recipes


def get_config():
    """Returns the configuration of this experiment."""
    config = recipes.segmentation()
    config.model.variant = 'drn_d_38'
    return config
