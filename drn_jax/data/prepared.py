"""Data sets that TFDS has prepared on disk, or can prepare."""
import contextlib
import difflib
import importlib.resources.abc
import io
import sys

from absl import logging
from etils import epath
import tensorflow as tf
import tensorflow_datasets as tfds

from drn_jax.data.source import Source
from drn_jax.errors import InputError

# TFDS 4.9.10 imports the package importlib_resources without requiring it. What TFDS wants of it
# has been in Python since 3.11.
sys.modules.setdefault('importlib_resources', importlib.resources)

_IMAGENET_TARS = ('ILSVRC2012_img_train.tar', 'ILSVRC2012_img_val.tar')


class PreparedSource(Source):
    """An image classification data set of TFDS, read in the order of its files.

    Where it is not prepared yet, TFDS prepares it first: once, into `data_dir`.

    Args:
        name: of the data set, with its configuration if it has several, such as `digit_scenes/192`.
        data_dir: directory of prepared data sets, local or gs://; '' is TFDS's default.
        manual_dir: directory of archives that TFDS cannot download; '' is TFDS's default.

    Raises:
        InputError: the name is unknown, is no image classification data set, or the data set is
            neither prepared nor can be.
    """

    def __init__(self, name, *, data_dir='', manual_dir=''):
        self.name = name
        with _quiet_tfds():
            builder = _find(name, data_dir)
            self._image, self._label = _image_and_label(name, builder.info)
            if not builder.is_prepared():
                _prepare(name, data_dir, manual_dir)
                builder = _find(name, data_dir)
        self._builder = builder
        self.class_names = tuple(builder.info.features[self._label].names)
        self.splits = builder.info.splits

    def _whole_split_records(self, split, start, stop):
        has_file_name = 'file_name' in self._builder.info.features
        keys = (self._image, self._label) + ('file_name',) * has_file_name
        with _quiet_tfds():
            records = self._builder.as_dataset(
                split=tfds.core.ReadInstruction(split, start, stop),
                decoders=tfds.decode.PartialDecoding(
                    dict.fromkeys(keys, True),
                    decoders={self._image: tfds.decode.SkipDecoding()}),
                read_config=tfds.ReadConfig(
                    interleave_cycle_length=1,  # one file after the other
                    add_tfds_id=not has_file_name,  # not both: it takes as long as reading
                    try_autocache=False, skip_prefetch=True))
        return records.map(lambda record: {
            'image': record[self._image],
            'label': tf.cast(record[self._label], tf.int32),
            'name': record['file_name' if has_file_name else 'tfds_id'],
        })


def _find(name, data_dir):
    """Gives TFDS's builder of a data set."""
    if not name:
        raise InputError("config.data.name is empty; give 'folder' or the name of an image "
                         'classification data set of TFDS')
    try:
        return tfds.builder(name, data_dir=data_dir or None)
    except tfds.core.DatasetNotFoundError as error:
        similar = difflib.get_close_matches(name, ['folder', *tfds.list_builders()])
        hint = f' (did you mean {" or ".join(map(repr, similar))}?)' if similar else ''
        raise InputError(
            f"data set {name!r} is unknown{hint}; give config.data.name 'folder' or the name of an "
            'image classification data set of TFDS, https://www.tensorflow.org/datasets/catalog'
        ) from error
    except Exception as error:  # an unknown configuration, a missing package, a directory's rights
        raise InputError(f'data set {name!r} cannot be opened: {_one_line(error)}') from error


def _image_and_label(name, info):
    """Gives the names of a data set's image and label features."""
    keys = info.supervised_keys or ()
    kinds = [type(info.features[key]) for key in keys if isinstance(key, str)]
    if kinds != [tfds.features.Image, tfds.features.ClassLabel]:
        raise InputError(
            f'data set {name!r} is not made of images with one class each (its features are '
            f'{", ".join(info.features)}); give config.data.name an image classification data set')
    return keys


def _prepare(name, data_dir, manual_dir):
    """Lets TFDS prepare a data set in `data_dir`."""
    builder = _find(name, data_dir)
    if builder.name == 'imagenet2012':
        manual_dir = manual_dir or builder.data_path.parents[1] / 'downloads' / 'manual'
        _check_tars(manual_dir, builder.data_path)
    logging.info('Preparing data set %s in %s, once', name, builder.data_path)
    try:
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(manual_dir=manual_dir or None))
    except Exception as error:  # network, disk, damaged archives
        if not _find(name, data_dir).is_prepared():  # else another process was faster
            raise InputError(f'data set {name!r} is not in {builder.data_path} and cannot be '
                             f'prepared there: {_one_line(error)}') from error


def _check_tars(manual_dir, data_path):
    """Raises InputError where one of ImageNet's tars is missing; TFDS would go on without train."""
    for tar in _IMAGENET_TARS:
        if not (epath.Path(manual_dir) / tar).exists():
            raise InputError(
                f"data set 'imagenet2012' is not in {data_path}, and {tar}, to prepare it from, is "
                f'not in {manual_dir}; download it from https://image-net.org (after '
                'registration) and give its directory as config.data.manual_dir, or give a '
                'directory of prepared data sets as config.data.data_dir')


@contextlib.contextmanager
def _quiet_tfds():
    """Keeps TFDS from printing and warning; progress bars show on a terminal only."""
    tfds.display_progress_bar(sys.stderr.isatty())
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.set_verbosity(verbosity)


def _one_line(error):
    """Gives an exception's message without its line breaks, or its kind where it has none."""
    return ' '.join(str(error).split()) or type(error).__name__
