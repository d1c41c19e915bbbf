"""Flags `--config.field=value` laid over a configuration, with the types of its fields."""

import ast
import re
from collections.abc import Sequence
from typing import Any

import ml_collections
from absl import flags
from ml_collections import config_flags

from drn_jax import fields
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
    values, argv = flags.FlagValues(), ['']
    for word in overrides:
        if argv[-1].startswith('-') and '=' not in argv[-1] and not word.startswith('-'):
            word = f'{argv.pop()}={word}'
        if word.startswith('-'):
            word = _with_tuple(word, config)
        argv.append(word)
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


def _with_tuple(flag: str, config: ml_collections.ConfigDict) -> str:
    """Returns a flag, of a field that is a tuple with the value as Python writes it.

    Raises:
        InputError: there is no such field.
    """
    start, equals, text = flag.partition('=')
    name = start.partition('config.')[2]
    field = _check_field(name, config)
    if not equals or not isinstance(field, tuple):
        return flag
    try:
        value = fields.tuples(ast.literal_eval(text))
    except (ValueError, SyntaxError):  # words without quotes
        value = tuple(word.strip(' \'"') for word in text.strip(' ()[]').split(',') if word.strip())
    value = value if isinstance(value, tuple) else (value,)
    return f'{start}={tuple(map(str, value)) if fields.is_of_names(name) else value!r}'


def _check_field(name: str, config: Any) -> Any:
    """Returns the value of a field, and refuses a name that is none, saying what there is."""
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
    return config
