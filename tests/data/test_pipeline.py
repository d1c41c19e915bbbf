"""The stream of training batches and padded evaluation: order, resuming, blocks, bad images."""
import itertools
import zlib

import numpy as np
import pytest
import tensorflow as tf

from data.imagenet_tars import jpeg
from drn_jax import recipes
from drn_jax.data import evaluation_batches, open_source, training_batches
from drn_jax.errors import InputError

COUNT, STREAMS, BATCH = 42, 4, 8
BOUNDS = [0, 10, 21, 31, 42]  # of the slices: 42 records do not divide by 4


@pytest.fixture
def data(digit_scenes_dir):
    """Whole images, so that pixels tell which image a row holds, in four slices."""
    data = recipes.digit_scenes().data
    data.update(data_dir=str(digit_scenes_dir), train_split=f'train[:{COUNT}]',
                validation_split='tune[:23]', streams=STREAMS)
    return data


@pytest.fixture
def cropped(data):
    """Crops of 32 pixels instead."""
    data.update(crop=True, image_size=32, resize_px=40)
    return data


@pytest.fixture(scope='module')
def source(digit_scenes_dir):
    data = recipes.digit_scenes().data
    data.data_dir = str(digit_scenes_dir)
    return open_source(data)


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
    """Two folders of twelve images of the same names; in one of them two cannot be read."""
    good, bad = tmp_path_factory.mktemp('good'), tmp_path_factory.mktemp('bad')
    for split, kind, number in itertools.product(('train', 'validation'), ('cat', 'dog'), range(6)):
        content = jpeg(number + 10 * len(split) + 100 * (kind == 'dog'))
        broken = {('cat', 3): content[:400], ('dog', 1): b'no image'}
        for root, written in ((good, content), (bad, broken.get((kind, number), content))):
            path = root / split / kind / f'{number}.jpg'
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(written)
    return good, bad


def open_folder(root, **changes):
    data = recipes.digit_scenes().data
    data.update(name='folder', data_dir=str(root), image_size=32, streams=2,
                max_unreadable_share=.2)
    data.update(changes)
    return open_source(data), data


def take(batches, count):
    return list(itertools.islice(batches, count))


def crcs(images):
    return [zlib.crc32(image.tobytes()) for image in images]


def pixels_in_order(source, split):
    """The checksums of a split's images, in the order of its records."""
    records = source.records(split, 0, source.num_examples(split))
    return crcs([tf.io.decode_image(record['image']).numpy() for record in records])


def assert_equal(batches, others):
    assert len(batches) == len(others)
    for batch, other in zip(batches, others):
        assert batch.keys() == other.keys()
        for key in batch:
            np.testing.assert_array_equal(batch[key], other[key], err_msg=key)


def concatenate(batches):
    return {key: np.concatenate([batch[key] for batch in batches]) for key in batches[0]}


def test_a_training_batch_is_raw_pixels_labels_mask_and_index(source, data):
    batch, = take(training_batches(source, data, batch_size=BATCH, seed=0), 1)
    assert {key: (value.shape, value.dtype.name) for key, value in batch.items()} == {
        'image': ((8, 96, 96, 3), 'uint8'), 'label': ((8,), 'int32'), 'mask': ((8,), 'bool'),
        'index': ((8,), 'uint32')}
    assert batch['mask'].all() and batch['image'].max() > 100


def test_without_shuffling_the_first_batches_are_the_first_records_of_each_slice(source, data):
    data.shuffle_buffer = STREAMS  # one image for each slice
    batches = take(training_batches(source, data, batch_size=BATCH, seed=0), 2)
    pixels = pixels_in_order(source, data.train_split)
    labels = [int(record['label']) for record in source.records(data.train_split, 0, COUNT)]
    first, second = [0, 1, 10, 11, 21, 22, 31, 32], [2, 3, 12, 13, 23, 24, 33, 34]
    for batch, order in zip(batches, (first, second)):
        assert crcs(batch['image']) == [pixels[position] for position in order]
        assert batch['label'].tolist() == [labels[position] for position in order]


