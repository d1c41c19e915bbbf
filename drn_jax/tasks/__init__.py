"""The problems that a network is trained for or evaluated on."""
from drn_jax.errors import InputError
from drn_jax.tasks import classification, localization, segmentation
from drn_jax.tasks.task import Task

TASKS = {'classification': classification.create, 'localization': localization.create,
         'segmentation': segmentation.create}


def create_task(config, model):
    """Gives the record of the task that `config.task` names.

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
    return TASKS[config.task](config, model)


__all__ = ['TASKS', 'Task', 'create_task']
