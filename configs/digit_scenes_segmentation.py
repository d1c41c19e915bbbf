"""DRN-C-26, a quarter as wide, finds the pixels of each digit: background and ten digits.

  python -m drn_jax.main --config=configs/digit_scenes_segmentation.py \\
      --workdir=runs/digit_scenes_segmentation --config.init_from=runs/digit_scenes

Without --config.init_from, which names the classifier that launch/local.sh trains, it starts from
scratch.
"""

from drn_jax import recipes


def get_config():
    """Returns the configuration of this experiment."""
    return recipes.digit_scenes_segmentation()
