"""Data sets that TFDS has prepared on disk, or can prepare."""

import contextlib
import difflib
import importlib.resources.abc
import io
import sys
import tarfile

import tensorflow_datasets as tfds
from absl import logging
from etils import epath

from drn_jax.data import digit_scenes  # noqa: F401  (importing it registers it with TFDS)
from drn_jax.data.cpu_tensorflow import tf
from drn_jax.data.source import Source
from drn_jax.errors import InputError, one_line

# TFDS 4.9.10 imports the package importlib_resources without requiring it. What TFDS wants of it
# has been in Python since 3.11.
sys.modules.setdefault('importlib_resources', importlib.resources)

# Archives that TFDS cannot download: what each holds all of, and where they come from.
_ARCHIVES = {
    'imagenet2012': (
        ('ILSVRC2012_img_train.tar', 'ILSVRC2012_img_val.tar'),
        'https://image-net.org',
    ),
    'cityscapes': (
        ('leftImg8bit_trainvaltest.zip', 'gtFine_trainvaltest.zip'),
        'https://www.cityscapes-dataset.com',
    ),
}


_IMAGENET_SIZES = {'train': 1_281_167, 'validation': 50_000}


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

    _prepared_in = 'data_dir'

    def __init__(self, name: str, *, data_dir: str = '', manual_dir: str = ''):
        self.name = name
        with _quiet_tfds():
            builder = self._open(data_dir)
            self._features = self._choose_features(builder.info)
            if not builder.is_prepared():
                self._prepare(data_dir, manual_dir)
                builder = self._open(data_dir)
        self._builder = builder
        self.splits = builder.info.splits
        self.remarks = (*self.remarks, *_unusual_sizes(builder))
        self._describe(builder.info)

    def _open(self, data_dir):
        """Returns TFDS's builder."""
        return find_builder(self.name, data_dir)

    def _choose_features(self, info):
        """Returns the data set's features by what they are here: image, label, perhaps more."""
        image, label = _image_and_label(self.name, info)
        named = {'name': 'file_name'} if 'file_name' in info.features else {}
        return {'image': image, 'label': label, **named}

    def _describe(self, info):
        """Sets the attributes that the builder's information gives."""
        self.class_names = tuple(info.features[self._features['label']].names)

    def _whole_split_records(self, split, start, stop):
        features = self._features
        images = [
            feature
            for feature in features.values()
            if isinstance(self._builder.info.features[feature], tfds.features.Image)
        ]
        with _quiet_tfds():
            records = self._builder.as_dataset(
                split=tfds.core.ReadInstruction(split, start, stop),
                decoders=tfds.decode.PartialDecoding(
                    dict.fromkeys(features.values(), True),
                    decoders=dict.fromkeys(images, tfds.decode.SkipDecoding()),
                ),
                read_config=tfds.ReadConfig(
                    interleave_cycle_length=1,  # one file after the other
                    add_tfds_id='name' not in features,  # not both: it takes as long as reading
                    try_autocache=False,
                    skip_prefetch=True,
                ),
            )
        given = {'name': 'tfds_id', **features}
        return records.map(
            lambda record: self._record({key: record[feature] for key, feature in given.items()})
        )

    def _record(self, record):
        """Returns a record as `records` does, of the chosen features."""
        return {**record, 'label': tf.cast(record['label'], tf.int32)}

    def _prepare(self, data_dir, manual_dir):
        """Lets TFDS prepare the data set in `data_dir`."""
        builder = self._open(data_dir)
        places = {'manual_dir': manual_dir or None}
        if builder.name in _ARCHIVES:
            places = _archive_places(builder, manual_dir)
        logging.info('Preparing data set %s in %s, once', self.name, builder.data_path)
        try:
            builder.download_and_prepare(download_config=tfds.download.DownloadConfig(**places))
        except Exception as error:  # network, disk, damaged archives
            if not self._open(data_dir).is_prepared():  # else another process was faster
                raise InputError(
                    f'data set {self.name!r} is not in {builder.data_path} and cannot be '
                    f'prepared there: {one_line(error)}; where it cannot be written, give another '
                    f'directory as config.data.{self._prepared_in}',
                    path=builder.data_path,
                ) from error


