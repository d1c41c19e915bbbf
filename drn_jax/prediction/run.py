"""One run over photographs: batches through the network, results to files, in the order given."""

import concurrent.futures
import functools
import json
import operator
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import ml_collections
import numpy as np

from drn_jax.distributed import memory, meshes
from drn_jax.pictures import page
from drn_jax.prediction import inputs, outputs
from drn_jax.prediction.inputs import Example, Photograph

Record = dict[str, Any]  # what predictions.jsonl says of a photograph


class Answer(Protocol):
    """What a network says of one photograph; tasks differ in the rest.

    Attributes:
        name: of the photograph.
        pixels: the photograph, [H, W, 3], uint8.
    """

    @property
    def name(self) -> str: ...

    @property
    def pixels(self) -> np.ndarray: ...

    def overlay(self) -> np.ndarray:
        """Draws the answer over the photograph, [H, W, 3], uint8."""

    def record(self) -> Record:
        """Returns what predictions.jsonl says."""

    def pictures(self) -> dict[str, tuple[str, np.ndarray]]:
        """Draws pictures, {name: (folder, pixels)}."""


class TaskPredictor(NamedTuple):
    """What the run over photographs needs to know of a checkpoint: where predictions differ.

    Attributes:
        size_of: (height, width) of a photograph -> height and width that the network sees.
        shape_of: these -> height and width of the array that it lies in.
        forward: (images uint8 [B, h, w, 3], geometry int32 [B, 6], whether all images fill their
            arrays) -> a tree of arrays [B, ...], on the devices.
        answer: (example, its row of these as NumPy arrays) -> its `Answer`.
        item: (record, output directory) -> the `page.Item`.
        notes: lines at the head of the page.
        settings: what answers depend on besides the configuration, for report.json.
        config: the configuration, with the options that are fields of it.
    """

    size_of: Callable[[int, int], tuple[int, int]]
    shape_of: Callable[[int, int], tuple[int, int]]
    forward: Callable[[jax.Array, jax.Array, bool], Any]
    answer: Callable[[Example, Any], Answer]
    item: Callable[[Record, pathlib.Path], page.Item]
    notes: tuple[str, ...]
    settings: dict[str, Any]
    config: ml_collections.ConfigDict


class Summary(NamedTuple):
    """How a run ended.

    Attributes:
        examples: photographs that were answered.
        unreadable: files that were not, with the reason, {file: sentence}.
    """

    examples: int
    unreadable: dict[str, str]


def predict(
    photographs: Sequence[Photograph],
    predictor: TaskPredictor,
    mesh: jax.sharding.Mesh,
    output: pathlib.Path,
    *,
    batch_size: int,
    title: str,
    notes: Sequence[str] = (),
    update: Callable[[], None] | None = None,
) -> Summary:
    """Answers photographs and writes pictures, `predictions.jsonl` and `index.html`.

    Lines and the page are written as results come, in the order of the photographs, so memory
    holds a few batches however many there are.

    Args:
        photographs: of `inputs.find_photographs`.
        predictor: a `TaskPredictor`.
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
    unreadable: dict[str, str] = {}
    examples = 0
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


def results(
    photographs: Sequence[Photograph],
    predictor: TaskPredictor,
    mesh: jax.sharding.Mesh,
    output: pathlib.Path,
    batch_size: int,
) -> Iterator[tuple[int, Record]]:
    """Yields pairs of position and record as batches are done; those of one batch together."""
    # Drawing and compressing pictures takes the host longer than reading them.
    with concurrent.futures.ThreadPoolExecutor(min(os.cpu_count() or 1, 16)) as pool:
        for batch in batches(photographs, predictor, batch_size):
            if isinstance(batch, inputs.Unreadable):
                name, file = batch.source.name, str(batch.source.path)
                yield batch.position, {'name': name, 'file': file, 'error': batch.reason}
                continue
            rows = compute(batch, predictor, mesh, batch_size)
            yield from zip(
                [example.position for example in batch],
                pool.map(functools.partial(write, predictor, output), batch, rows),
            )


def batches(
    photographs: Sequence[Photograph], predictor: TaskPredictor, batch_size: int
) -> Iterator[list[Example] | inputs.Unreadable]:
    """Reads photographs in the batches in which a predictor answers them; see `inputs.batches`."""
    return inputs.batches(photographs, predictor.size_of, batch_size, shape_of=predictor.shape_of)


def write(predictor: TaskPredictor, output: pathlib.Path, example: Example, row: Any) -> Record:
    """Writes the pictures of one photograph.

    Args:
        predictor: a `TaskPredictor`.
        output: the directory.
        example: the photograph.
        row: what `compute` gives for it.

    Returns:
        Its record; `files` in it holds the pictures, {name: path below output}.
    """
    answer = predictor.answer(example, row)
    files = {
        name: outputs.save(output, example.source.name, folder, pixels)
        for name, (folder, pixels) in answer.pictures().items()
    }
    return {**outputs.record(example), **answer.record(), 'files': files}


def compute(
    examples: list[Example], predictor: TaskPredictor, mesh: jax.sharding.Mesh, batch_size: int
) -> list[Any]:
    """Runs the network on one batch.

    Args:
        examples: up to `batch_size` of one shape.
        predictor: a `TaskPredictor`.
        mesh: the devices.
        batch_size: rows on the devices.

    Returns:
        For each example what `predictor.forward` gives, as NumPy arrays.

    Raises:
        InputError: the memory does not suffice.
    """
    geometry = np.stack([example.geometry for example in examples])
    geometry = np.pad(geometry, [(0, batch_size - len(examples)), (0, 0)], mode='edge')
    images = inputs.stack(examples, batch_size)
    filled = all(example.resized.shape[:2] == example.shape for example in examples)
    with memory.explain_out_of_memory(memory.images(images.shape), memory.PREDICT):
        batch = jax.device_put((images, geometry), meshes.batch_sharding(mesh))
        found = jax.device_get(predictor.forward(batch[0], batch[1], filled))
    return [jax.tree.map(operator.itemgetter(row), found) for row in range(len(examples))]


def in_order(results: Iterable[tuple[int, Any]]) -> Iterator[Any]:
    """Yields records in the order of their positions, as soon as all before them are there.

    Args:
        results: pairs of position and record, each position from 0 on once.

    Example:
        >>> list(in_order([(1, 'b'), (0, 'a'), (2, 'c')]))
        ['a', 'b', 'c']
    """
    early: dict[int, Any] = {}
    wanted = 0
    for position, record in results:
        early[position] = record
        while wanted in early:
            yield early.pop(wanted)
            wanted += 1
