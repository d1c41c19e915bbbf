"""DRN-C-26, a quarter as wide, on digits in photographs: the embedded default, no download.

launch/local.sh
python -m drn_jax.main --config=configs/digit_scenes.py --workdir=runs/digit_scenes
"""

from drn_jax import recipes


def get_config():
    """Returns the configuration of this experiment."""
    return recipes.digit_scenes()