def test_index_counts_the_rows_of_the_endless_stream(source, data):
    batches = take(training_batches(source, data, batch_size=BATCH, seed=0), 7)
    assert concatenate(batches)['index'].tolist() == list(range(56))
    batch, = take(training_batches(
        source, data, batch_size=BATCH, seed=0, first_step=5, rows=(2, 6)), 1)
    assert batch['index'].tolist() == [42, 43, 44, 45]


def test_every_epoch_of_every_slice_is_a_permutation_of_it(source, data):
    pixels = pixels_in_order(source, data.train_split)
    assert len(set(pixels)) == COUNT
    batches = take(training_batches(source, data, batch_size=BATCH, seed=0), 17)
    block = BATCH // STREAMS
    orders = []
    for number, (start, stop) in enumerate(itertools.pairwise(BOUNDS)):
        rows = slice(number * block, (number + 1) * block)
        stream = [crc for batch in batches for crc in crcs(batch['image'][rows])]
        for epoch in range(3):
            order = stream[epoch * (stop - start):(epoch + 1) * (stop - start)]
            assert sorted(order) == sorted(pixels[start:stop])
            orders.append(tuple(pixels[start:stop].index(crc) for crc in order))
    assert len(set(orders)) == len(orders) == 12  # no two slices or epochs alike


def test_labels_stay_with_their_images(source, data):
    labels = [int(record['label']) for record in source.records(data.train_split, 0, COUNT)]
    expected = dict(zip(pixels_in_order(source, data.train_split), labels))
    rows = concatenate(take(training_batches(source, data, batch_size=BATCH, seed=3), 6))
    assert [expected[crc] for crc in crcs(rows['image'])] == rows['label'].tolist()


# Slices of 10 and 11 images begin anew in steps 5 and 10, some in the middle of a block.
@pytest.mark.parametrize('first_step', [1, 4, 5, 6, 11])
def test_starting_at_a_step_continues_the_stream(source, cropped, first_step):
    whole = take(training_batches(source, cropped, batch_size=BATCH, seed=1), first_step + 6)
    later = training_batches(source, cropped, batch_size=BATCH, seed=1, first_step=first_step)
    assert_equal(take(later, 6), whole[first_step:])


@pytest.mark.parametrize('cuts', [(0, 4, 8), (0, 2, 4, 6, 8), (0, 6, 8)])
def test_processes_rows_make_up_the_global_batch(source, cropped, cuts):
    def read(rows):
        return take(training_batches(
            source, cropped, batch_size=BATCH, seed=1, first_step=3, rows=rows), 4)

    parts = [read(rows) for rows in itertools.pairwise(cuts)]
    assert_equal([concatenate(part) for part in zip(*parts)], read(None))


def test_threads_and_repetition_change_nothing(source, cropped):
    def read():
        return take(training_batches(source, cropped, batch_size=BATCH, seed=1), 6)

    runs = []
    for cropped.threads in (0, 0, 1, 3):
        runs.append(read())
    for run in runs[1:]:
        assert_equal(run, runs[0])


def test_the_seed_gives_order_and_crops(source, data, cropped):
    def read(seed):
        return concatenate(take(training_batches(source, data, batch_size=BATCH, seed=seed), 5))

    cropped.crop = False
    one, other = read(0), read(1)
    assert crcs(one['image']) != crcs(other['image'])
    cropped.update(crop=True, train_split='train[:1]', streams=1)
    images = [read(0)['image'], read(1)['image']]  # the same image again and again
    assert len(set(crcs(np.concatenate(images)))) > 70


def test_the_number_of_slices_changes_only_the_order(source, data):
    def read(streams):
        data.update(streams=streams, train_split='train[:40]')
        return crcs(concatenate(
            take(training_batches(source, data, batch_size=BATCH, seed=0), 5))['image'])

    four, two = read(4), read(2)
    assert four != two and sorted(four) == sorted(two)


