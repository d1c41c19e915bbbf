"""Finds a data set by its name."""

import ml_collections

from drn_jax.data.box_sources import FeatureBoxSource, TableBoxSource
from drn_jax.data.dataset_info import OWN
from drn_jax.data.folders import FolderSource
from drn_jax.data.label_maps import LabelMapSource
from drn_jax.data.places import located
from drn_jax.data.source import Source
from drn_jax.data.tfds_label_maps import CityscapesSource, DigitMapSource
from drn_jax.data.tfds_sources import PreparedSource, is_prepared
from drn_jax.errors import InputError

_PREPARED_MAPS = {
    'cityscapes': CityscapesSource,
    'cityscapes/semantic_segmentation': CityscapesSource,
    'digit_scenes': DigitMapSource,
    'digit_scenes/96': DigitMapSource,
    'digit_scenes/192': DigitMapSource,
}


def open_source(data: ml_collections.ConfigDict, label_kind: str = 'classes') -> Source:
    """Opens the data set that a configuration names, and prepares it where that is possible.

    Args:
        data: `config.data`; read are name and paths. For classes, name is 'folder'
            (data_dir is the folder), 'imagenet2012' or any image classification data set of TFDS,
            with its configuration if it has several (`digit_scenes/192`). For label maps, it is
            'cityscapes', 'digit_scenes' or 'digit_scenes/192', 'camvid', or 'label_maps' (data_dir
            holds info.json, see LabelMapSource).
        label_kind: 'classes', one for each image; 'boxes', one and boxes for each, which the data
            set has itself or `data.boxes` names; or 'maps', one for each pixel.

    Returns:
        A Source.

    Raises:
        InputError: the name is unknown, its data set has no such labels, or its files are missing;
            the message says which and where they come from.
    """
    data = located(data)
    name, places = data.name, {'data_dir': data.data_dir, 'manual_dir': data.manual_dir}
    if label_kind == 'maps':
        if name in OWN:
            return LabelMapSource(data.data_dir, data.prepared_dir, name)
        if data.prepared_dir:
            raise InputError(
                f'config.data.prepared_dir is for {", ".join(OWN)}; {name} is prepared in '
                'config.data.data_dir, give that',
                field='config.data.prepared_dir',
            )
        if name not in _PREPARED_MAPS:
            raise InputError(
                f'data set {name!r} has no label maps; for segmentation give '
                f'config.data.name one of {", ".join([*_PREPARED_MAPS, *OWN])}',
                field='config.data.name',
            )
        return _PREPARED_MAPS[name](name, **places)
    if name in OWN or _PREPARED_MAPS.get(name) is CityscapesSource:
        raise InputError(
            f'data set {name!r} has label maps, not one class for each image; use it '
            "with config.task 'segmentation', or give config.data.name an image "
            'classification data set',
            field='config.data.name',
        )
    if label_kind == 'boxes' and not data.boxes:
        if name == 'folder':
            raise InputError(
                "data set 'folder' has no boxes; give config.data.boxes a CSV file of them",
                field='config.data.boxes',
            )
        return FeatureBoxSource(name, **places)
    source = FolderSource(data.data_dir) if name == 'folder' else PreparedSource(name, **places)
    return TableBoxSource(source, data.boxes) if label_kind == 'boxes' else source


def is_there(data: ml_collections.ConfigDict) -> bool:
    """Returns whether a data set can be opened without preparing it.

    Args:
        data: `config.data`; read are name and data_dir.

    Raises:
        InputError: the name is unknown, or a directory cannot be used.
    """
    data = located(data)
    if data.name in OWN:
        return False  # it may have changed since it was prepared
    if _PREPARED_MAPS.get(data.name) is CityscapesSource:
        return is_prepared('cityscapes/semantic_segmentation', data.data_dir)
    return data.name == 'folder' or is_prepared(data.name, data.data_dir)
