"""Flags `--config.field=value` laid over a configuration, with the types of its fields."""

import re
from collections.abc import Sequence
from typing import Any

import ml_collections
from absl import flags
from ml_collections import config_flags

from drn_jax.errors import InputError, one_line


def override(
    config: ml_collections.ConfigDict, overrides: Sequence[str]
) -> ml_collections.ConfigDict:
    """Lays flags `--config.field=value` over a configuration.

    Args:
        config: the configuration; it is changed.
        overrides: the flags.

    Returns:
        The configuration.

    Raises:
        InputError: there is no such field, or a value has the wrong type.

    Example:
        >>> from drn_jax import recipes
        >>> override(recipes.classification(), ['--config.batch_size=512']).batch_size
        512
    """
    for flag in (word for word in overrides if word.startswith('-')):
        _check_field(flag.partition('=')[0].partition('config.')[2], config)
    values, argv = flags.FlagValues(), ['', *overrides]
    try:
        holder = config_flags.DEFINE_config_dict(
            'config', config, flag_values=values, sys_argv=argv
        )
        rest = values(argv)[1:]
    except (flags.Error, TypeError, ValueError) as error:
        named = re.findall(r'config\.[\w.]+', str(error))
        raise InputError(one_line(error), field=(*named, '')[0]) from error
    if rest:
        raise InputError(f'{" ".join(rest)} is not understood; flags have the form --name=value')
    return holder.value


def _check_field(name: str, config: Any) -> None:
    """Refuses a dotted name that is no field of a configuration, saying what there is."""
    parent = 'config'
    for part in name.split('.') if name else ():
        known = list(config) if isinstance(config, ml_collections.ConfigDict) else []
        if part not in known:
            raise InputError(
                f'{parent} has no field {part!r}; it has '
                f'{", ".join(known) or "none"}, --help_fields explains all',
                field=f'{parent}.{part}',
            )
        config, parent = config[part], f'{parent}.{part}'