@pytest.mark.parametrize('processes', [1, 2, 3])
def test_evaluation_gives_every_image_once_on_any_number_of_processes(source, data, processes):
    parts = [list(evaluation_batches(source, data, batch_size=6, process=(number, processes)))
             for number in range(processes)]
    largest = -(-23 // processes)
    assert {len(part) for part in parts} == {-(-largest // (6 // processes))}
    rows = concatenate([batch for part in parts for batch in part])
    assert {len(batch['mask']) for part in parts for batch in part} == {6 // processes}
    real = rows['mask']
    assert rows['index'][real].tolist() == list(range(23))
    assert crcs(rows['image'][real]) == pixels_in_order(source, 'tune[:23]')
    for key in ('image', 'label', 'index'):
        assert not rows[key][~real].any()
    labels = [int(record['label']) for record in source.records('tune[:23]', 0, 23)]
    assert rows['label'][real].tolist() == labels


def test_a_process_without_images_gives_padding(source, data):
    parts = [list(evaluation_batches(source, data, batch_size=6, process=(number, 3),
                                     split='tune[:2]')) for number in range(3)]
    assert [[batch['mask'].tolist() for batch in part] for part in parts] == [
        [[False, False]], [[True, False]], [[True, False]]]


def test_an_evaluation_batch_of_one_crop_and_of_ten(source, cropped):
    one, = evaluation_batches(source, cropped, batch_size=4, split='tune[:3]')
    ten, = evaluation_batches(source, cropped, batch_size=4, crops=10, split='tune[:3]')
    assert one['image'].shape == (4, 32, 32, 3) and one['image'].dtype == np.uint8
    assert ten['image'].shape == (4, 5, 32, 32, 3) and ten['image'].dtype == np.uint8
    np.testing.assert_array_equal(ten['image'][:, 0], one['image'])
    assert len(set(crcs(ten['image'][:3].reshape(15, 32, 32, 3)))) == 15
    assert ten['mask'].tolist() == [True, True, True, False] and not ten['image'][3].any()
    assert one['index'].tolist() == [0, 1, 2, 0] and one['label'].dtype == np.int32


def masked_like(batches, whole):
    """Sets the rows that are masked in `batches` to zero in `whole`."""
    for batch, other in zip(batches, whole):
        other['image'][~batch['mask']] = 0
        other['label'][~batch['mask']] = 0
        other['mask'] &= batch['mask']
    return whole


def test_unreadable_training_images_are_masked_named_and_shift_no_other(folders):
    good, bad = folders

    def read(root, **changes):
        batches = training_batches(*open_folder(root, **changes), batch_size=4, seed=0)
        return take(batches, 6), batches.unreadable

    batches, unreadable = read(bad)
    whole, none = read(good)
    assert none == {} and all(batch['mask'].all() for batch in whole)
    assert {name.split('/train/')[1] for name in unreadable} == {'cat/3.jpg', 'dog/1.jpg'}
    rows = concatenate(batches)
    assert (~rows['mask']).sum() == 4  # two images in two epochs
    assert set(unreadable.values()) < set(rows['index'][~rows['mask']].tolist())
    assert_equal(batches, masked_like(batches, whole))

    with pytest.raises(InputError) as caught:
        read(bad, max_unreadable_share=.1)
    message = str(caught.value)
    assert "1 of the 12 images of split 'train' of 'folder'" not in message  # 1 of 12 is allowed
    assert message.startswith("2 of the 12 images of split 'train' of 'folder' cannot be read, "
                              'which is more than a share of 0.1: ')
    assert all(f'{bad}/train/{name}' in message for name in ('cat/3.jpg', 'dog/1.jpg'))
    assert message.endswith('; repair these files, or raise config.data.max_unreadable_share')


def test_unreadable_training_images_are_left_out_of_crops_too(folders):
    def read(root):
        return take(training_batches(
            *open_folder(root, crop=True, crop_area=(1., 1.)), batch_size=4, seed=0), 3)

    batches, whole = read(folders[1]), read(folders[0])
    assert (~concatenate(batches)['mask']).sum() == 2
    assert_equal(batches, masked_like(batches, whole))


@pytest.mark.parametrize('crops, crop', [(1, False), (1, True), (10, True)])
def test_unreadable_evaluation_images_are_masked_and_named(folders, crops, crop):
    good, bad = folders

    def read(root):
        batches = evaluation_batches(
            *open_folder(root, crop=crop, resize_px=40), batch_size=5, crops=crops)
        return list(batches), batches.unreadable

    batches, unreadable = read(bad)
    rows = concatenate(batches)
    assert rows['mask'].sum() == 10 and len(batches) == 3
    assert rows['index'].tolist() == [*range(12), 0, 0, 0]
    assert {name.split('/validation/')[1]: rows['mask'][index]
            for name, index in unreadable.items()} == {'cat/3.jpg': False, 'dog/1.jpg': False}
    assert_equal(batches, masked_like(batches, read(good)[0]))

    source, data = open_folder(bad, max_unreadable_share=0.)
    with pytest.raises(InputError, match=f"^1 of the 12 images of split 'validation'.*{bad}/valid"):
        list(evaluation_batches(source, data, batch_size=1))


def test_an_image_that_disappears_is_unreadable(folders, tmp_path):
    for number in range(4):
        path = tmp_path / 'train' / 'cat' / f'{number}.jpg'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(number))
    source, data = open_folder(tmp_path, max_unreadable_share=1.)
    (tmp_path / 'train' / 'cat' / '2.jpg').unlink()
    batches = evaluation_batches(source, data, batch_size=2, split='train')
    assert sum(batch['mask'].sum() for batch in batches) == 3
    assert [name.split('/')[-1] for name in batches.unreadable] == ['2.jpg']


@pytest.mark.parametrize('changes, arguments, message', [
    ({}, {'batch_size': 10}, 'batch size 10 does not divide by config.data.streams 4; use a mult'),
    ({}, {'rows': (0, 3)}, 'rows 0 to 3 of a batch of 8 are no whole blocks of 2 rows; let '
     'config.data.streams 4 be a multiple of the number of processes'),
    ({}, {'rows': (4, 10)}, 'rows 4 to 10 of a batch of 8'),
    ({'train_split': 'test'}, {}, "split 'test' of 'digit_scenes' is unknown or empty; known are "
     r'train \(6000 images\), tune \(500 images\), validation \(1000 images\) and parts of them'),
    ({'train_split': 'train[7000:]'}, {}, r"split 'train\[7000:\]' of 'digit_scenes' is unknown"),
    ({'train_split': 'train[:0]'}, {}, r"split 'train\[:0\]' of 'digit_scenes' is unknown or emp"),
    ({'train_split': 'train['}, {}, r"split 'train\[' of 'digit_scenes' is unknown"),
    ({'train_split': 'train[:3]'}, {}, r"split 'train\[:3\]' of 'digit_scenes' has 3 images, fewer "
     'than config.data.streams 4; use fewer streams')])
def test_training_settings_that_do_not_fit_are_refused(source, data, changes, arguments, message):
    data.update(changes)
    with pytest.raises(InputError, match=f'^{message}'):
        training_batches(source, data, **{'batch_size': BATCH, 'seed': 0, **arguments})


@pytest.mark.parametrize('changes, arguments, message', [
    ({}, {'batch_size': 7, 'process': (0, 2)}, 'evaluation batch size 7 does not divide by 2 '),
    ({}, {'crops': 5}, '5 crops were asked for; 1 and 10 are known'),
    ({}, {'crops': 10}, '10 crops were asked for, but config.data.crop is False, whole images; '),
    ({'crop': True, 'resize_px': 90}, {}, 'config.data.resize_px 90 is less than '
     'config.data.image_size 96, so crops do not fit; use at least that'),
    ({}, {'split': 'test'}, "split 'test' of 'digit_scenes' is unknown or empty; known are train "),
    ({'validation_split': 'valid'}, {}, "split 'valid' of 'digit_scenes' is unknown or empty")])
def test_evaluation_settings_that_do_not_fit_are_refused(source, data, changes, arguments, message):
    data.update(changes)
    with pytest.raises(InputError, match=f'^{message}'):
        evaluation_batches(source, data, **{'batch_size': BATCH, **arguments})
