"""Writes a network as a folder that hubs expect, and uploads it.

  python -m drn_jax.publish --checkpoint=runs/drn_c_26 --output=published
  python -m drn_jax.publish --checkpoint=runs/drn_c_26 --output=published --to=hf:ME/drn_c_26

The folder holds

  model.safetensors         the weights, with the names of the authors' PyTorch code
  config.json               the network and its whole configuration
  preprocessor_config.json  size, mean and deviation of its images
  README.md                 a model card: what was measured, on what data, by which command, with
                            which versions; the license is left for you to fill in

Every command here takes it as --checkpoint, bit for bit the same network, and from the hub as
hf:ME/drn_c_26. Others need safetensors and json alone. Uploading needs pip install 'drn_jax[hub]'
and a token: hf auth login, or HF_TOKEN.
"""

import argparse
import json
from typing import Any

import jax
from etils import epath

from drn_jax import checkpoints, commands, files, paths
from drn_jax.checkpoints import downloads, hub, references, restore, weight_folders
from drn_jax.checkpoints.conversion import Converted
from drn_jax.errors import InputError
from drn_jax.reporting import progress, reports

PRIVATE = ('data_dir', 'manual_dir', 'prepared_dir', 'boxes')  # fields that tell of a machine only
CARD = """---
library_name: drn_jax
# license: fill in
tags:
- {kind}
- dilated-residual-networks
---

# {variant}

A dilated residual network (Yu, Koltun and Funkhouser, CVPR 2017) for {task}, {classes} classes,
{parameters:,} parameters.

```python
import drn_jax

predict = drn_jax.Predictor({reference!r})
predict('photograph.jpg')
```

`model.safetensors` has the names of the authors' PyTorch code; `config.json` and
`preprocessor_config.json` say what the network is and how its images are prepared.

## Results

{results}

## Training

{training}

## License

Fill in under which license these weights may be used.

## Citation

```bibtex
@inproceedings{{Yu2017,
  title     = {{Dilated Residual Networks}},
  author    = {{Yu, Fisher and Koltun, Vladlen and Funkhouser, Thomas}},
  booktitle = {{Conference on Computer Vision and Pattern Recognition (CVPR)}},
  year      = {{2017}}
}}
```
"""


def main(argv: list[str]) -> None:
    """Runs the command with these flags; see the module's text."""
    given = parse_flags(argv)
    checkpoint = checkpoints.open(given.checkpoint, given.step)
    output = new_folder(given.output)
    variables = jax.device_get(checkpoint.read_variables())
    config = checkpoint.config.copy_and_resolve_references()
    for name in {*PRIVATE} & {*config.data}:
        config.data[name] = ''
    if not config.init_from.startswith((references.NAMED, references.HUB, 'https://')):
        config.init_from = ''
    try:
        weight_folders.write(output, Converted(config, variables))
        files.write_json(output / 'preprocessor_config.json', preprocessor(checkpoint))
        (output / 'README.md').write_text(
            card(checkpoint, variables, references.HUB + (given.to or 'ORGANIZATION/NAME'))
        )
    except OSError as error:
        raise InputError(
            f'--output={output} cannot be written ({error.strerror or error}); name another '
            'directory',
            field='--output',
        ) from error
    progress.say(f'{output}: written; fill in the license in README.md')
    if given.to:
        progress.say(f'uploaded: {hub.upload(given.to, output)}')


def parse_flags(argv: list[str]) -> argparse.Namespace:
    """Reads the command line.

    Raises:
        InputError: a flag is wrong.
    """
    parser = commands.Parser('publish', __doc__)
    commands.add_checkpoint_flags(parser)
    parser.add_argument('--output', required=True, metavar='DIR', help='a new directory, local')
    parser.add_argument(
        '--to', metavar='hf:NAME', help='also upload it: hf:ORGANIZATION/NAME, made if needed'
    )
    given = parser.parse_args(argv)
    if given.to is not None:  # raises now, not after writing
        name, revision = references.repository(given.to)
        if revision:
            parser.error(f'--to={given.to} names a revision, but the main branch is written')
        if downloads.offline():
            parser.error(f'--to={given.to} needs the network, but --offline is given or set')
        hub.library()
        given.to = name
    return given


def new_folder(given: str) -> epath.Path:
    """Makes the directory, which must be new or empty.

    Raises:
        InputError: it holds something, or cannot be made.
    """
    path = paths.local(given, '--output')
    try:
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise InputError(
                f'--output={given} exists and is not an empty directory; name a new one',
                field='--output',
            )
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f'--output={given} cannot be made ({error.strerror}); name another directory',
            field='--output',
        ) from error
    return epath.Path(path)


def preprocessor(checkpoint: checkpoints.Checkpoint) -> dict[str, Any]:
    """Returns how images are prepared, in the words that hubs have for it.

    Example:
        >>> from drn_jax import recipes, tasks
        >>> config = recipes.classification()
        >>> config.model.num_classes = 10
        >>> found = checkpoints.Checkpoint(None, 0, config, tasks.create_network(config))
        >>> found = preprocessor(found)
        >>> found['size'], found['crop_size'], found['image_mean']
        ({'shortest_edge': 256}, {'height': 224, 'width': 224}, [0.485, 0.456, 0.406])
    """
    data = checkpoint.config.data
    numbers = {
        'do_rescale': True,
        'rescale_factor': 1 / 255,
        'do_normalize': True,
        'image_mean': list(data.mean),
        'image_std': list(data.std),
    }
    if checkpoint.model.task == 'segmentation':
        return {'do_resize': False, **numbers}
    crop = {'height': data.image_size, 'width': data.image_size}
    if not data.crop:
        return {'do_resize': True, 'size': crop, **numbers}
    size = {'shortest_edge': data.resize_px}
    return {'do_resize': True, 'size': size, 'do_center_crop': True, 'crop_size': crop, **numbers}


def card(checkpoint: checkpoints.Checkpoint, variables: Any, reference: str) -> str:
    """Writes the model card.

    Args:
        checkpoint: the network.
        variables: its variables.
        reference: by which it is loaded.
    """
    model, workdir = checkpoint.model, restore.workdir(checkpoint.path)
    report = {} if weight_folders.exists(checkpoint.path) else _read(workdir / 'report.json')
    metrics = restore.read_metrics(checkpoint.path) or report.get('metrics')
    published = report.get('published', {})
    results, training = 'Not stated.', 'Not stated.'
    if metrics:
        data = report.get('data') or checkpoint.config.data
        results = '\n'.join(
            [
                f'On {data["name"]}, step {checkpoint.step}:',
                '',
                '| metric | measured | published |',
                '|---|---|---|',
                *(
                    f'| {name} | {reports.cell(number)} | {reports.cell(published.get(name))} |'
                    for name, number in metrics.items()
                ),
            ]
        )
    if report:
        versions = ', '.join(f'{name} {number}' for name, number in report['versions'].items())
        training = f'```sh\n{report["command"]}\n```\n\nVersions: {versions}.'
    kind = {'segmentation': 'image-segmentation'}.get(model.task, 'image-classification')
    return CARD.format(
        kind=kind,
        variant=model.variant,
        task=model.task,
        classes=model.num_classes or 'no',
        parameters=sum(leaf.size for leaf in jax.tree.leaves(variables['params'])),
        reference=reference,
        results=results,
        training=training,
    )


def _read(path: epath.Path) -> dict[str, Any]:
    """Reads the report of a run; empty where there is none."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return {}


if __name__ == '__main__':
    commands.run(main)
