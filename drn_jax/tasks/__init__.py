"""The problems that a network is trained for or evaluated on."""

from drn_jax.errors import InputError
from drn_jax.tasks import classification, localization, segmentation
from drn_jax.tasks.task import Task

TASKS = {
    'classification': classification.create,
    'localization': localization.create,
    'segmentation': segmentation.create,
}


def create_task(config, model):
    """Returns the record of the task that `config.task` names.

    Args:
        config: the configuration of the run, as `drn_jax.recipes` declares it.
        model: a network of `drn_jax.create_model`.

    Returns:
        A `Task`.

    Raises:
        InputError: the task is unknown, or a setting of it is out of range.
    """
    if config.task not in TASKS:
        raise InputError(f'config.task {config.task!r} is unknown; known: {", ".join(TASKS)}')
    dense = config.task == 'segmentation'
    if dense != ('crop_px' in config.data):
        made_for = 'classification' if dense else 'segmentation'
        raise InputError(
            f'config.task is {config.task!r}, but the configuration is one for '
            f'{made_for}; use a file of configs/ that is made for the task'
        )
    return TASKS[config.task](config, model)


__all__ = ['TASKS', 'Task', 'create_task']
