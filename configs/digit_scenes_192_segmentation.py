"""DRN-C-26, a quarter as wide, finds the pixels of each digit in photographs of 192 pixels.

  python -m drn_jax.main --config=configs/digit_scenes_192_segmentation.py \\
      --workdir=runs/digit_scenes_192_segmentation --config.init_from=runs/digit_scenes_192
"""

from drn_jax import recipes


def get_config():
    """Returns the configuration of this experiment."""
    return recipes.digit_scenes_192_segmentation()
