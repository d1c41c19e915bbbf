"""Resolving configurations, with stand-ins for data sets."""

import jax
import ml_collections
import numpy as np
import pytest
from data.number_sources import NumberSource
from support.errors import refused

from drn_jax import experiments, recipes, tasks
from drn_jax.checkpoints import manager


class Maps(NumberSource):
    """Two classes in label maps, with a mean and deviation of their own."""

    label_kind = 'maps'
    palette, mean_std = ((0, 0, 0), (9, 9, 9)), ((0.1, 0.1, 0.1), (0.5, 0.5, 0.5))

    def __init__(self, **sizes):
        super().__init__(**sizes)
        self.class_names = ('sky', 'sea')


def classes():
    return NumberSource(train=16, validation=8)


def config_of(**changes):
    config = recipes.classification()
    config.update_from_flattened_dict({'batch_size': 16, 'data.shards': 4, **changes})
    return config


def test_a_configuration_is_completed_and_cannot_be_changed():
    given = config_of()
    experiment = experiments.resolve(given, source=classes())
    config = experiment.config
    assert config.model.num_classes == classes().num_classes == experiment.task.model.num_classes
    assert config.data.class_names == tuple(classes().class_names)
    assert config.evaluation.batch_size == 16
    assert given.model.num_classes == given.evaluation.batch_size == 0  # what was given stays
    with pytest.raises(AttributeError):
        config.seed = 1
    assert experiment.kind is tasks.TASKS['classification']
    assert experiment.mesh.devices.size == jax.device_count()
    assert (experiment.schedule.examples, experiment.schedule.cadence.last) == (16, 120)
    assert float(experiment.schedule.learning_rate(0)) == pytest.approx(0.1 / 16)


def test_a_compiler_option_that_xla_does_not_know_is_refused():
    with refused(
        'config.compiler_options', match='cannot be used for CPUs: No such compile option'
    ):
        experiments.resolve(config_of(compiler_options=('xla_cpu_such=1',)), source=classes())


def test_classes_of_another_number_are_refused():
    with refused('config.model.num_classes', match='1000 classes, but imagenet2012 has'):
        experiments.resolve(config_of(**{'model.num_classes': 1000}), source=classes())


def test_mean_and_deviation_of_the_data_set_are_for_networks_that_it_trains():
    config = recipes.segmentation()
    config.update_from_flattened_dict({'batch_size': 8, 'data.crop_px': 16})
    source = Maps(train=16, validation=8)
    new, trained = (
        experiments.resolve(config, source=source, trained=trained).config.data
        for trained in (False, True)
    )
    assert (new.mean, new.std) == Maps.mean_std
    assert (trained.mean, trained.std) == (config.data.mean, config.data.std)
    assert new.palette == Maps.palette and new.class_names == ('sky', 'sea')


def test_colors_that_are_given_stay():
    config, given = recipes.segmentation(), ((1, 2, 3), (255, 0, 9))
    config.update_from_flattened_dict({'batch_size': 8, 'data.crop_px': 16, 'data.palette': given})
    source = Maps(train=16, validation=8)
    assert experiments.resolve(config, source=source).config.data.palette == given
    config.data.palette = given[:1]
    with refused('config.data.palette', match='has 1 colors, but there are 2 classes; give one'):
        experiments.resolve(config, source=source)


def test_names_of_classes_are_those_of_the_data_set():
    config = config_of(**{'data.class_names': ('cat', 'dog')})
    with refused('config.data.class_names', match='is cat, dog, but the classes of .* are 0, 1, 2'):
        experiments.resolve(config, source=classes())


@pytest.mark.parametrize('trained', [False, True])
def test_a_split_of_another_name_is_told(trained):
    source = NumberSource(train=16, val=8)
    config = config_of(**{'model.num_classes': 16})
    with refused(
        'config.data.validation_split',
        match=r'known are train \(16 images\), val \(8 images\) .*; set '
        'config.data.validation_split, perhaps to val$',
    ):
        experiments.resolve(config, source=source, trained=trained)
    config.data.validation_split, config.data.train_split = 'val', 'training'
    if not trained:
        with refused('config.data.train_split', match='perhaps to train$'):
            experiments.resolve(config, source=source)


