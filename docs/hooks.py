"""Pages that are made while the documentation is built, so that nothing is written twice.

The front page is README.md; the history and the rules for contributors are the files at the root;
the command reference is what `--help` prints; notebooks become pages with the outputs stored in
them.
"""

import base64
import contextlib
import importlib
import io
import json
import os
import pathlib
import re

ROOT = pathlib.Path(__file__).parent.parent
COPIES = {
    'README.md': 'index.md',
    'CHANGELOG.md': 'changelog.md',
    'CONTRIBUTING.md': 'contributing.md',
}


def on_files(files, config):
    """Adds the pages; MkDocs calls this."""
    from mkdocs.structure.files import File

    made = {page: copy(name) for name, page in COPIES.items()}
    made |= {'commands.md': commands_page(), 'fields.md': fields_page()}
    for path in sorted((ROOT / 'docs/notebooks').glob('*.ipynb')):
        made |= notebook_page(path)
    for name, content in made.items():
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown, **_):
    """Leads links to notebooks to their pages; MkDocs calls this."""
    return re.sub(r'\.ipynb\)(?!{)', '.md)', markdown)


def copy(name):
    """Returns a Markdown file of the root with its links as they are inside docs/."""
    text = (ROOT / name).read_text().replace('](docs/', '](')
    for target, page in COPIES.items():
        text = text.replace(f']({target})', f']({page})')
    return text


def help_of(module):
    """Returns what a command says when it is asked for help."""
    os.environ['COLUMNS'] = '100'  # else argparse wraps its text to the terminal
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        importlib.import_module(f'drn_jax.{module}').main(['--help'])
    return printed.getvalue()


def commands_page():
    """Returns the command reference."""
    from drn_jax import cli

    parts = ['# Commands\n\nWhat `--help` prints.\n']
    for verb, module in cli.VERBS.items():
        parts.append(f'## drn-jax {verb}\n\n```text\n{help_of(module).rstrip()}\n```\n')
    return '\n'.join(parts)


def fields_page():
    """Returns the reference of the fields of a configuration."""
    from drn_jax import fields

    return (
        '# Fields\n\nOf a configuration; `--config.FIELD=VALUE` changes one. A stopped run goes on '
        f'under other values of some.\n\n{fields.markdown()}'
    )


def notebook_page(path):
    """Returns the page of a notebook and the pictures in it, name to content."""
    made, lines = {}, []
    for number, cell in enumerate(json.loads(path.read_text())['cells']):
        source = ''.join(cell['source'])
        lines.append(source if cell['cell_type'] == 'markdown' else f'```python\n{source}\n```')
        if number == 0:
            lines.append(f'[The notebook itself]({path.name}){{ download }}')
        printed = ''
        for output in cell.get('outputs', ()):
            data = output.get('data', {'text/plain': output.get('text', '')})
            if 'image/png' in data:
                picture = f'{path.stem}_{number}.png'
                made[f'notebooks/{picture}'] = base64.b64decode(data['image/png'])
                lines.append(f'![Output of the cell above]({picture})')
            else:
                printed += ''.join(data['text/plain'])
        if printed.strip():
            lines.append(f'```text\n{shorten(printed.rstrip())}\n```')
    return {**made, f'notebooks/{path.stem}.md': '\n\n'.join(lines) + '\n'}


def shorten(text, most=16):
    """Returns the last lines of what a cell printed."""
    lines = text.splitlines()
    return '\n'.join(lines if len(lines) <= most else ['...', *lines[-most:]])
