import itertools
import logging

import numpy as np
import pytest
from data.number_sources import NumberSource
from support.errors import refused

from drn_jax import fields, recipes
from drn_jax.data import evaluation_batches, training_batches


@pytest.fixture
def data():
    """Small images from four shards; slices of 22 images have 5, 6, 5 and 6."""
    data = recipes.classification().data
    data.image_size, data.resize_px = 8, 10
    data.shards, data.shuffle_buffer = 4, 12
    return data


@pytest.fixture(scope='module')
def source():
    return NumberSource(train=22, validation=7, empty=0)


def take(batches, count):
    """Puts `count` batches one after the other, {key: array}."""
    taken = list(itertools.islice(batches, count))
    return {key: np.concatenate([batch[key] for batch in taken]) for key in taken[0]}


def assert_equal(batch, expected):
    assert batch.keys() == expected.keys()
    for key in expected:
        np.testing.assert_array_equal(batch[key], expected[key])


def test_a_training_batch_has_the_types_of_the_design(source, data):
    batch = next(training_batches(source, data, batch_size=8, seed=0, first_step=3))
    assert {key: (value.shape, str(value.dtype)) for key, value in batch.items()} == {
        'image': ((8, 8, 8, 3), 'uint8'),
        'label': ((8,), 'int32'),
        'mask': ((8,), 'bool'),
        'index': ((8,), 'uint32'),
    }
    assert batch['index'].tolist() == list(range(24, 32)) and batch['mask'].all()


def test_without_shuffling_slices_are_read_in_order(source, data):
    data.shuffle_buffer = 4  # one image for each slice
    labels = take(training_batches(source, data, batch_size=8, seed=0), 2)['label'].tolist()
    assert labels == [0, 1, 5, 6, 11, 12, 16, 17, 2, 3, 7, 8, 13, 14, 18, 19]


def test_each_slice_fills_its_block_and_every_epoch_of_it_is_a_permutation(source, data):
    labels = take(training_batches(source, data, batch_size=8, seed=0), 15)['label']
    slices = [range(0, 5), range(5, 11), range(11, 16), range(16, 22)]
    for block, numbers in zip(labels.reshape(15, 4, 2).transpose(1, 0, 2), slices, strict=True):
        epochs = block.ravel()[: 5 * len(numbers)].reshape(5, len(numbers)).tolist()
        assert all(sorted(epoch) == list(numbers) for epoch in epochs)
        assert len(set(map(tuple, epochs))) == 5


def test_another_seed_gives_another_order_and_other_crops(source, data):
    one, other = (
        take(training_batches(source, data, batch_size=8, seed=seed), 3) for seed in (0, 1)
    )
    assert (one['label'] != other['label']).any()
    data.shards, data.shuffle_buffer = 1, 1  # in order
    one, other = (
        take(training_batches(source, data, batch_size=8, seed=seed), 1) for seed in (0, 1)
    )
    assert one['label'].tolist() == other['label'].tolist() == list(range(8))
    assert (one['image'] != other['image']).any()


@pytest.mark.parametrize('first_step', [1, 2, 5, 7, 11])
def test_a_later_start_continues_the_stream_exactly(source, data, first_step):
    """Slices of 5 and 6 images, 2 a step: the starts lie inside and on the edges of epochs."""
    whole = take(training_batches(source, data, batch_size=8, seed=3), 14)
    rest = take(
        training_batches(source, data, batch_size=8, seed=3, first_step=first_step), 14 - first_step
    )
    assert_equal(rest, {key: value[8 * first_step :] for key, value in whole.items()})


@pytest.mark.parametrize('border', [(0, 4, 8), (0, 2, 4, 6, 8), (0, 6, 8)])
def test_what_processes_feed_makes_up_the_global_batch(source, data, border):
    parts = [
        training_batches(source, data, batch_size=8, seed=0, first_step=1, rows=rows)
        for rows in itertools.pairwise(border)
    ]
    for batch in itertools.islice(
        training_batches(source, data, batch_size=8, seed=0, first_step=1), 6
    ):
        pieces = [next(part) for part in parts]
        assert_equal(
            {key: np.concatenate([piece[key] for piece in pieces]) for key in batch}, batch
        )


