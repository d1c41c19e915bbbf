"""Narrow networks with random weights, as `forward.read_source` would give them."""

import json
import zipfile

import jax
from models.fills import random_variables

from drn_jax import recipes, tasks
from drn_jax.exporting import forward, signatures


def source(
    variant='drn_c_26',
    num_classes=3,
    task='classification',
    dtype='float32',
    convolution='native',
    degridding='own',
):
    config = (recipes.segmentation if task == 'segmentation' else recipes.classification)()
    config.model.variant, config.model.width = variant, 1 / 16
    config.model.num_classes, config.model.dtype = num_classes, dtype
    config.model.convolution, config.model.degridding = convolution, degridding
    config.data.class_names = ('road', 'car', 'sky')[:num_classes]
    model = tasks.create_network(config)
    return forward.ExportSource(model, jax.device_get(random_variables(model)), config, 5)


def card(source, signature, form, platforms=()):
    return signatures.make_card(source, signature, form, platforms)


def change_card(path, **changes):
    """Writes a StableHLO file again with another card."""
    with zipfile.ZipFile(path) as file:
        content = {name: file.read(name) for name in file.namelist()}
    content['card.json'] = json.dumps(json.loads(content['card.json']) | changes)
    with zipfile.ZipFile(path, 'w') as file:
        for name, data in content.items():
            file.writestr(name, data)
