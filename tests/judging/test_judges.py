"""The network that judges: each protocol by hand, the scripts of papers, what is refused."""

import hashlib

import jax
import numpy as np
import pytest
from models.fills import random_variables
from PIL import Image
from safetensors.numpy import save_file
from support import street_scripts
from support.errors import refused
from support.street_network import MEAN, STD, WEIGHTS, color_checkpoint, on_one_device, paint

import drn_jax
from drn_jax import convert, recipes, tasks
from drn_jax.checkpoints import manager
from drn_jax.judging import judges, scoring, verdicts
from drn_jax.judging.judges import Judge
from drn_jax.judging.protocols import PROTOCOLS
from drn_jax.judging.scoring import Reading, Street

ROAD, SIDEWALK, SKY, CAR, VOID = 0, 1, 10, 13, 255
# What each protocol is at 1/128 of its size.
SMALL = {
    name: row._replace(
        image_sizes=tuple((h // 128, w // 128) for h, w in row.image_sizes),
        seen=row.seen and (row.seen[0] // 128, row.seen[1] // 128),
        scored=(row.scored[0] // 128, row.scored[1] // 128),
    )
    for name, row in PROTOCOLS.items()
}
# 2 x 4 pixels: the left half road, the right half car; below them one of sky.
IMAGE = paint([[ROAD, ROAD, CAR, CAR], [ROAD, ROAD, CAR, SKY]])
# 8 x 16 pixels, four for each pixel of the image: as the image, but the two columns at the left are
# sidewalk and the last row has no class.
LABELS = np.kron([[ROAD, ROAD, CAR, CAR], [ROAD, ROAD, CAR, SKY]], np.ones((4, 4), int))
LABELS[:, :2], LABELS[-1] = SIDEWALK, VOID


def counts(protocol, image, labels):
    """Judges one image: {(right, predicted): pixels}, VOID for no class."""
    judge = Judge(color_checkpoint(), protocol)
    (found,) = scoring.score([Street('it', image, labels)], judge, WEIGHTS, Reading())
    rows = [*range(19), VOID]
    return {(rows[i], j): int(found.confusion[i, j]) for i, j in zip(*np.nonzero(found.confusion))}


def test_gan_compression_by_hand():
    # Each pixel's scores are enlarged to 4 x 4. Sky wins where its pixel weighs more than one half:
    # everywhere in its block but at the corner, 5/8 * 5/8. The last row, of no class, is left out.
    assert counts(SMALL['gan_compression'], IMAGE, LABELS) == {
        (SIDEWALK, ROAD): 7 * 2,
        (ROAD, ROAD): 7 * 6,
        (CAR, CAR): 7 * 8 - 3 * 4,
        (SKY, SKY): 3 * 4 - 1,
        (SKY, CAR): 1,
        (VOID, ROAD): 8,
        (VOID, CAR): 4,
        (VOID, SKY): 4,
    }


def test_spade_by_hand():
    # Train ids are interpolated. First row: (2 * .43 of sidewalk) 0, then 13 * .5 / 4 = 1.6, then
    # 13 * 3.5 / 4 = 11.4, then 12.6. In the second the row of 255 makes all four more than 18.
    assert counts(SMALL['spade'], IMAGE, LABELS) == {
        (ROAD, ROAD): 1,
        (2, ROAD): 1,
        (11, CAR): 1,
        (CAR, CAR): 1,
        (VOID, ROAD): 2,
        (VOID, CAR): 1,
        (VOID, SKY): 1,
    }


@pytest.mark.parametrize('name', ['oasis', 'qs_attn', 'cut', 'negcut'])
def test_labels_by_nearest_pixel_by_hand(name):
    # Pixel i takes row or column 4 i + 2 of the label map: sidewalk ends before column 2, and row 7
    # is not looked at. Reduced copies of an image of 2 x 4 do not turn a pixel's class.
    protocol = SMALL[name]._replace(seen=(2, 4), scored=(2, 4))
    assert counts(protocol, IMAGE, LABELS) == {(ROAD, ROAD): 4, (CAR, CAR): 3, (SKY, SKY): 1}


def test_upsampled_by_hand():
    image = paint(np.full((2, 4), CAR))
    found = counts(SMALL['upsampled'], image, LABELS)
    assert found == {
        (SIDEWALK, CAR): 14, (ROAD, CAR): 42, (CAR, CAR): 44, (SKY, CAR): 12, (VOID, CAR): 16
    }  # fmt: skip


@pytest.mark.parametrize('name', PROTOCOLS)
def test_what_the_network_sees_is_what_pillow_gives(name):
    rng, row = np.random.default_rng(0), PROTOCOLS[name]
    image = rng.integers(0, 256, (300, 500, 3), np.uint8)
    labels = rng.integers(0, 19, (512, 1024)).astype(np.uint8)
    seen, scored = scoring.read_street(Street('it', image, labels), row, Reading(resize=True))
    size = row.seen or (256, 512)
    filters = {name: getattr(Image, name.upper()) for name in ('nearest', 'bilinear', 'bicubic')}
    right = Image.fromarray(image).resize(size[::-1], filters[row.image_filter])
    np.testing.assert_array_equal(seen[0], right)
    right = Image.fromarray(labels).resize(row.scored[::-1], filters[row.label_filter or 'nearest'])
    np.testing.assert_array_equal(scored, right)


@pytest.mark.parametrize('height, width', [(8, 12), (16, 24)])
def test_scales_are_copies_reduced_or_enlarged_and_brought_back(height, width):
    rng = np.random.default_rng(1)
    protocol = PROTOCOLS['negcut']._replace(seen=(8, 12), scored=(8, 12))
    image, network = rng.integers(0, 256, (height, width, 3), np.uint8), color_checkpoint()
    total = 0
    for scale in (1, 0.5, 0.75, 1.25, 1.5, 1.75):
        size = int(width * scale), int(height * scale)
        copy = Image.fromarray(image).resize(size, Image.BICUBIC).resize((12, 8), Image.BILINEAR)
        seen = (np.asarray(copy) / 255 - MEAN) / STD
        maps = np.asarray(network.model.apply({}, seen[None].astype(np.float32), 'class_maps'))[0]
        total = total + street_scripts.log_softmax(maps)
    labels = Judge(network, protocol).predict([judges.copies(image, protocol)])
    assert len(np.unique(labels)) > 3
    np.testing.assert_array_equal(labels[0], total.argmax(-1))


def test_a_network_sees_images_by_the_statistics_that_it_was_trained_with():
    network = color_checkpoint()
    release, own = Judge(network, PROTOCOLS['oasis']), Judge(network, PROTOCOLS['cut'])
    assert release.statistics == PROTOCOLS['oasis'].statistics and not release.own_statistics
    network.config.data.mean = (0.485, 0.456, 0.406)
    for before, name in ((release, 'oasis'), (own, 'cut')):
        judge = Judge(network, PROTOCOLS[name])
        assert judge.statistics[0] == (0.485, 0.456, 0.406)
        assert judge.settings != before.settings  # nothing is taken from an earlier call
        assert judge.own_statistics == (name == 'oasis')


def test_scores_that_are_not_finite_are_refused():
    network = color_checkpoint()
    image = paint(np.full((2, 4), CAR))
    network.model.apply = lambda *_, **__: np.full((1, 2, 4, 19), np.nan, np.float32)
    with refused('--checkpoint', match='not finite'):
        Judge(network, SMALL['oasis']).predict([image[None]])


@pytest.fixture(scope='module')
def narrow(tmp_path_factory):
    """A file of weights, DRN-D-22 with a sixteenth of its channels."""
    file = tmp_path_factory.mktemp('weights') / 'narrow.safetensors'
    model = drn_jax.create_model('drn_d_22', num_classes=19, task='segmentation', width=1 / 16)
    save_file(drn_jax.to_torch('drn_d_22', random_variables(model), task='segmentation'), file)
    return file


@pytest.fixture(scope='module')
def network(narrow, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('DRN_JAX_CACHE', str(tmp_path_factory.mktemp('cache')))
        opened, weights = judges.open_network(narrow)
    assert weights == (hashlib.sha256(narrow.read_bytes()).hexdigest(), 'narrow.safetensors')
    return on_one_device(opened)


def compare_with_the_scripts(network, protocol, images, labels):
    """Judges images, and with the scripts; returns both mean IoUs after comparing label maps."""
    judge, counted, sums = Judge(network, protocol), [], 0
    for number, (image, label) in enumerate(zip(images, labels)):
        copies = judges.copies(image, protocol)
        (predicted,) = judge.predict([copies])
        maps = np.asarray(judge._run(judge.network.variables, jax.device_put(copies[None]))[2][0])
        right = street_scripts.label_map(maps, protocol.scored)
        np.testing.assert_array_equal(predicted, right)
        sums = sums + street_scripts.histogram(right, label)
        counted.append(verdicts.ImageCounts(str(number), '', verdicts.count(label, predicted)))
    verdict = verdicts.judge_counts(protocol, counted)
    return verdict.numbers[protocol.numbers[0][0]], street_scripts.mean_iou(sums)


def streets(number, size, scored):
    """Random images of smooth patches, and label maps of blocks with some pixels of no class."""
    rng = np.random.default_rng(3)
    for _ in range(number):
        small = Image.fromarray(rng.integers(0, 256, (size[0] // 16, size[1] // 16, 3), np.uint8))
        noise = rng.normal(0, 20, (*size, 3))
        image = (np.asarray(small.resize(size[::-1], Image.BICUBIC)) + noise).clip(0, 255)
        blocks = rng.choice([*range(19), VOID], (scored[0] // 32, scored[1] // 32))
        yield image.astype(np.uint8), np.kron(blocks, np.ones((32, 32), int)).astype(np.uint8)


@pytest.mark.parametrize(
    'name, size',
    [('gan_compression', (256, 256)), ('oasis', (64, 128)), ('negcut', (64, 128))],
)
def test_label_maps_are_those_of_the_scripts(network, name, size):
    protocol = PROTOCOLS[name]
    if protocol.seen:
        protocol = protocol._replace(seen=size, scored=size)  # smaller, for time
    images, labels = zip(*streets(1, size, protocol.scored))
    ours, theirs = compare_with_the_scripts(network, protocol, images, labels)
    assert ours == theirs and 0 < ours < 100


@pytest.fixture(scope='module')
def drn_d_22(tmp_path_factory):
    folder = tmp_path_factory.mktemp('wide')
    model = drn_jax.create_model('drn_d_22', num_classes=19, task='segmentation')
    state = drn_jax.to_torch('drn_d_22', random_variables(model), task='segmentation')
    save_file(state, folder / 'wide.safetensors')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('DRN_JAX_CACHE', str(folder))
        return on_one_device(judges.open_network(folder / 'wide.safetensors')[0])


@pytest.mark.long
@pytest.mark.parametrize(
    'name, size, number',
    [
        ('gan_compression', (256, 512), 50),
        ('gan_compression', (256, 256), 10),
        ('oasis', (256, 512), 50),
        ('negcut', (128, 256), 20),
        ('upsampled', (1024, 2048), 4),
    ],
)
def test_label_maps_by_drn_d_22_are_those_of_the_scripts(drn_d_22, name, size, number):
    protocol = PROTOCOLS[name]
    images, labels = zip(*streets(number, size, protocol.scored))
    ours, theirs = compare_with_the_scripts(drn_d_22, protocol, images, labels)
    assert ours == theirs and 0 < ours < 100


def test_weights_of_a_checkpoint_have_a_digest_too(network, narrow, tmp_path):
    convert.main([f'--input={narrow}', '--variant=drn_d_22', f'--output={tmp_path / "converted"}'])
    again, weights = judges.open_network(tmp_path / 'converted')
    assert weights.of == 'the variables' and len(weights.sha256) == 64
    assert jax.tree.all(
        jax.tree.map(np.array_equal, again.variables, jax.device_get(network.variables))
    )


@pytest.mark.parametrize(
    'task, classes, match',
    [
        ('classification', 10, 'a network for classification'),
        ('segmentation', 19, '19 classes that are not'),
    ],
)
def test_other_networks_are_refused(task, classes, match, tmp_path):
    config = recipes.segmentation() if task == 'segmentation' else recipes.classification()
    config.model.num_classes, config.model.width, config.data.name = classes, 1 / 16, 'folder'
    variables = random_variables(tasks.create_network(config))
    manager.save_variables(tmp_path / 'other', config, variables)
    with refused('--checkpoint', tmp_path / 'other', match=match):
        judges.open_network(tmp_path / 'other')
