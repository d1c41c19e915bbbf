"""Flags, configurations and errors of the commands, without training anything."""

import os
import pathlib
import re
import subprocess
import sys

import pytest
from support.errors import refused

import drn_jax
from drn_jax import commands, evaluate, fields, main, overrides, prepare, recipes, tasks

ROOT = pathlib.Path(__file__).parent.parent
CONFIGS = sorted((ROOT / 'configs').glob('*.py'))


def python_m(*arguments):
    """Runs `python -m drn_jax.<...>` in a process of its own."""
    return subprocess.run(
        [sys.executable, '-m', *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, 'JAX_PLATFORMS': 'cpu'},
        timeout=120,
    )


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_configs_are_recipes_with_changes(path):
    config = commands.load_config(str(path), [])
    recipe = recipes.digit_scenes() if 'digit_scenes' in path.stem else recipes.classification()
    assert sorted(config.to_dict()) == sorted(recipe.to_dict())
    assert config.model.variant in drn_jax.list_models()
    assert f'--config=configs/{path.name}' in path.read_text()


@pytest.mark.parametrize(
    'path',
    [path for path in CONFIGS if path.stem in drn_jax.list_models()],
    ids=lambda path: path.stem,
)
def test_config_headers_quote_the_published_numbers(path):
    config = commands.load_config(str(path), [])
    assert config.model.variant == path.stem
    header = path.read_text().split('"""')[1]
    row = next(line for line in header.splitlines() if line.strip().startswith('published'))
    numbers = [float(word) for word in row.split()[1:] if word != '-']
    wanted = [100 * number for number in tasks.published_metrics(config).values()]
    assert numbers == pytest.approx(wanted)
    assert 'not measured' in header


def test_every_row_of_table_1_and_of_the_release_has_a_config():
    wanted = {
        'resnet_18',
        'resnet_34',
        'resnet_50',
        'resnet_101',
        'drn_a_18',
        'drn_a_34',
        'drn_a_50',
        'drn_b_26',
        'drn_c_26',
        'drn_c_42',
        'drn_c_58',
        'drn_d_22',
        'drn_d_38',
        'drn_d_54',
        'drn_d_105',
    }
    assert wanted <= {path.stem for path in CONFIGS}


def test_nothing_is_published_for_other_data_and_widths():
    config = recipes.classification()
    assert tasks.published_metrics(config)['top5_error_10crop'] == 0.0639
    config.model.width = 0.5
    assert tasks.published_metrics(config) == {}
    assert tasks.published_metrics(recipes.digit_scenes()) == {}
    config = recipes.classification()
    config.model.degridding = 'none'
    assert tasks.published_metrics(config) == {}


def test_overrides_keep_the_type_of_the_field():
    config = commands.load_config(
        str(ROOT / 'configs/drn_c_26.py'),
        [
            '--config.batch_size=512',
            '--config.model.variant=drn_a_50',
            '--config.epochs=60',
            '--config.data.crop_area=(.25,1.)',
            '--config.augmentation.mirror=False',
        ],
    )
    assert (config.batch_size, config.model.variant, config.epochs) == (512, 'drn_a_50', 60.0)
    assert config.data.crop_area == (0.25, 1.0) and not config.augmentation.mirror


@pytest.mark.parametrize(
    'text, wanted',
    [
        ('data.class_names=cat,dog', ('cat', 'dog')),
        ('data.class_names=cat', ('cat',)),
        ('data.class_names=a cat, a dog', ('a cat', 'a dog')),
        ('data.class_names=("cat",\'dog\')', ('cat', 'dog')),
        ('data.class_names=[cat,dog]', ('cat', 'dog')),
        ('data.class_names=1,2', ('1', '2')),
        ('data.class_names=', ()),
        ('model.rematerialize=level1,level2', ('level1', 'level2')),
        ('data.mean=.5,.25,1', (0.5, 0.25, 1)),
        ('optimizer.decay_epochs=30', (30,)),
        ('optimizer.decay_epochs=[30, 60]', (30, 60)),
        ('optimizer.decay_epochs=', ()),
    ],
)
def test_tuples_from_flags(text, wanted):
    name, _, value = text.partition('=')
    for words in ([f'--config.{name}={value}'], [f'--config.{name}', value]):
        config = overrides.override(recipes.classification(), words)
        assert fields.flatten(config)[name] == wanted


@pytest.mark.parametrize(
    'flag, field, message',
    [
        (
            '--config.batch_sise=8',
            'config.batch_sise',
            "config has no field 'batch_sise'; it has augmentation, batch_size",
        ),
        (
            '--config.loss.smooth=1',
            'config.loss.smooth',
            "config.loss has no field 'smooth'; it has label_smoothing, --help",
        ),
        ('--config.seed.of=1', 'config.seed.of', "config.seed has no field 'of'; it has none"),
        ('--config.batch_size=many', 'config.batch_size', 'batch_size=many: invalid literal'),
        ('--config.batch_size=1.5', 'config.batch_size', '1.5'),
        ('--config.model=drn_c_26', 'config.model', 'drn_c_26'),
        ('--confgi.batch_size=8', '', 'confgi'),
        ('batch_size=8', '', 'batch_size=8 is not understood; flags have the form --name=value'),
    ],
)
def test_bad_overrides_are_one_line(flag, field, message):
    with refused(field, match=re.escape(message)):
        overrides.override(recipes.classification(), [flag])


