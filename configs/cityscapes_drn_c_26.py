"""DRN-C-26 on Cityscapes.

  python -m drn_jax.main --config=configs/cityscapes_drn_c_26.py \\
      --workdir=runs/cityscapes_drn_c_26 \\
      --config.init_from=runs/drn_c_26 --config.data.manual_dir=DIRECTORY_OF_THE_ZIPS
  python -m drn_jax.evaluate --checkpoint=runs/cityscapes_drn_c_26

Validation mean IoU in %, images as they are
  published  68.0
  here       not measured

Source of the published number: table 3 of the paper.
"""

from drn_jax import recipes


def get_config():
    """Returns the configuration of this experiment."""
    config = recipes.segmentation()
    config.model.variant = 'drn_c_26'
    return config
