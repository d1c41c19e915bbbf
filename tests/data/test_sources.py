import shutil
import tarfile

import pytest
import tensorflow_datasets as tfds
from data.imagenet_tars import TRAIN, VALIDATION, jpeg, write_imagenet_tars
from support.errors import refused

from drn_jax import recipes
from drn_jax.data import evaluation_batches, open_source, training_batches


@pytest.fixture(scope='module')
def imagenet(tmp_path_factory):
    """The configuration of an ImageNet of two classes that TFDS's own builder has prepared."""
    directory = tmp_path_factory.mktemp('imagenet')
    write_imagenet_tars(directory / 'manual', train_per_class=4, classes=2, validation=5)
    data = recipes.classification().data
    data.data_dir, data.manual_dir = str(directory / 'prepared'), str(directory / 'manual')
    data.image_size, data.resize_px, data.shards = 32, 40, 2
    open_source(data)
    return data


def names(source, split):
    records = source.records(split, 0, source.num_examples(split))
    return [record['name'].decode() for record in records.as_numpy_iterator()]


def test_imagenet_is_prepared_from_its_tars(imagenet):
    source = open_source(imagenet)
    assert source.name == 'imagenet2012' and source.num_classes == 1000
    assert source.class_names[:2] == ('n01440764', 'n01443537')
    assert sorted(names(source, 'train')) == sorted(
        f'{synset}_{number}.JPEG' for synset in source.class_names[:2] for number in range(1, 5)
    )
    assert sorted(names(source, 'validation')) == [
        f'ILSVRC2012_val_{number:08d}.JPEG' for number in range(1, 6)
    ]
    for record in source.records('train', 0, 8).as_numpy_iterator():
        synset, number = record['name'].decode().removesuffix('.JPEG').split('_')
        assert record['label'] == source.class_names.index(synset)
        assert record['image'] == jpeg(1000 * record['label'] + int(number))  # as in the tar


def test_an_imagenet_that_is_not_whole_is_told(imagenet):
    assert open_source(imagenet).remarks == (
        "'train' of imagenet2012 has 8 images, not 1,281,167: it was prepared from an archive that "
        'is not whole',
        "'validation' of imagenet2012 has 5 images, not 50,000: it was prepared from an archive "
        'that is not whole',
    )


# TFDS counts the files of the validation tar, sorted by name, to find their labels.
@pytest.mark.parametrize(
    'change, message',
    [
        (lambda names: names[1:], 'holds 4 files, of which number 1 .* is {2} instead of {1}: '),
        (lambda names: names[:2] + names[3:], 'holds 4 files, of which number 3 .* is {4} instea'),
        (lambda names: [f'val/{name}' for name in names], 'number 1 .* is val/{1} instead of {1}'),
        (lambda names: ['._x.jpg', *names], r'holds 6 files, of which number 1 .* is \._x.jpg ins'),
        (lambda names: [*names[::-1], 'readme.txt'], 'number 6 .* is readme.txt instead of '),
    ],
)
def test_a_validation_tar_that_is_not_whole_is_refused(tmp_path, change, message):
    write_imagenet_tars(tmp_path)
    tar, names = tmp_path / VALIDATION, [f'ILSVRC2012_val_{n:08d}.JPEG' for n in range(1, 6)]
    with tarfile.open(tar, 'w') as archive:
        for name in change(names):
            archive.addfile(tarfile.TarInfo(name))
    data = recipes.classification().data
    data.data_dir, data.manual_dir = f'{tmp_path}/prepared', str(tmp_path)
    with refused(path=tar, match=message.format('', *names)):
        open_source(data)


def test_a_validation_tar_that_is_cut_off_is_refused(tmp_path):
    write_imagenet_tars(tmp_path)
    data, tar = recipes.classification().data, tmp_path / VALIDATION
    data.data_dir, data.manual_dir = f'{tmp_path}/prepared', str(tmp_path)
    tar.write_bytes(tar.read_bytes()[:612])
    with refused(path=tar, match='is cut off or no tar archive .*; download it again$'):
        open_source(data)


def test_imagenet_needs_no_tars_once_it_is_prepared(imagenet):
    data = imagenet.copy_and_resolve_references()
    data.manual_dir = '/nowhere'
    source = open_source(data)
    batch = next(training_batches(source, data, batch_size=8, seed=0))
    assert batch['image'].shape == (8, 32, 32, 3) and batch['mask'].all()
    assert sorted(batch['label'].tolist()) == [0] * 4 + [1] * 4
    batch = next(evaluation_batches(source, data, batch_size=5, crops=10))
    assert batch['image'].shape == (5, 5, 32, 32, 3) and batch['mask'].all()


def test_tars_are_looked_for_where_tfds_does(imagenet, tmp_path):
    data = imagenet.copy_and_resolve_references()
    data.data_dir, data.manual_dir = str(tmp_path), ''
    write_imagenet_tars(tmp_path / 'downloads' / 'manual')
    assert open_source(data).num_examples('train') == 8


