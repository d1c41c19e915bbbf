import numpy as np
import pytest
from data.number_sources import NumberSource
from data.test_tfds_label_maps import map_settings

from drn_jax.data import batch_specs, open_source, training_batches
from drn_jax.geometry import Geometry


@pytest.mark.parametrize('label_kind', ['classes', 'maps'])
def test_training_batches_are_as_specified(label_kind, digit_scenes_dir):
    data = map_settings(
        name='digit_scenes', data_dir=str(digit_scenes_dir), crop_px=16, image_size=8
    )
    source = open_source(data, 'maps') if label_kind == 'maps' else NumberSource(train=4)
    batch = next(training_batches(source, data, batch_size=4, seed=0))
    specified = batch_specs.training_batch(label_kind, data, 4)
    assert {key: (value.shape, value.dtype) for key, value in batch.items()} == specified
    assert batch_specs.image_side(label_kind, data) == batch['image'].shape[1]


def test_padding_of_boxes_has_no_area_and_divides_by_nothing_that_is_0():
    row = batch_specs.evaluation_row(
        'boxes', map_settings(image_size=8), size=(16, 24), box_places=3, masks=True
    )
    assert {key: entry.shape for key, entry in row.items()} == {
        'image': (8, 8, 3),
        'label': (),
        'boxes': (3, 4),
        'geometry': (6,),
        'whole': (16, 24, 3),
        'object': (16, 24),
    }
    geometry = Geometry.unpack(np.array([row['geometry'].fill]))
    assert geometry.resized_height == geometry.resized_width == 1
