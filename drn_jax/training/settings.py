"""Ranges of the configuration's fields, checked before anything is opened or compiled."""

import math

from drn_jax.errors import InputError

INFINITY = math.inf

# Smallest and largest number, both allowed; what lies above 0 is bounded by the least float.
_ABOVE_0 = math.ulp(0.0)
_RANGES = {
    'batch_size': (1, INFINITY),
    'epochs': (0, 1e9),
    'steps': (0, INFINITY),
    'log_every_steps': (1, INFINITY),
    'watchdog_seconds': (0, 1e9),
    'model.batch_norm_group_size': (0, INFINITY),
    'data.image_size': (1, INFINITY),
    'data.resize_px': (1, INFINITY),
    'data.crop_area': (_ABOVE_0, 1),
    'data.crop_ratio': (_ABOVE_0, 1e9),
    'data.mean': (-1e9, 1e9),
    'data.std': (_ABOVE_0, 1e9),
    'data.shards': (1, INFINITY),
    'data.shuffle_buffer': (1, INFINITY),
    'data.crop_px': (1, INFINITY),
    'data.scale': (_ABOVE_0, 100),
    'data.rotation_degrees': (0, 180),
    'data.evaluation_size': (0, INFINITY),
    'data.max_unreadable_fraction': (0, 1),
    'data.threads': (0, INFINITY),
    'augmentation.color_jitter': (0, 1e9),
    'augmentation.lighting': (0, 1e9),
    'optimizer.learning_rate': (0, 1e30),
    'optimizer.base_batch_size': (1, INFINITY),
    'optimizer.momentum': (0, 1),
    'optimizer.weight_decay': (0, 1e9),
    'optimizer.backbone_lr_scale': (0, 1e9),
    'optimizer.warmup_epochs': (0, 1e9),
    'optimizer.decay_epochs': (0, 1e9),
    'optimizer.decay_factor': (0, 1e9),
    'optimizer.poly_power': (0, 1e9),
    'optimizer.max_consecutive_nonfinite': (0, 1e9),
    'evaluation.every_epochs': (_ABOVE_0, 1e9),
    'evaluation.batch_size': (0, INFINITY),
    'evaluation.scales': (_ABOVE_0, 100),
    'evaluation.tile_px': (0, INFINITY),
    'loss.class_weights': (0, 1e9),
    'checkpoint.every_steps': (0, INFINITY),
    'checkpoint.keep_last': (2, INFINITY),
    'checkpoint.keep_best': (0, INFINITY),
}
_LENGTHS = {
    'data.mean': 3,
    'data.std': 3,
    'data.crop_area': 2,
    'data.crop_ratio': 2,
    'data.scale': 2,
    'data.evaluation_size': 2,
    'augmentation.color_jitter': 2,
}
_RISING = ('data.crop_area', 'data.crop_ratio', 'data.scale', 'augmentation.color_jitter')
_CHOICES = {'checkpoint.best_is': ('lowest', 'highest')}


def check_settings(config):
    """Refuses numbers that are out of range, and words that are unknown.

    Args:
        config: the configuration of a run.

    Raises:
        InputError: a field is; its name, its value and what is allowed are given.

    Example:
        >>> from drn_jax import recipes
        >>> config = recipes.classification()
        >>> config.data.shards = 0
        >>> check_settings(config)
        Traceback (most recent call last):
        ...
        drn_jax.errors.InputError: config.data.shards is 0; it must be at least 1
    """
    for name, (least, largest) in _RANGES.items():
        value = _field(config, name)
        if value is None:  # of another task
            continue
        numbers = value if isinstance(value, tuple) else (value,)
        if len(numbers) != _LENGTHS.get(name, len(numbers)):
            raise InputError(f'config.{name} is {value}; it has {_LENGTHS[name]} numbers')
        if not all(isinstance(number, (int, float)) for number in numbers):
            raise InputError(f'config.{name} is {value}; give numbers')
        if not all(least <= number <= largest for number in numbers):  # false for nan
            raise InputError(f'config.{name} is {value}; {_allowed(least, largest)}')
        if name in _RISING and numbers[0] > numbers[1]:
            raise InputError(f'config.{name} is {value}; give the smaller number first')
    size = _field(config, 'data.evaluation_size') or (0, 0)
    if any(size) != all(size):
        raise InputError(
            f'config.data.evaluation_size is {size}; give a height and a width in '
            'pixels, or (0, 0) for the images as they are'
        )
    for name, known in _CHOICES.items():
        if _field(config, name) not in known:
            raise InputError(
                f'config.{name} {_field(config, name)!r} is unknown; known: {", ".join(known)}'
            )
    if config.batch_size % config.data.shards:
        raise InputError(
            f'config.batch_size {config.batch_size} does not divide by '
            f'config.data.shards {config.data.shards}; use a multiple of it'
        )
    group = config.model.batch_norm_group_size
    if group and config.batch_size % group:
        raise InputError(
            f'config.batch_size {config.batch_size} does not divide into groups of '
            f'config.model.batch_norm_group_size {group}; use a divisor of it'
        )


def _field(config, name):
    for part in name.split('.'):
        config = config.get(part) if config is not None else None
    return config


def _allowed(least, largest):
    lower = 'it must be above 0' if least == _ABOVE_0 else f'it must be at least {least:g}'
    return lower if largest == INFINITY else f'{lower} and at most {largest:g}'
