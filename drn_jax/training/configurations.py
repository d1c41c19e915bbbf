"""Configurations of runs: reading, writing and comparing them."""

import json

import ml_collections
from etils import epath

from drn_jax.errors import InputError
from drn_jax.models import networks

# Settings that do not change what a step computes; a run may go on with other values of them.
# One that ends in a dot covers all fields below it.
HARMLESS = (
    'epochs',
    'steps',
    'log_every_steps',
    'watchdog_seconds',
    'model.rematerialize',
    'model.convolution',
    'data.data_dir',
    'data.manual_dir',
    'data.validation_split',
    'data.threads',
    'data.max_unreadable_fraction',
    'data.palette',
    'data.evaluation_size',
    'evaluation.',
    'checkpoint.',
    'mesh.',
)


def check_same_run(workdir, stored, config):
    """Refuses to go on with a run under settings that change its results.

    Args:
        workdir: directory of the run, named in the error.
        stored: configuration in its newest checkpoint.
        config: the configuration to go on with.

    Raises:
        InputError: they differ in more than what is harmless; the differences are listed.
    """
    found = differences(stored, config)
    if found:
        raise InputError(
            f'{workdir} holds a run with other settings: {"; ".join(found)}; '
            'give the old settings to go on, or another --workdir'
        )


def check_same_network(stored, config):
    """Refuses changes that make another network than a checkpoint holds; its dtype may change.

    Args:
        stored: configuration in the checkpoint.
        config: the configuration to use it with.

    Raises:
        InputError: `task` or a field of `model` differs; the differences are listed.
    """
    found = [
        f'model.{difference}'
        for difference in differences(stored.model, config.model)
        if not difference.startswith(('dtype ', 'rematerialize ', 'convolution '))
    ]
    if stored.task != config.task:
        found.append(f'task was {stored.task!r} and is now {config.task!r}')
    if found:
        raise InputError(f'the network of a checkpoint cannot be changed: {"; ".join(found)}')


def differences(old, new):
    """Lists the settings that change results and differ between two configurations.

    Example:
        >>> from drn_jax import recipes
        >>> old, new = recipes.classification(), recipes.classification()
        >>> new.seed, new.epochs = 1, 240.
        >>> differences(old, new)
        ['seed was 0 and is now 1']
    """
    old, new = flatten(old), flatten(new)
    return [
        f'{name} was {old.get(name)!r} and is now {new.get(name)!r}'
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name) and not _is_harmless(name)
    ]


def flatten(config, prefix=''):
    """Returns a configuration as one dict of dotted names.

    Example:
        >>> flatten(ml_collections.ConfigDict({'model': {'width': 1.}, 'seed': 0}))
        {'model.width': 1.0, 'seed': 0}
    """
    flat = {}
    for name, value in config.items():
        if isinstance(value, ml_collections.ConfigDict):
            flat |= flatten(value, f'{prefix}{name}.')
        else:
            flat[prefix + name] = value
    return flat


def from_dict(fields):
    """Makes a configuration of nested dicts; lists become tuples, as in `drn_jax.recipes`."""
    return ml_collections.ConfigDict(
        {
            name: from_dict(value) if isinstance(value, dict) else _tuples(value)
            for name, value in fields.items()
        }
    )


def _tuples(value):
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def write_json(path, content):
    """Writes a JSON file so that there is never half of one."""
    path = epath.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.parent / (path.name + '.partial')
    partial.write_text(json.dumps(content, indent=2) + '\n')
    partial.replace(path)


def settle_classes(config, source, *, trained=False):
    """Sets `model.num_classes` and `data.class_names` to those of the data set.

    For segmentation also `data.palette`, and mean and deviation where the data set brings its own.

    Args:
        config: the configuration.
        source: the data set.
        trained: whether the network is trained already; then mean and deviation stay those that it
            was trained with.

    Raises:
        InputError: the network has other classes than the data set.
    """
    classes = config.model.num_classes or source.num_classes
    if classes != source.num_classes:
        raise InputError(
            f'the network has {classes} classes, but {config.data.name} has '
            f'{source.num_classes}; use data with {classes} classes'
        )
    config.model.num_classes = classes
    config.data.class_names = tuple(source.class_names)
    if source.label_kind == 'maps':
        config.data.palette = tuple(map(tuple, source.palette))
        if source.mean_std and not trained:
            config.data.mean, config.data.std = source.mean_std


def model_of(config):
    """Makes the network that a configuration describes.

    Raises:
        InputError: a setting of `config.model` cannot be used.
    """
    settings = config.model
    return networks.create_model(
        settings.variant,
        num_classes=settings.num_classes,
        width=settings.width,
        task=config.task if config.task in networks.TASKS else 'classification',
        dtype=settings.dtype,
        first_block=settings.first_block,
        rematerialize=settings.rematerialize,
        convolution=settings.convolution,
    )


def _is_harmless(name):
    return any(
        name == field or field.endswith('.') and name.startswith(field) for field in HARMLESS
    )
