"""The pages are true: their Python runs, their commands would run, and what they name exists."""

import pathlib
import re
import runpy
import shlex
import subprocess
import sys

import numpy as np
import pytest
from models.fills import random_variables
from PIL import Image
from safetensors.numpy import save_file

import drn_jax
from drn_jax import cli, commands, convert, export, fields, recipes
from drn_jax.checkpoints import conversion, pretrained, references, weight_folders
from drn_jax.overrides import override

ROOT = pathlib.Path(__file__).parent.parent
HOOKS = runpy.run_path(str(ROOT / 'docs/hooks.py'))
PAGES = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in sorted([*ROOT.glob('*.md'), *ROOT.glob('docs/**/*.md')])
}
# Flags of programs that are not ours, and of scripts, whose head explains them.
FOREIGN = {'help', 'strict', 'nodes', 'gpus-per-node', 'time', 'logdir'} | {
    flag
    for pattern, flags_of in (
        ('launch/*.sh', r'--([a-z][\w-]*)'),
        ('benchmarks/*.py', r"add_argument\(\s*'--(\w+)'"),
    )
    for path in ROOT.glob(pattern)
    for flag in re.findall(flags_of, path.read_text())
}


def blocks(text, language):
    """Returns the fenced blocks of a page."""
    return re.findall(rf'```{language}\n(.*?)```', text, re.DOTALL)


def own_commands(text):
    """Returns the commands of this package in a page's blocks: pairs of verb and flags."""
    lines = '\n'.join(blocks(text, 'sh')).replace('\\\n', ' ').splitlines()
    words = [shlex.split(line, comments=True) for line in lines]
    return [
        (command[2].removeprefix('drn_jax.'), command[3:])
        for command in words
        if command[:2] == ['python', '-m'] and command[2].startswith('drn_jax.')
    ]


@pytest.fixture(scope='module')
def flags():
    """The flags of every command, as its --help lists them."""
    return {
        verb: set(re.findall(r'^  (?:-h, )?--(\w+)', HOOKS['help_of'](verb), re.MULTILINE))
        for verb in cli.VERBS.values()
    }


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    """A directory with the checkpoints and files that the pages' Python reads."""
    folder = tmp_path_factory.mktemp('pages')
    model = drn_jax.create_model('drn_c_26', num_classes=10, width=1 / 16)
    state = drn_jax.to_torch('drn_c_26', random_variables(model))
    save_file(state, folder / 'c_26.safetensors')
    for name in ('c_26', 'digit_scenes'):
        convert.main(
            [
                '--variant=drn_c_26',
                f'--input={folder}/c_26.safetensors',
                f'--output={folder}/runs/{name}',
            ]
        )
    export.main(
        [
            f'--checkpoint={folder}/runs/c_26',
            f'--output={folder}/drn_c_26.stablehlo',
            '--platforms=cpu',
            '--no_check',
        ]
    )
    # What `pretrained:drn_c_26` would download: a folder of the cache.
    config = recipes.classification()
    config.model.width, config.model.num_classes = 1 / 16, 10
    row = pretrained.lookup('drn_c_26')
    kept = folder / f'cache/checkpoints/{row.name}-{row.digest[:8]}-{references.FORMAT}'
    kept.mkdir(parents=True)
    weight_folders.write(kept, conversion.Converted(config, random_variables(model)))
    judge = drn_jax.create_model('drn_d_22', num_classes=19, task='segmentation', width=1 / 16)
    state = drn_jax.to_torch('drn_d_22', random_variables(judge), task='segmentation')
    save_file(state, folder / 'drn_d_22.safetensors')
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    Image.fromarray(pixels).save(folder / 'photograph.jpg')
    return folder


@pytest.mark.parametrize('page', [name for name, text in PAGES.items() if blocks(text, 'python')])
def test_python_runs_and_shapes_are_as_the_comments_say(page, place, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.setenv('DRN_JAX_CACHE', str(place / 'cache'))
    monkeypatch.setenv('DRN_JAX_OFFLINE', '1')
    names: dict = {}
    for block in blocks(PAGES[page], 'python'):
        exec(compile(block, page, 'exec'), names)
        for name, shape in re.findall(r'^(\w+) = .*# \[([\d, ]+)\]$', block, re.MULTILINE):
            assert np.shape(names[name]) == tuple(map(int, shape.split(','))), (page, name)


def test_there_is_python_to_run_and_commands_to_check():
    assert sum(bool(blocks(text, 'python')) for text in PAGES.values()) >= 5
    assert {verb for text in PAGES.values() for verb, _ in own_commands(text)} >= {
        *cli.VERBS.values()
    } - {'prepare'}


@pytest.mark.parametrize('page', PAGES)
def test_commands_would_run(page, flags, monkeypatch):
    monkeypatch.chdir(ROOT)
    for verb, words in own_commands(PAGES[page]):
        given = {word.split('=')[0][2:] for word in words if word.startswith('--')}
        overrides = [word for word in words if word.startswith('--config.')]
        assert given - {word.split('=')[0][2:] for word in overrides} <= flags[verb], words
        # The fields exist, and the values have their types.
        if files := [word.split('=')[1] for word in words if word.startswith('--config=')]:
            commands.load_config(files[0], overrides)
        else:
            labels = {field.labels for field in fields.FIELDS if f'config.{field.name}' in given}
            maps = 'maps' in labels
            override((recipes.classification, recipes.segmentation)[maps](), overrides)


@pytest.mark.parametrize('page', PAGES)
def test_what_a_page_names_exists(page, flags):
    text = PAGES[page]
    folders = 'launch|benchmarks|configs|drn_jax|tests|docs'
    for path in re.findall(rf'(?<![\w/])(?:{folders})/[\w/]+\.\w+', text):
        assert (ROOT / path).exists(), path
    for command in re.findall(r'python -m drn_jax\.(\w+)', text):
        assert command in {*cli.VERBS.values(), 'VERB'}, command
    named = set(re.findall(r'(?<![\w-])--([a-z][\w-]*\w)(?![\w.-])', text))
    assert named <= FOREIGN.union(*flags.values()), page
    known = {field.name for field in fields.FIELDS}
    sections = {name.partition('.')[0] for name in known if '.' in name}
    for name in re.findall(r'(?<![\w.])config\.([a-z][\w.]*\w)', text):
        assert name in known | sections, name
    for name in re.findall(r'drn_jax\.([a-z]\w*)\(', text):
        assert hasattr(drn_jax, name), name


@pytest.mark.parametrize('page', PAGES)
def test_links_lead_somewhere(page):
    made = {'index.md', 'commands.md', 'fields.md', 'changelog.md', 'contributing.md'}
    for target in re.findall(r'\]\((?!https?:)([^)#]+)[^)]*\)', PAGES[page]):
        lies = (ROOT / page).parent / target
        assert lies.exists() or target in made, target


def test_the_site_is_built_without_warnings(tmp_path):
    pytest.importorskip('mkdocstrings')
    built = subprocess.run(
        [sys.executable, '-m', 'mkdocs', 'build', '--strict', '--site-dir', tmp_path / 'site'],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr[-3000:]
    for name in ('index', 'commands', 'fields', 'api/models', 'notebooks/backbone_in_nnx'):
        page = (tmp_path / f'site/{name}.html').read_text()
        # Nothing is fetched when a page is shown.
        assert not re.findall(r'(?:src|rel="stylesheet" href)="?(?:https?:)?//', page), name
