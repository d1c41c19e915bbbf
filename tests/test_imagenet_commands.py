"""The ImageNet path from the command line, on the real TFDS builder over small tars."""

import json
import pathlib

import pytest
from data.imagenet_tars import VALIDATION, write_imagenet_tars
from support.errors import refused

from drn_jax import evaluate, main

CONFIG = pathlib.Path(__file__).parent.parent / 'configs' / 'drn_c_26.py'

# The experiment of the file, made small enough to compile in seconds.
SMALL = [
    f'--config={CONFIG}',
    '--config.model.width=.0625',
    '--config.data.image_size=32',
    '--config.data.resize_px=40',
    '--config.batch_size=8',
    '--config.data.shards=4',
    '--config.steps=2',
]


@pytest.fixture(scope='module')
def directories(tmp_path_factory):
    """Flags that name the archives and where TFDS prepares them."""
    manual = tmp_path_factory.mktemp('manual')
    write_imagenet_tars(manual, train_per_class=6, classes=2, validation=10)
    prepared = tmp_path_factory.mktemp('prepared')
    return [f'--config.data.data_dir={prepared}', f'--config.data.manual_dir={manual}']


def test_train_then_evaluate_with_one_crop_and_ten(directories, digit_scenes_dir, tmp_path):
    run = tmp_path / 'run'
    main.main([*SMALL, *directories, f'--workdir={run}'])
    report = json.loads((run / 'report.json').read_text())
    assert report['data']['train_examples'] == 12 and report['metrics']['examples'] == 10
    assert report['published'] == {}  # nothing was published for this width
    assert report['command'].startswith('python -m drn_jax.main --config=')

    output = tmp_path / 'ten'
    evaluate.main([f'--checkpoint={run}', f'--output={output}', '--config.evaluation.crops=10'])
    ten = json.loads((output / 'report.json').read_text())
    assert {'top1_error_10crop', 'top5_error_10crop', 'top1_error'} < ten['metrics'].keys()
    assert ten['metrics']['top1_error'] == report['metrics']['top1_error']
    evaluate.main(
        [
            f'--checkpoint={run}',
            '--config.model.dtype=bfloat16',
            '--config.data.validation_split=validation[:3]',
        ]
    )
    written = list((run / 'evaluation').glob('*/report.json'))
    assert len(written) == 1 and json.loads(written[0].read_text())['metrics']['examples'] == 3

    with refused('config.model.variant'):
        evaluate.main([f'--checkpoint={run}', '--config.model.variant=drn_b_26'])
    with refused(
        'config.data.data_dir', match='1000 classes, but digit_scenes has 10, of which the'
    ):
        evaluate.main(
            [
                f'--checkpoint={run}',
                '--config.data.name=digit_scenes',
                f'--config.data.data_dir={digit_scenes_dir}',
            ]
        )
    with refused('--step', run):
        evaluate.main([f'--checkpoint={run}', '--step=7'])


def test_a_missing_tar_is_named(tmp_path):
    write_imagenet_tars(tmp_path / 'manual')
    (tmp_path / 'manual' / VALIDATION).unlink()
    with refused(path=tmp_path / 'manual' / VALIDATION):
        main.main(
            [
                *SMALL,
                f'--workdir={tmp_path}/run',
                f'--config.data.data_dir={tmp_path}/data',
                f'--config.data.manual_dir={tmp_path}/manual',
            ]
        )
    assert not (tmp_path / 'run').exists()
