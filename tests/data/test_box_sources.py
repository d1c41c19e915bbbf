"""Data sets with boxes: which box an image gets, and what evaluation makes of it."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from data.box_archives import TRAIN, VALIDATION, write_train_boxes, write_validation_boxes
from data.imagenet_tars import jpeg
from data.number_sources import NumberSource
from support.errors import refused

from drn_jax import recipes
from drn_jax.data import Source, box_sources, digit_scenes, evaluation_batches, open_source
from drn_jax.data.box_sources import FeatureBoxSource, TableBoxSource
from drn_jax.data.folders import FolderSource

SHAPES = ((60, 80), (80, 60), (60, 80), (64, 64), (60, 82), (20, 200), (64, 64), (60, 80))


class ShapeSource(Source):
    """JPEG files of these heights and widths; image i has label i and the name c/i.jpg."""

    def __init__(self, shapes=SHAPES, damaged=()):
        self.name, self.class_names = 'shapes', tuple(map(str, range(len(shapes))))
        self.splits = tfds.core.SplitDict(
            [tfds.core.SplitInfo(name='validation', shard_lengths=[len(shapes)], num_bytes=0)]
        )
        # Cut off inside the head, and in the pixels.
        self._files = [
            jpeg(number, *shape)[: {0: 30, 1: 700}.get(number % 2) if number in damaged else None]
            for number, shape in enumerate(shapes)
        ]

    def _whole_split_records(self, split, start, stop):
        numbers = list(range(start, stop))
        return tf.data.Dataset.from_tensor_slices(
            {
                'image': self._files[start:stop],
                'label': tf.constant(numbers, tf.int32),
                'name': [f'c/{number}.jpg' for number in numbers],
            }
        )


class MaskSource(ShapeSource):
    """White boxes in black images, which are their own masks."""

    label_kind, masks, box_places = 'boxes', True, 1

    def __init__(self):
        super().__init__()
        images = [np.zeros((*shape, 3), np.uint8) for shape in SHAPES]
        for image, box in zip(images, map(self.box, *zip(*SHAPES))):
            image[box[0] : box[2], box[1] : box[3]] = 255
        self._files = [tf.io.encode_png(image).numpy() for image in images]

    @staticmethod
    def box(height, width):
        return [height // 4, width // 5, 3 * height // 4, 7 * width // 10]

    def read_boxes(self, record, height, width):
        return tf.cast(tf.stack([self.box(height, width)]), tf.float32)

    def read_object(self, record):
        return tf.io.decode_png(record['image'], channels=1)[..., 0] // 255


@pytest.fixture
def data():
    data = recipes.classification().data
    data.image_size, data.resize_px, data.max_unreadable_fraction = 32, 40, 0.5
    return data


def with_csv(source, tmp_path, lines):
    path = tmp_path / 'boxes.csv'
    path.write_text('\n'.join(lines))
    return TableBoxSource(source, str(path))


def whole_boxes(shapes=SHAPES):
    """Lines that give each image a box of all of its pixels."""
    return [f'{number}.png,0,0,{width},{height}' for number, (height, width) in enumerate(shapes)]


def assert_batches_equal(found, expected):
    assert found.keys() == expected.keys()
    for key in expected:
        np.testing.assert_array_equal(found[key], expected[key], err_msg=key)


def test_boxes_are_clipped_to_the_image_and_vanish_beyond_it(tmp_path, data):
    """Images of 16 x 16 pixels."""
    source = with_csv(
        NumberSource(validation=6),
        tmp_path,
        [
            'a/0.jpg,1,2,3,4',
            '1,-5,-6,7,8',
            '2.png,8,9,99,98',
            '2.png,4,5,6,7',
            '3,20,0,30,9',
            '4.jpg,-9,-9,-1,-1',
            '4.jpg,0,0,16,16',
            '17.jpg,0,0,1,1',
        ],
    )
    (batch,) = evaluation_batches(source, data, batch_size=8)
    assert batch['boxes'].shape == (8, 2, 4) and batch['boxes'].dtype == np.float32
    assert batch['boxes'].tolist() == [
        [[2, 1, 4, 3], [0] * 4],
        [[0, 0, 8, 7], [0] * 4],
        [[9, 8, 16, 16], [5, 4, 7, 6]],
        [[0] * 4] * 2,
        [[0] * 4, [0, 0, 16, 16]],
        *[[[0] * 4] * 2] * 3,
    ]
    # 16 x 16 pixels resized to 40 x 40, of which 32 x 32 remain; padding has any geometry.
    assert batch['geometry'].tolist() == [[16, 16, 40, 40, 4, 4]] * 6 + [[1, 1, 1, 1, 0, 0]] * 2
    assert batch['geometry'].dtype == np.int32
    assert batch['mask'].tolist() == [True] * 6 + [False] * 2
    assert batch['label'].tolist() == [0, 1, 2, 3, 4, 5, 0, 0] and 'whole' not in batch


def test_no_box_of_a_crowd_is_dropped(tmp_path, data):
    count = 3 * box_sources.MAX_BOXES
    source = with_csv(
        NumberSource(validation=2),
        tmp_path,
        [*(f'0.jpg,0,0,{1 + number / count},1' for number in range(count)), '1.jpg,0,0,2,2'],
    )
    (batch,) = evaluation_batches(source, data, batch_size=2)
    assert batch['boxes'].shape == (2, count, 4)
    assert len(np.unique(batch['boxes'][0], axis=0)) == count
    assert batch['boxes'][1].sum() == 4


def test_imagenets_archives_serve_their_splits(tmp_path, data):
    class Named(NumberSource):
        """Named as ImageNet names its images."""

        def _whole_split_records(self, split, start, stop):
            def rename(record):
                number = tf.strings.as_string(record['label'] + 1)
                name = tf.strings.join(
                    ['n01440764_', number, '.JPEG']
                    if split == 'train'
                    else ['ILSVRC2012_val_0000000', number, '.JPEG']
                )
                return {**record, 'name': name}

            return super()._whole_split_records(split, start, stop).map(rename)

    write_validation_boxes(tmp_path, {1: [(1, 2, 3, 4)], 3: [(5, 5, 5, 5), (0, 0, 40, 3)]})
    source = TableBoxSource(Named(train=3, validation=3), str(tmp_path))
    (batch,) = evaluation_batches(source, data, batch_size=3)
    assert batch['boxes'].tolist() == [
        [[2, 1, 5, 4], [0] * 4],
        [[0] * 4] * 2,
        [[5, 5, 6, 6], [0, 0, 4, 16]],
    ]
    with refused(path=tmp_path / TRAIN):
        evaluation_batches(source, data, batch_size=3, split='train')

    write_train_boxes(tmp_path, {('n01440764', 2): [(-3, 0, 700, 900)]})
    (batch,) = evaluation_batches(source, data, batch_size=4, split='train+validation[2:]')
    assert batch['boxes'][:, :, 2:].tolist() == [
        [[0, 0]] * 2,
        [[16, 16], [0, 0]],
        [[0, 0]] * 2,
        [[6, 6], [4, 16]],
    ]


@pytest.mark.parametrize('path', ['', '/nowhere/boxes.csv'])
def test_boxes_that_are_nowhere_are_named(path):
    with refused('config.data.boxes', match=f"'{path}' is neither a CSV file nor"):
        TableBoxSource(NumberSource(validation=1), path)


def test_data_sets_without_boxes_are_named(tmp_path, data):
    data.data_dir, data.name = str(tmp_path), 'imagenet2012'
    with refused('config.data.boxes', match=f"'imagenet2012' has no boxes; .*{VALIDATION}$"):
        open_source(data, 'boxes')
    data.name = 'folder'
    with refused('config.data.boxes'):
        open_source(data, 'boxes')


def test_boxes_and_objects_of_digit_scenes(digit_scenes_dir):
    data = recipes.digit_scenes().data
    data.data_dir = str(digit_scenes_dir)
    source = open_source(data, 'boxes')
    batch = next(evaluation_batches(source, data, batch_size=50))
    assert batch['boxes'].shape == (50, 1, 4) and batch['object'].shape == (50, 96, 96)
    assert batch['geometry'].tolist() == [[96, 96, 96, 96, 0, 0]] * 50
    for box, mask in zip(batch['boxes'][:, 0], batch['object']):
        np.testing.assert_allclose(box, digit_scenes.tight_box(mask), atol=1e-4)
    data.image_size = 48
    batch = next(evaluation_batches(source, data, batch_size=50))
    assert batch['object'].shape == (50, 48, 48)
    assert batch['geometry'].tolist() == [[96, 96, 48, 48, 0, 0]] * 50
    for box, mask in zip(batch['boxes'][:, 0], batch['object']):  # still the original's pixels
        np.testing.assert_allclose(box / 2, digit_scenes.tight_box(mask), atol=1)


@pytest.mark.parametrize(
    'whole, geometry, place',
    [
        (False, [96, 96, 192, 192, 48, 48], (slice(24, 72), slice(24, 72))),
        (True, [96, 96, 192, 192, 0, 0], (slice(None), slice(None))),
    ],
)
def test_objects_lie_where_maps_are_made(digit_scenes_dir, whole, geometry, place):
    """Twice the size, then the central half of each side, or all."""
    data = recipes.digit_scenes().data
    data.data_dir = str(digit_scenes_dir)
    source = open_source(data, 'boxes')
    split = {'split': 'validation[:30]', 'batch_size': 20}
    original = next(evaluation_batches(source, data, **split))['object']
    data.resize_px = 192
    first, last = evaluation_batches(source, data, whole_maps=whole, **split)
    assert first['geometry'].tolist() == [geometry] * 20
    np.testing.assert_array_equal(
        first['object'], np.stack([mask[place].repeat(2, 0).repeat(2, 1) for mask in original])
    )
    assert last['object'].shape == first['object'].shape and not last['object'][10:].any()


@pytest.mark.parametrize('whole', [False, True])
def test_objects_of_oblong_images_lie_where_the_image_shows_them(data, whole):
    for batch in evaluation_batches(MaskSource(), data, batch_size=4, whole_maps=whole):
        image = batch['whole' if whole else 'image']
        assert batch['object'].shape == image.shape[:3]
        differ = (image[..., 0] > 127) != (batch['object'] > 0)  # bilinear and nearest at edges
        assert differ.mean() < 0.02 and batch['object'].any()


class BoxedObjects(tfds.core.GeneratorBasedBuilder):
    """Images with as many objects as their number; the first split is too crowded."""

    VERSION = tfds.core.Version('1.0.0')

    def _info(self):
        objects = tfds.features.Sequence(
            {
                'kind': tfds.features.Text(),
                'place': tfds.features.BBoxFeature(),
                'color': tfds.features.Tensor(shape=(4,), dtype=np.float32),
            }
        )
        return tfds.core.DatasetInfo(
            builder=self,
            supervised_keys=('image', 'label'),
            features=tfds.features.FeaturesDict(
                {
                    'image': tfds.features.Image(),
                    'objects': objects,
                    'label': tfds.features.ClassLabel(names=['only']),
                }
            ),
        )

    def _split_generators(self, dl_manager):
        return {
            'validation': self._generate_examples((2, 0, box_sources.MAX_BOXES)),
            'crowded': self._generate_examples((1, box_sources.MAX_BOXES + 1)),
        }

    def _generate_examples(self, counts):
        for key, count in enumerate(counts):
            yield (
                key,
                {
                    'image': np.zeros((20, 40, 3), np.uint8),
                    'label': 0,
                    'objects': [
                        {
                            'kind': 'dog',
                            'color': np.ones(4, np.float32),
                            'place': tfds.features.BBox(0.0, 0.25, (1 + number) / 100, 0.5),
                        }
                        for number in range(count)
                    ],
                },
            )


def test_sequences_of_objects(tmp_path, data):
    source = FeatureBoxSource('boxed_objects', data_dir=str(tmp_path))
    (batch,) = evaluation_batches(source, data, batch_size=3)
    assert batch['boxes'].shape == (3, box_sources.MAX_BOXES, 4)
    counts = (batch['boxes'] != 0).any(-1).sum(-1).tolist()
    assert sorted(counts) == [0, 2, box_sources.MAX_BOXES]
    np.testing.assert_allclose(
        batch['boxes'][counts.index(2), :2], [[0, 10, 0.2, 20], [0, 10, 0.4, 20]], rtol=1e-6
    )
    batches = evaluation_batches(source, data, batch_size=2, split='crowded')
    assert next(batches)['mask'].sum() == 1 and len(batches.unreadable) == 1  # named, not cut


def test_whole_images_are_grouped_into_few_shapes(tmp_path, data):
    """Full batches come first, then what is left of each shape, smaller sizes first."""
    source = with_csv(ShapeSource(), tmp_path, whole_boxes())
    batches = list(evaluation_batches(source, data, batch_size=2, whole_maps=True))
    shapes = [batch['whole'].shape for batch in batches]
    # 60 x 80 and 60 x 82 become 40 x 55: 5 * 11, for 80 / 60 and 82 / 60 lie next to 11 / 8.
    assert shapes == [
        (2, 40, 55, 3),
        (2, 40, 40, 3),
        (2, 40, 55, 3),
        (2, 40, 75, 3),
        (2, 55, 40, 3),
    ]
    assert [batch['index'][batch['mask']].tolist() for batch in batches] == [
        [0, 2],
        [3, 6],
        [4, 7],
        [5],
        [1],
    ]
    for batch in batches:
        size = batch['whole'].shape[1:3]
        assert batch['image'].shape == (2, 32, 32, 3) and batch['whole'].dtype == np.uint8
        for row in np.flatnonzero(batch['mask']):
            number = batch['index'][row]
            assert batch['label'][row] == number and batch['name'][row] == f'c/{number}.jpg'
            assert batch['geometry'][row].tolist() == [*SHAPES[number], *size, 0, 0]
            assert batch['boxes'][row].tolist() == [[0, 0, *SHAPES[number]]]
            assert batch['whole'][row].any()
        assert not batch['whole'][~batch['mask']].any()


@pytest.mark.parametrize('crops', [1, 10])
def test_whole_images_come_beside_the_same_crops(tmp_path, data, crops):
    source = with_csv(ShapeSource(), tmp_path, whole_boxes())
    (plain,) = evaluation_batches(source, data, batch_size=8, crops=crops)
    assert plain['image'].shape == (8, *(5,) * (crops == 10), 32, 32, 3)
    for batch in evaluation_batches(source, data, batch_size=1, crops=crops, whole_maps=True):
        number = batch['index'][0]
        np.testing.assert_array_equal(batch['image'][0], plain['image'][number])


def test_whole_images_of_one_size_need_no_second_copy(tmp_path, data):
    data.crop = False
    source = with_csv(ShapeSource(), tmp_path, whole_boxes())
    (found,) = evaluation_batches(source, data, batch_size=8, whole_maps=True)
    (expected,) = evaluation_batches(source, data, batch_size=8)
    assert_batches_equal(found, expected)
    assert found['geometry'].tolist() == [[*shape, 32, 32, 0, 0] for shape in SHAPES]
    assert 'object' not in found and 'whole' not in found


@pytest.mark.parametrize('damaged', [(2,), (3,), (0, 1), (4, 5, 6, 7)])
def test_unreadable_images_are_left_out_of_whole_maps_too(tmp_path, data, damaged):
    """Numbers that are even are cut off inside the head, which tells the size."""
    source = with_csv(ShapeSource(damaged=damaged), tmp_path, whole_boxes())
    batches = evaluation_batches(source, data, batch_size=3, whole_maps=True)
    read = sorted(index for batch in batches for index in batch['index'][batch['mask']])
    assert read == sorted(set(range(8)) - set(damaged))
    assert batches.unreadable == {f'c/{number}.jpg': number for number in damaged}
    data.max_unreadable_fraction = 0.0
    with refused('config.data.max_unreadable_fraction', match=r': c/\d.jpg'):
        list(evaluation_batches(source, data, batch_size=8, whole_maps=True))


def test_processes_have_their_rows_of_whole_images_of_the_same_size(tmp_path, data):
    source = with_csv(ShapeSource(damaged=(2, 3)), tmp_path, whole_boxes())
    whole = list(evaluation_batches(source, data, batch_size=3, whole_maps=True))
    shares = [
        evaluation_batches(source, data, batch_size=3, whole_maps=True, process=(number, 3))
        for number in range(3)
    ]
    for expected, *rows in zip(whole, *shares, strict=True):
        found = {key: np.concatenate([row[key] for row in rows]) for key in expected}
        assert_batches_equal(found, expected)
    assert sorted(name for share in shares for name in share.unreadable) == ['c/2.jpg', 'c/3.jpg']


def test_settings_that_whole_maps_cannot_have(tmp_path, data):
    source = with_csv(ShapeSource(), tmp_path, whole_boxes())
    data.resize_px = 36
    with refused('config.data.resize_px', match='give a multiple of 8'):
        evaluation_batches(source, data, batch_size=2, whole_maps=True)


def test_processes_share_the_images_with_boxes(tmp_path, data):
    source = with_csv(ShapeSource(), tmp_path, whole_boxes())
    (whole,) = evaluation_batches(source, data, batch_size=8)
    shares = [
        batch
        for number in range(3)
        for batch in evaluation_batches(source, data, batch_size=9, process=(number, 3))
    ]
    rows = {key: np.concatenate([share[key][share['mask']] for share in shares]) for key in whole}
    assert_batches_equal(rows, whole)
    idle = list(evaluation_batches(source, data, batch_size=9, process=(0, 9)))  # no image at all
    assert [batch['mask'].any() for batch in idle] == [False]
    assert idle[0]['boxes'].shape == (1, 1, 4)


# Every image has a side of its own, which its box must have too.
FOLDER = {
    'train/a/000': 11,
    'train/b/001': 12,
    'validation/a/000': 21,
    'validation/b/000': 22,
    'validation/b/002': 23,
}
ALL = {'validation/a/000': 21, 'validation/b/000': 22}


@pytest.mark.parametrize(
    'listed, expected',
    [
        ({'validation/a/000.jpg': 21, 'validation/b/000.jpg': 22}, ALL),
        ({'/home/me/flowers/validation/a/000.JPEG': 21, 'validation/b/000': 22}, ALL),
        ({'validation\\a\\000.jpg': 21, './validation/b/000.png': 22}, ALL),
        ({'train/a/000.jpg': 11, 'a/001.jpg': 9, 'b/002.jpg': 23}, {'validation/b/002': 23}),
        ({'test/002.jpg': 23}, {'validation/b/002': 23}),  # a folder that is no class or split
        ({'002.jpg': 23}, {'validation/b/002': 23}),
        ({'a/002.jpg': 9, 'train/b/002.jpg': 9}, {}),  # other images, which are not there
        ({'b/000.jpg': 22, 'validation/a/000.jpg': 21}, ALL),
        ({'b/000.jpg': 22, 'validation/b/000.jpg': 22}, {'validation/b/000': 22}),
        ({'old/002.jpg': 9, 'new/002.jpg': 9}, {}),
    ],
)
def test_boxes_go_to_the_image_whose_path_they_name(tmp_path, data, listed, expected):
    assert joined(tmp_path, data, listed) == expected


@pytest.mark.parametrize('name', ['000', 'a/000', 'val/000'])
def test_a_name_of_several_images_is_refused(tmp_path, data, name):
    path = tmp_path / 'boxes.csv'
    with refused(
        path=path,
        match=rf'^{path} has boxes for 000.png that could be those of {tmp_path}/\S*/000.png or of '
        rf'{tmp_path}/\S*/000.png; name images with their folders, such as \w+/[ab]/000.png$',
    ):
        joined(tmp_path, data, {f'{name}.jpg': 1})


def joined(tmp_path, data, listed):
    """Gives the boxes that validation images get of a list, {image: side}."""
    for image, side in FOLDER.items():
        (tmp_path / image).parent.mkdir(parents=True, exist_ok=True)
        picture = tf.zeros((side, side, 3), tf.uint8)
        (tmp_path / f'{image}.png').write_bytes(tf.io.encode_png(picture).numpy())
    lines = [f'{name},0,0,{side},{side}' for name, side in listed.items()]
    (tmp_path / 'boxes.csv').write_text('\n'.join(lines))
    data.name, data.data_dir, data.boxes = 'folder', str(tmp_path), f'{tmp_path}/boxes.csv'
    (batch,) = evaluation_batches(open_source(data, 'boxes'), data, batch_size=3)
    assert batch['mask'].all()
    sides = {
        name.removeprefix(f'{tmp_path}/').removesuffix('.png'): boxes[0, 3]
        for name, boxes in zip(batch['name'], batch['boxes'])
    }
    return {name: side for name, side in sides.items() if side}


def test_folders_of_numbers_as_in_imagenetv2(tmp_path):
    """Ten images of a name in every class, listed as CLASS/NAME.jpeg."""
    for label in ('0', '1', '10'):
        for number in range(3):
            path = tmp_path / 'validation' / label / f'{number}.jpeg'
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(jpeg(number))
    lines = [f'{label}/{n}.jpeg,0,0,{label}1,{n + 1}' for label in (0, 1, 10) for n in range(3)]
    source = with_csv(FolderSource(str(tmp_path)), tmp_path, lines)
    found = source.records('validation', 0, 9).map(
        lambda record: (record['name'], source.read_boxes(record, 60, 80))
    )
    for path, (box,) in found.as_numpy_iterator():
        _, label, name = path.decode().rsplit('/', 2)
        assert box.tolist() == [0, 0, int(name[0]) + 1, int(f'{label}1')]


def test_names_of_tfds_that_are_paths_or_ids(tmp_path, data):
    class Named(NumberSource):
        """What TFDS calls records where it knows no file names: the suffix is none."""

        def _whole_split_records(self, split, start, stop):
            def rename(record):
                number = tf.strings.as_string(record['label'])
                name = tf.strings.join([f'numbers-{split}.tfrecord-00000-of-00001__', number])
                return {**record, 'name': name}

            return super()._whole_split_records(split, start, stop).map(rename)

    lines = [f'numbers-validation.tfrecord-00000-of-00001__{n},0,0,{n + 1},1' for n in range(3)]
    (batch,) = evaluation_batches(
        with_csv(Named(validation=3), tmp_path, lines), data, batch_size=3
    )
    assert batch['boxes'][:, 0, 3].tolist() == [1, 2, 3]