def test_a_configuration_that_is_not_there():
    with refused('--config'):
        commands.load_config('configs/drn_c_27.py', [])


@pytest.mark.parametrize(
    'line, field',
    [
        ('config.batch_sise = 8', 'config.batch_sise'),
        ('config.data.shard = 8', 'config.shard'),
        ('config.optimiser = {"momentum": 0.0}', 'config.optimiser'),
        ('config.unlock(); config.data.shard = 8', 'config.data.shard'),
        ('config.unlock(); config.data.mean = (1, 255, 3)', 'config.data.mean'),
        ('config["loss"] = {"smoothing": 0.1}', 'config.loss.smoothing'),
    ],
)
def test_typos_in_a_configuration_are_refused(tmp_path, line, field):
    (tmp_path / 'config.py').write_text(
        'from drn_jax import recipes\n'
        f'def get_config(): config = recipes.classification(); {line}; return config\n'
    )
    with refused(field):
        commands.load_config(str(tmp_path / 'config.py'), [])


@pytest.mark.parametrize(
    'text, message',
    [
        ('def get_config(', 'does not run: SyntaxError'),
        ('import no_such_module', 'does not run: ModuleNotFoundError: No module named'),
        ('x = 1', r'has no get_config\(\)'),
        ('def get_config(): pass', r'get_config\(\) of .* returns NoneType; let it return a conf'),
        ('def get_config(): return {"seed": 1}', 'returns dict; let it return a configuration'),
    ],
)
def test_a_configuration_that_does_not_run(tmp_path, text, message):
    (tmp_path / 'config.py').write_text(text)
    with refused('--config', match=message):
        commands.load_config(str(tmp_path / 'config.py'), [])


def test_required_flags_are_named():
    with refused('--config', match='--config, --workdir.*drn_jax.main --help'):
        main.main([])
    with refused('--workdir'):  # an unset variable of a shell
        main.main(['--config=configs/digit_scenes.py', '--workdir='])
    with refused('--checkpoint', match='drn_jax.evaluate --help'):
        evaluate.main([])


def test_a_checkpoint_that_is_not_there(tmp_path):
    with refused(path=tmp_path / 'nothing'):
        evaluate.main([f'--checkpoint={tmp_path}/nothing'])


@pytest.mark.parametrize('command', ['main', 'evaluate', 'prepare'])
def test_help_explains(command):
    result = python_m(f'drn_jax.{command}', '--help')
    assert result.returncode == 0
    assert f'python -m drn_jax.{command} --' in result.stdout
    assert '--config.' in result.stdout and not result.stderr


@pytest.mark.parametrize('command', [main, evaluate, prepare])
def test_help_explains_fields_by_the_table(command, capsys):
    with pytest.raises(SystemExit):
        command.main(['--help'])
    shown = capsys.readouterr().out
    for heading, names in command.MOST_USED.items():
        _, _, below = shown.partition(f'\n{heading}:\n')
        group = below.partition('\n\n')[0]
        assert [line.strip() for line in group.splitlines()] == [
            line.strip() for line in fields.lines(names).splitlines()
        ]


def test_errors_are_one_line_with_status_1(tmp_path):
    result = python_m('drn_jax.main', '--config=configs/nothing.py', f'--workdir={tmp_path}/run')
    assert result.returncode == 1
    assert result.stderr == (
        'error: --config=configs/nothing.py is no file; the configurations '
        'lie in configs/, for example configs/digit_scenes.py\n'
    )
    assert not (tmp_path / 'run').exists()


def test_the_package_and_the_command_for_training_come_without_jax_until_it_is_used():
    code = (
        'import sys, drn_jax, drn_jax.main, drn_jax.prepare\n'
        "print([name for name in ('jax', 'flax', 'orbax', 'tensorflow') if name in sys.modules])\n"
        'drn_jax.recipes, drn_jax.create_model\n'
        "print('jax' in sys.modules, 'tensorflow' in sys.modules)"
    )
    ended = subprocess.run(
        [sys.executable, '-c', code], cwd=ROOT, timeout=60, capture_output=True, text=True
    )
    assert ended.stdout.splitlines() == ['[]', 'True False'], ended.stderr


def test_every_public_name_is_there_and_listed():
    assert set(drn_jax.__all__) <= set(dir(drn_jax))
    assert all(getattr(drn_jax, name) for name in drn_jax.__all__)
    with pytest.raises(AttributeError, match="module 'drn_jax' has no attribute 'nonsense'"):
        _ = drn_jax.nonsense


def test_preparing_says_what_there_is(digit_scenes_dir, capsys):
    prepare.main(
        [f'--config={ROOT}/configs/digit_scenes.py', f'--config.data.data_dir={digit_scenes_dir}']
    )
    assert capsys.readouterr().out.splitlines()[-1] == (
        'digit_scenes is ready: 10 classes; train 6,000 images, tune 500 images, '
        'validation 1,000 images'
    )


def test_files_of_images_are_for_one_process(monkeypatch, tmp_path):
    monkeypatch.setattr('jax.process_count', lambda: 2)
    assert evaluate.label_files((), tmp_path, None) is None
    with refused('--save'):
        evaluate.label_files(('labels', 'zip'), tmp_path, None)


def test_what_a_failed_save_leaves_behind_is_not_shown():
    code = (
        'import logging; from drn_jax import commands; '
        "commands.run(lambda argv: logging.getLogger('asyncio').error('never retrieved'))"
    )
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, timeout=60, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b'')
