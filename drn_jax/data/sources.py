"""Finds a data set by its name."""
from drn_jax.data import digit_scenes  # noqa: F401  (importing it registers it with TFDS)
from drn_jax.data.folders import FolderSource
from drn_jax.data.prepared import PreparedSource


def open_source(data):
    """Opens the data set that a configuration names, and prepares it where that is possible.

    Args:
        data: `config.data`; read are name, data_dir and manual_dir. name is 'folder' (data_dir is
            the folder), 'imagenet2012' or any image classification data set of TFDS, with its
            configuration if it has several (`digit_scenes/192`).

    Returns:
        A Source.

    Raises:
        InputError: the name is unknown, is no image classification data set, or its files are
            missing; the message says which and where they come from.
    """
    if data.name == 'folder':
        return FolderSource(data.data_dir)
    return PreparedSource(data.name, data_dir=data.data_dir, manual_dir=data.manual_dir)