def test_classes_of_a_trained_network_are_matched_by_name():
    source, learned = classes(), tuple(f'{number}' for number in range(19, -1, -1))
    config = config_of(**{'model.num_classes': 20, 'data.class_names': learned})
    experiment = experiments.resolve(config, source=source, trained=True)
    assert experiment.config.data.class_names == learned
    assert experiment.source.label({'label': 3}).numpy() == learned.index('3')
    assert 'has only 16 ' in experiment.remarks[0] and experiment.task.model.num_classes == 20


def test_images_that_a_network_was_trained_on_are_told():
    source, split = classes(), 'train[:4]+validation'
    began = experiments.resolve(config_of(), source=source).config
    config = ml_collections.ConfigDict(began.to_dict())
    config.data.validation_split = split
    told = [
        f"4 of the 12 images of '{split}' are trained on, in 'train', so what is measured on them "
        'says little of others'
    ]
    for fingerprint, remarks in ((began.data.fingerprint, told), ('17 images', []), ('', [])):
        config.data.fingerprint = fingerprint
        found = experiments.resolve(config, source=source, trained=True).remarks
        assert list(found) == remarks
    config.data.train_split, config.data.fingerprint = 'elsewhere', '16 images'
    assert experiments.resolve(config, source=source, trained=True).remarks == ()


def test_a_head_of_other_classes_is_told(tmp_path):
    config, names = config_of(), tuple(classes().class_names)
    for number, (learned, told) in enumerate(
        [(names, False), (names[::-1], True), (names[1:], False), ((), False)]
    ):
        stored = config_of(**{'data.class_names': learned})
        config.init_from = str(tmp_path / str(number))
        manager.save_variables(config.init_from, stored, {'params': {'w': np.zeros(1)}})
        found = experiments.resolve(config, source=classes()).remarks
        assert [remark[:68] for remark in found] == [
            'the head that config.init_from gives has learned 15, 14, 13, 12, 11,'
        ] * told


def test_mean_iou_is_that_of_the_classes_that_the_data_set_has():
    config = recipes.segmentation()
    config.update_from_flattened_dict(
        {'model.num_classes': 3, 'data.class_names': ('sea', 'land', 'sky')}
    )
    config.data.palette = ((1, 1, 1), (2, 2, 2), (3, 3, 3))
    experiment = experiments.resolve(config, source=Maps(train=1, validation=1), trained=True)
    assert experiment.config.evaluation.classes == ('sky', 'sea')
    assert experiment.config.data.palette == config.data.palette
    # Of the 8 pixels of the sea, one is taken for land.
    matrix = np.array([[7, 1, 0], [0, 0, 0], [0, 0, 4]])
    metrics = experiment.task.report({'examples': 1, 'confusion': matrix})
    assert metrics['mean_iou'] == (7 / 8 + 1) / 2 and 'iou/land' not in metrics
    config.evaluation.classes = ('sky', 'fog')
    with refused('config.evaluation.classes', match='holds fog, but the classes are sea,'):
        tasks.create_task(config, experiment.task.model)


def test_a_completed_configuration_can_be_resolved_again():
    config = experiments.resolve(config_of(), source=classes()).config
    assert experiments.resolve(config, source=classes()).config == config


def test_what_needs_no_data_set_is_checked_before_it_is_opened(monkeypatch):
    monkeypatch.setattr(experiments, '_open', lambda *_: pytest.fail('it was opened'))
    for changes in {'task': 'localization'}, {'checkpoint.best_metric': 'mean_iou'}:
        with refused(f'config.{next(iter(changes))}'):
            experiments.resolve(config_of(**changes))


@pytest.mark.parametrize(
    'changes, message, field',
    [
        ({'task': 'detection'}, "'detection' is unknown; known: classification, ", 'config.task'),
        (
            {'task': 'segmentation'},
            'is one for another task: it has no data.crop_px',
            'config.task',
        ),
        ({'task': 'localization'}, "'localization' has no training; train or plan", 'config.task'),
        (
            {'checkpoint.best_metric': 'mean_iou'},
            "'mean_iou' is not measured; measured are top1_error, top5_error",
            'config.checkpoint.best_metric',
        ),
        ({'data.shards': 3}, 'does not divide by config.data.shards 3', 'config.batch_size'),
    ],
)
def test_what_cannot_be_is_refused(changes, message, field):
    with refused(field, match=message):
        experiments.resolve(config_of(**changes), source=classes())
