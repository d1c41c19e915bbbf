"""The table of what algorithms cost on a TPU."""

import tpu_convolutions


def test_the_cheapest_of_each_level_is_named():
    assert tpu_convolutions.table(
        {
            'native': {'level5': 12.5, 'level6': 51.37, 'whole step': 161.1},
            'phase': {'level5': 15.82, 'level6': 51.15, 'whole step': 174.4},
        }
    ) == '\n'.join(
        [
            'level               native     phase  cheapest',
            'level5               12.50     15.82  native',
            'level6               51.37     51.15  phase',
            'whole step          161.10    174.40  native',
        ]
    )
