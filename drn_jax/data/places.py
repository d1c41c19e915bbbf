"""Where the files of a data set lie, looked at before TensorFlow is imported."""

import ml_collections

from drn_jax import files, paths


def located(data: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """Returns `config.data` with absolute paths, as `paths.directory` makes them.

    Raises:
        InputError: a path is misspelt, or lies in a storage that cannot be used.
    """
    found = ml_collections.ConfigDict(data.to_dict())
    for name in ('data_dir', 'manual_dir', 'prepared_dir', 'boxes'):
        if place := found.get(name):
            found[name] = str(paths.directory(place, f'config.data.{name}'))
            files.check_reachable(found[name])
    return found
