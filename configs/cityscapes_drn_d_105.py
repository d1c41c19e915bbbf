"""DRN-D-105 on Cityscapes, by the longer recipe of the release.

  python -m drn_jax.main --config=configs/cityscapes_drn_d_105.py \\
      --workdir=runs/cityscapes_drn_d_105 \\
      --config.init_from=runs/drn_d_105 --config.data.manual_dir=DIRECTORY_OF_THE_ZIPS
  python -m drn_jax.evaluate --checkpoint=runs/cityscapes_drn_d_105

Validation mean IoU in %, images as they are
  published  75.6
  here       not measured

Source of the published number: the README of the authors' release.
"""

from drn_jax import recipes


def get_config():
    """Returns the configuration of this experiment."""
    config = recipes.segmentation()
    config.model.variant = 'drn_d_105'
    config.batch_size = 16
    config.epochs = 500.0
    config.data.crop_px = 840
    config.data.scale = (0.5, 2.0)
    config.data.rotation_degrees = 10
    config.optimizer.base_batch_size = 16
    config.optimizer.schedule = 'poly'
    return config