def test_the_stream_does_not_depend_on_threads(source, data):
    expected = take(training_batches(source, data, batch_size=8, seed=0), 4)
    for threads in (1, 3):
        data.threads = threads
        assert_equal(take(training_batches(source, data, batch_size=8, seed=0), 4), expected)


def test_the_index_begins_anew_after_2_to_the_32(source, data):
    step = 2**32 // 8
    batch = next(training_batches(source, data, batch_size=8, seed=0, first_step=step))
    assert batch['index'].tolist() == list(range(8)) and batch['mask'].all()


def test_training_uses_parts_of_splits(source, data):
    data.train_split = 'train[10:14]+validation[2:]'
    labels = take(training_batches(source, data, batch_size=4, seed=0), 6)['label'].reshape(6, 4)
    assert [set(block) for block in labels.T] == [{10, 11}, {12, 13}, {2, 3}, {4, 5, 6}]


def test_whole_images_are_only_resized(source, data):
    data.crop, data.image_size = False, 16
    batch = next(training_batches(source, data, batch_size=8, seed=0))
    expected = take(evaluation_batches(source, data, batch_size=22, split='train'), 1)
    np.testing.assert_array_equal(batch['image'], expected['image'][batch['label']])


@pytest.mark.parametrize(
    'processes, batch_size', [(1, 1), (1, 3), (1, 7), (1, 20), (2, 4), (3, 6), (3, 3), (9, 9)]
)
def test_evaluation_gives_every_image_once_in_equally_many_batches(
    source, data, processes, batch_size
):
    shares = [
        list(evaluation_batches(source, data, batch_size=batch_size, process=(i, processes)))
        for i in range(processes)
    ]
    largest, rows = -(-7 // processes), batch_size // processes
    assert {len(share) for share in shares} == {-(-largest // rows)}
    batches = [batch for share in shares for batch in share]
    assert all(len(batch['label']) == rows for batch in batches)
    for key in ('label', 'index'):
        found = [number for batch in batches for number in batch[key][batch['mask']]]
        assert found == list(range(7))
    for batch in batches:
        assert (
            not batch['image'][~batch['mask']].any()
            and batch['image'][batch['mask']].any(axis=(1, 2, 3)).all()
        )
        assert not batch['label'][~batch['mask']].any()


def test_ten_crops_are_given_as_five(source, data):
    batch = next(evaluation_batches(source, data, batch_size=4, crops=10))
    assert batch['image'].shape == (4, 5, 8, 8, 3)
    central = next(evaluation_batches(source, data, batch_size=4))
    np.testing.assert_array_equal(batch['image'][:, 0], central['image'])
    central, top_left, top_right, bottom_left, bottom_right = batch['image'].mean((0, 2, 3, 4))
    assert top_left < top_right < central < bottom_left < bottom_right


def test_evaluation_of_a_part_counts_from_its_beginning(source, data):
    batch = next(evaluation_batches(source, data, batch_size=4, split='train[5:9]'))
    assert batch['label'].tolist() == [5, 6, 7, 8] and batch['index'].tolist() == [0, 1, 2, 3]


def test_an_unreadable_image_costs_its_row_and_shifts_nothing(source, data, caplog):
    data.max_unreadable_fraction = 0.1
    damaged = NumberSource(train=22, validation=7, damaged=(4, 17))
    expected = take(training_batches(source, data, batch_size=8, seed=0), 9)
    batches = training_batches(damaged, data, batch_size=8, seed=0)
    with caplog.at_level(logging.WARNING, 'drn_jax'):
        found = take(batches, 9)
    lost = np.isin(expected['label'], (4, 17))
    assert lost.sum() > 4  # several epochs
    np.testing.assert_array_equal(found['mask'], ~lost)
    np.testing.assert_array_equal(found['index'], expected['index'])
    for key in ('image', 'label'):
        np.testing.assert_array_equal(found[key][~lost], expected[key][~lost])
        assert not found[key][lost].any()
    assert batches.unreadable == {
        f'train/{number}.jpg': np.flatnonzero(expected['label'] == number)[0] for number in (4, 17)
    }
    assert [record.getMessage() for record in caplog.records] == [
        f'{name} of numbers cannot be read: left out' for name in batches.unreadable
    ]


def test_an_unreadable_image_is_not_counted_in_evaluation(data):
    data.max_unreadable_fraction = 0.2
    damaged = NumberSource(train=22, validation=7, damaged=(6,))
    batches = evaluation_batches(damaged, data, batch_size=3, crops=10)
    found = take(batches, 3)
    assert found['label'].tolist() == [0, 1, 2, 3, 4, 5, 0, 0, 0]
    assert found['mask'].tolist() == [True] * 6 + [False] * 3
    assert batches.unreadable == {'validation/6.jpg': 6}


def test_a_batch_of_unreadable_images_is_still_a_batch(data):
    data.max_unreadable_fraction = 1.0
    batches = evaluation_batches(NumberSource(validation=4, damaged=(2, 3)), data, batch_size=2)
    assert [batch['mask'].tolist() for batch in batches] == [[True, True], [False, False]]


def test_too_many_unreadable_images_stop_the_run(data):
    damaged = NumberSource(train=22, validation=7, damaged=range(2, 22))
    with refused(
        'config.data.max_unreadable_fraction',
        match="^2 of the 22 images of split 'train' .* 0.09: train/2.jpg, train/3.jpg; repair",
    ):
        data.max_unreadable_fraction, data.shards, data.shuffle_buffer = 0.09, 1, 1
        take(training_batches(damaged, data, batch_size=4, seed=0), 1)
    with refused('config.data.max_unreadable_fraction', match='5 of the 7 .*validation/6.jpg'):
        data.max_unreadable_fraction = 0.5
        take(evaluation_batches(damaged, data, batch_size=7), 1)


@pytest.mark.parametrize(
    'arguments, changes, field, message',
    [
        ({'batch_size': 6}, {}, 'config.data.shards', '6 are no whole blocks of 1.5 rows; let'),
        ({'rows': (0, 3)}, {}, 'config.data.shards', 'rows 0 to 3 of a batch of 8 are no whole'),
        ({'rows': (4, 12)}, {}, 'config.data.shards', 'rows 4 to 12 of a batch of 8 are no whole'),
        (
            {'batch_size': 32},
            {'shards': 32},
            'config.data.shards',
            "split 'train' of 'numbers' has 22 images, fewer than",
        ),
        (
            {},
            {'train_split': 'test'},
            '',
            r"split 'test' of 'numbers' is unknown or empty; known are train "
            r'\(22 images\), validation \(7 images\).* such as train\[:90',
        ),
        (
            {},
            {'train_split': 'train[:30]'},
            '',
            r"split 'train\[:30\]' of 'numbers' is unknown or empty",
        ),
        ({}, {'train_split': 'empty'}, '', "split 'empty' of 'numbers' is unknown or empty"),
    ],
)
def test_errors_of_training(source, data, arguments, changes, field, message):
    data.update(changes)
    with refused(field, match=message):
        training_batches(source, data, **{'batch_size': 8, 'seed': 0, **arguments})


@pytest.mark.parametrize(
    'arguments, field, message',
    [
        ({'process': (0, 3)}, 'config.evaluation.batch_size', 'does not divide by 3 processes'),
        ({'split': 'tune'}, '', "split 'tune' of 'numbers' is unknown or empty; known are train"),
    ],
)
def test_errors_of_evaluation(source, data, arguments, field, message):
    with refused(field, match=message):
        evaluation_batches(source, data, **{'batch_size': 4, **arguments})


@pytest.mark.parametrize(
    'changes, field',
    [
        ({'data.shards': 0}, 'data.shards'),
        ({'batch_size': 0}, 'batch_size'),
        ({'batch_size': 6}, 'batch_size'),
        ({'data.crop_area': (0.5,)}, 'data.crop_area'),
        ({'data.crop_area': (0.5, 1.5)}, 'data.crop_area'),
        ({'data.crop_ratio': (2.0, 0.5)}, 'data.crop_ratio'),
        ({'data.resize_px': 7, 'data.image_size': 8}, 'data.resize_px'),
        ({'evaluation.crops': 5}, 'evaluation.crops'),
        ({'evaluation.crops': 10, 'data.crop': False}, 'evaluation.crops'),
    ],
)
def test_fields_out_of_range_never_get_here(changes, field):
    config = recipes.classification()
    config.update_from_flattened_dict(changes)
    with refused(f'config.{field}'):
        fields.check(config)
