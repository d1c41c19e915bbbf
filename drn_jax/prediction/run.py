"""One pass over photographs: batches through the network, results to files, in the order given."""

import concurrent.futures
import json
import os
from typing import NamedTuple

import jax
import numpy as np

from drn_jax.distributed import memory, meshes
from drn_jax.pictures import page
from drn_jax.prediction import batches


class Summary(NamedTuple):
    """How a pass ended.

    Attributes:
        examples: photographs that were answered.
        unreadable: files that were not, with the reason, {file: sentence}.
    """

    examples: int
    unreadable: dict[str, str]


def predict(photographs, predictor, mesh, output, *, batch_size, title, notes=(), update=None):
    """Answers photographs and writes pictures, `predictions.jsonl` and `index.html`.

    Lines and the page are written as results come, in the order of the photographs, so memory
    holds a few batches however many there are.

    Args:
        photographs: of `inputs.find_photographs`.
        predictor: a `Predictor`.
        mesh: the devices.
        output: the directory.
        batch_size: photographs at a time, a multiple of the devices.
        title: of the page.
        notes: lines below it, before the predictor's.
        update: called after each photograph.

    Returns:
        A `Summary`.

    Raises:
        InputError: a batch does not fit into memory.
    """
    unreadable, examples = {}, 0
    # Written in place: where a long call is stopped, the lines so far stay.
    with open(output / 'predictions.jsonl', 'w', encoding='utf-8') as lines:

        def items():
            nonlocal examples
            for record in in_order(results(photographs, predictor, mesh, output, batch_size)):
                lines.write(json.dumps(record) + '\n')
                if update:
                    update()
                if 'error' in record:
                    unreadable[record['file']] = record['error']
                    yield page.Item(record['name'], [], [('unreadable', record['error'])])
                else:
                    examples += 1
                    yield predictor.item(record, output)

        page.write_page(output / 'index.html', title, items(), [*notes, *predictor.notes])
    return Summary(examples, unreadable)


def results(photographs, predictor, mesh, output, batch_size):
    """Returns pairs of place and record as batches are done; those of one batch together."""
    # Drawing and compressing pictures takes the host longer than reading them.
    with concurrent.futures.ThreadPoolExecutor(min(os.cpu_count() or 1, 16)) as pool:
        for batch in batches.batches(photographs, predictor.size_of, batch_size):
            if isinstance(batch, batches.Unreadable):
                yield (
                    batch.place,
                    {
                        'name': batch.source.name,
                        'file': str(batch.source.path),
                        'error': batch.reason,
                    },
                )
                continue
            answers = compute(batch, predictor, mesh, batch_size)
            rows = [jax.tree.map(lambda array: array[row], answers) for row in range(len(batch))]
            yield from zip(
                [example.place for example in batch],
                pool.map(predictor.write, batch, rows, [output] * len(batch)),
            )


def compute(examples, predictor, mesh, batch_size):
    """Runs the network on one batch.

    Args:
        examples: up to `batch_size` of one shape.
        predictor: a `Predictor`.
        mesh: the devices.
        batch_size: rows on the devices.

    Returns:
        The predictor's answers as NumPy arrays, `batch_size` rows.

    Raises:
        InputError: the memory does not suffice.
    """
    geometry = np.stack([example.geometry for example in examples])
    geometry = np.pad(geometry, [(0, batch_size - len(examples)), (0, 0)], mode='edge')
    images = batches.stack(examples, batch_size)
    with memory.explain_out_of_memory(memory.images(images.shape), memory.PREDICT):
        return jax.device_get(
            predictor.answers(*jax.device_put((images, geometry), meshes.batch_sharding(mesh)))
        )


def in_order(results):
    """Returns records in the order of their places, as soon as all before them are there.

    Args:
        results: pairs of place and record, each place from 0 on once.

    Example:
        >>> list(in_order([(1, 'b'), (0, 'a'), (2, 'c')]))
        ['a', 'b', 'c']
    """
    early, wanted = {}, 0
    for place, record in results:
        early[place] = record
        while wanted in early:
            yield early.pop(wanted)
            wanted += 1