def _unusual_sizes(builder):
    """Says which splits of ImageNet have other numbers of images than ImageNet, tuple of str."""
    if builder.name != 'imagenet2012':
        return ()
    sizes = {split: builder.info.splits[split].num_examples for split in builder.info.splits}
    return tuple(
        f'{split!r} of imagenet2012 has {sizes[split]:,} images, not {size:,}: it was prepared '
        'from an archive that is not whole'
        for split, size in _IMAGENET_SIZES.items()
        if sizes.get(split, size) != size
    )


def _check_validation_tar(path):
    """Refuses a tar of ImageNet's validation images to which TFDS would give wrong labels.

    TFDS takes the files in the order of their names and counts: the i-th gets the i-th label.
    """
    try:
        with path.open('rb') as file, tarfile.open(fileobj=file, mode='r:') as archive:
            names = sorted(archive.getnames())
    except (OSError, tarfile.TarError) as error:
        raise InputError(
            f'{path} is cut off or no tar archive ({one_line(error)}); download it again', path=path
        ) from error
    for rank, name in enumerate(names, 1):
        if name != (wanted := f'ILSVRC2012_val_{rank:08d}.JPEG'):
            raise InputError(
                f'{path} holds {len(names):,} files, of which number {rank} in the order of names '
                f'is {name} instead of {wanted}: TFDS counts them to find their labels, which '
                'would be wrong; download it again, or pack its 50,000 images without folders',
                path=path,
            )


def find_builder(name: str, data_dir: str) -> tfds.core.DatasetBuilder:
    """Returns TFDS's builder of a data set.

    Raises:
        InputError: there is none of that name, or its directory cannot be read.
    """
    if not name:
        raise InputError(
            "config.data.name is empty; give 'folder' or the name of an image "
            'classification data set of TFDS',
            field='config.data.name',
        )
    try:
        return tfds.builder(name, data_dir=data_dir or None)
    except tfds.core.DatasetNotFoundError as error:
        similar = difflib.get_close_matches(name, ['folder', *tfds.list_builders()])
        hint = f' (did you mean {" or ".join(map(repr, similar))}?)' if similar else ''
        raise InputError(
            f"data set {name!r} is unknown{hint}; give config.data.name 'folder' or the name of an "
            'image classification data set of TFDS, https://www.tensorflow.org/datasets/catalog',
            field='config.data.name',
        ) from error
    except Exception as error:  # an unknown configuration, a missing package, a directory's rights
        raise InputError(
            f'data set {name!r} cannot be opened: {one_line(error)}', field='config.data.name'
        ) from error


def is_prepared(name: str, data_dir: str) -> bool:
    """Returns whether a data set of TFDS is prepared; InputError where none has that name."""
    with _quiet_tfds():
        return find_builder(name, data_dir).is_prepared()


def _image_and_label(name, info):
    """Returns the names of a data set's image and label features."""
    keys = info.supervised_keys or ()
    kinds = [type(info.features[key]) for key in keys if isinstance(key, str)]
    if kinds != [tfds.features.Image, tfds.features.ClassLabel]:
        raise InputError(
            f'data set {name!r} is not made of images with one class each (its features are '
            f'{", ".join(info.features)}); give config.data.name an image classification data set',
            field='config.data.name',
        )
    return keys


def _archive_places(builder, manual_dir):
    """Returns where a data set's archives lie, and where to extract them; checks that they exist.

    TFDS would go on without ImageNet's training images.
    """
    root = builder.data_path.parents[len(epath.Path(builder.info.full_name).parts) - 1]
    manual_dir = epath.Path(manual_dir or root / 'downloads' / 'manual')
    archives, website = _ARCHIVES[builder.name]
    for archive in archives:
        if not (manual_dir / archive).exists():
            raise InputError(
                f'data set {builder.name!r} is not in {builder.data_path}, and {archive}, to '
                f'prepare it from, is not in {manual_dir}; download it from {website} (after '
                'registration) and give its directory as config.data.manual_dir, or give a '
                'directory of prepared data sets as config.data.data_dir',
                path=manual_dir / archive,
            )
    if builder.name == 'imagenet2012':
        _check_validation_tar(manual_dir / archives[1])
    # TFDS would take what it extracted earlier of an archive of this name, even if it was another.
    stats = [(manual_dir / archive).stat() for archive in archives]
    state = '_'.join(f'{stat.length}_{stat.mtime}' for stat in stats)
    return {'manual_dir': manual_dir, 'extract_dir': root / 'downloads' / 'extracted' / state}


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