def test_records_of_parts_are_those_of_the_whole(imagenet):
    source = open_source(imagenet)
    whole = names(source, 'train') + names(source, 'validation')
    assert names(source, 'train+validation') == whole
    assert names(source, 'train[2:6]+validation[:2]') == whole[2:6] + whole[8:10]
    assert source.num_examples('train[:50%]') == 4
    ranged = source.records('train[2:6]+validation', 3, 6).as_numpy_iterator()
    assert [record['name'].decode() for record in ranged] == [whole[5], whole[8], whole[9]]
    assert not list(source.records('train', 3, 3))


@pytest.mark.parametrize('missing', [TRAIN, VALIDATION])
def test_a_missing_tar_is_named(missing, tmp_path):
    write_imagenet_tars(tmp_path / 'manual')
    (tmp_path / 'manual' / missing).unlink()
    data = recipes.classification().data
    data.data_dir, data.manual_dir = str(tmp_path / 'data'), str(tmp_path / 'manual')
    with refused(
        path=tmp_path / 'manual' / missing,
        match='https://image-net.org .* as config.data.manual_dir',
    ):
        open_source(data)
    assert not (tmp_path / 'data').exists()


def test_a_damaged_tar_is_no_data_set(tmp_path):
    write_imagenet_tars(tmp_path / 'manual')
    (tmp_path / 'manual' / TRAIN).write_bytes(b'not a tar')
    data = recipes.classification().data
    data.data_dir, data.manual_dir = str(tmp_path / 'data'), str(tmp_path / 'manual')
    with refused(path=tmp_path / 'data/imagenet2012/5.1.0', match='cannot be prepared there: '):
        open_source(data)
    write_imagenet_tars(tmp_path / 'manual')
    assert open_source(data).num_examples('validation') == 5  # nothing was left in the way


@pytest.mark.parametrize(
    'name, message',
    [
        (
            'imagenet2013',
            "data set 'imagenet2013' is unknown .did you mean 'imagenet2012' or .*; give "
            "config.data.name 'folder' or the name of an image classification data set of "
            'TFDS, https://www.tensorflow.org/datasets/catalog$',
        ),
        ('digit_scene', "did you mean 'digit_scenes'"),
        ('digit_scenes/97', "data set 'digit_scenes/97' cannot be opened: .*BuilderConfig 97 not"),
        (
            'coco/2017',
            "data set 'coco/2017' is not made of images with one class each .its features "
            'are image, image/filename, image/id, objects.; give config.data.name an image '
            'classification data set$',
        ),
        ('', 'config.data.name is empty; give .folder. or the name of an image'),
    ],
)
def test_unusable_names(name, message, tmp_path):
    data = recipes.classification().data
    data.name, data.data_dir = name, str(tmp_path)
    with refused('config.data.name', match=message):
        open_source(data)


def test_a_misspelt_place_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = recipes.classification().data
    data.name, data.data_dir = 'digit_scenes', 'gs:/bucket'
    with refused('config.data.data_dir', 'gs:/bucket'):
        open_source(data)
    assert not list(tmp_path.iterdir())


def test_a_failing_download_says_why(tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise ConnectionError('no route to host\nand more')

    monkeypatch.setattr(tfds.core.DatasetBuilder, 'download_and_prepare', fail)
    data = recipes.classification().data
    data.name, data.data_dir = 'mnist', str(tmp_path)
    with refused(path=tmp_path / 'mnist/3.0.1', match='there: no route to host and more; where it'):
        open_source(data)


def test_a_data_set_that_another_process_prepared_meanwhile_is_used(imagenet, monkeypatch):
    """The slower one finds the directory in its way, when it renames its own."""
    checks = iter([False, True])
    monkeypatch.setattr(tfds.core.DatasetBuilder, 'is_prepared', lambda builder: next(checks, True))
    monkeypatch.setattr(
        tfds.core.DatasetBuilder,
        'download_and_prepare',
        lambda *args, **kwargs: (_ for _ in ()).throw(OSError('not empty')),
    )
    assert open_source(imagenet).num_examples('train') == 8


def test_a_data_set_without_file_names_gets_tfds_names(digit_scenes_dir):
    data = recipes.digit_scenes().data
    data.data_dir = str(digit_scenes_dir)
    record = next(open_source(data).records('tune', 3, 4).as_numpy_iterator())
    assert record['name'] == b'digit_scenes-tune.tfrecord-00000-of-00001__3'


@pytest.mark.parametrize('damage, cause', [('cut off', 'truncated record'), ('gone', 'No such')])
def test_damaged_files_of_a_prepared_data_set_stop_the_run(imagenet, damage, cause, tmp_path):
    data = imagenet.copy_and_resolve_references()
    data.data_dir = str(shutil.copytree(imagenet.data_dir, tmp_path / 'prepared'))
    source = open_source(data)
    (records,) = tmp_path.rglob('*-train.tfrecord*')
    if damage == 'gone':
        records.unlink()
    else:
        records.write_bytes(records.read_bytes()[:-100])
    with refused('config.data.data_dir', match=rf'{cause}[^{{}}]*; prepare the data set again$'):
        next(training_batches(source, data, batch_size=8, seed=0))


def test_opening_and_reading_is_silent(imagenet, capfd):
    next(training_batches(open_source(imagenet), imagenet, batch_size=8, seed=0))
    assert capfd.readouterr() == ('', '')
