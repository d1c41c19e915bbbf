"""DRN-C-26, a quarter as wide, on digits in photographs of 192 pixels: maps of 24 x 24 cells.

  python -m drn_jax.main --config=configs/digit_scenes_192.py --workdir=runs/digit_scenes_192

`benchmarks/comparison.py --config=digit_scenes_192` compares networks by it.
"""

from drn_jax import recipes


def get_config():
    """Returns the configuration of this experiment."""
    return recipes.digit_scenes_192()
