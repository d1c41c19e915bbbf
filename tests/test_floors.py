"""The house: imports go down the floors, and a name is one file's."""

import ast
import collections
import pathlib

ROOT = pathlib.Path(__file__).parent.parent / 'drn_jax'
# Modules and packages by floor; a module imports from its own floor or from below.
FLOORS = (
    'buckets cityscapes copies errors fields files flag_types geometry imagenet_classes overrides '
    'paths processors published recipes requirements',
    'data ops',
    'models pictures',
    'checkpoints distributed reporting tasks',
    'experiments schedules',
    'training',
    'exporting planning prediction',
    'judging',
    'check_data cli commands convert evaluate export figures judge main plan predict prepare '
    'publish',
)
HEIGHT = {name: height for height, floor in enumerate(FLOORS) for name in floor.split()}
# Files of the same name that mirror each other by design: a task, and its predictor.
MIRRORED = {'classification.py', 'segmentation.py', '__init__.py'}


def floor_of(path):
    return path.relative_to(ROOT).parts[0].removesuffix('.py')


def imported(path):
    """Names the first part below `drn_jax` of everything that a module imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or '').split('.')[0] == 'drn_jax':
            parts = node.module.split('.')
            yield from [parts[1]] if len(parts) > 1 else [name.name for name in node.names]
        elif isinstance(node, ast.Import):
            yield from (
                name.name.split('.')[1] for name in node.names if name.name.startswith('drn_jax.')
            )


def test_imports_go_down_the_floors():
    up = []
    for path in ROOT.rglob('*.py'):
        own = floor_of(path)
        if own in ('__init__', '__main__'):
            continue
        up += [
            f'{path.relative_to(ROOT)} imports {other}'
            for other in imported(path)
            if HEIGHT[other] > HEIGHT[own]
        ]
    assert not up


def test_operations_see_no_flax_and_data_no_jax():
    for folder, forbidden in (('ops', {'flax'}), ('data', {'jax', 'flax', 'optax'})):
        for path in (ROOT / folder).glob('*.py'):
            found = {
                name.name.split('.')[0] if isinstance(node, ast.Import) else node.module
                for node in ast.walk(ast.parse(path.read_text()))
                if isinstance(node, ast.Import | ast.ImportFrom)
                for name in node.names
            }
            assert not found & forbidden, path


def test_a_name_is_one_files():
    names = collections.Counter(path.name for path in ROOT.rglob('*.py'))
    assert {name for name, number in names.items() if number > 1} <= MIRRORED


def test_functions_are_short_enough_to_read():
    for path in ROOT.rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                lines = node.end_lineno - (body[0].lineno if body else node.lineno) + 1
                assert lines <= 80, f'{path.name}: {node.name} has {lines} lines'


def test_a_raw_configuration_is_seen_by_few():
    """`experiments` resolves it; below the commands few others are given one."""
    takers = []
    for path in ROOT.rglob('*.py'):
        if floor_of(path) not in HEIGHT or not 0 < HEIGHT[floor_of(path)] <= HEIGHT['training']:
            continue
        if path.name == 'experiments.py':
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                parameters = [*node.args.args, *node.args.kwonlyargs]
                takers += [path] * any(each.arg == 'config' for each in parameters)
    assert 0 < len(takers) <= 20 and len(set(takers)) <= 10
