"""One pass over a split."""

from data.number_sources import NumberSource
from training import tiny

from drn_jax.training import evaluation


def test_images_that_cannot_be_read_are_counted_and_named():
    config = tiny.tiny_config()
    config.update_from_flattened_dict(
        {
            'evaluation.batch_size': 4,
            'data.max_unreadable_fraction': 0.5,
            'data.image_size': 8,
            'data.resize_px': 9,
        }
    )
    source, task = NumberSource(train=9, validation=7, damaged=(6, 2)), tiny.tiny_task(config)
    evaluate = evaluation.evaluator(tiny.experiment_of(config, source, task))
    result = evaluate(tiny.tiny_variables(task))
    assert result.metrics['examples'] == 5 and result.metrics['unreadable'] == 2
    assert result.unreadable == ['validation/2.jpg', 'validation/6.jpg']
