"""A trained network that answers photographs, in Python; the command `predict` is it and files."""

import argparse
import importlib
import os
import pathlib
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image

from drn_jax import tasks
from drn_jax.errors import InputError
from drn_jax.prediction import inputs, run
from drn_jax.prediction.checkpoint import load_checkpoint, optimized

# By task: a module with `predictor`, `FLAGS` and `BATCH_SIZE`.
PREDICTORS: dict[str, ModuleType] = {
    task: importlib.import_module(kind.predictor)
    for task, kind in tasks.TASKS.items()
    if kind.predictor
}


class Predictor:
    """Answers photographs of any size and kind with a trained network.

    Each size that the network sees is compiled once, and there are few; see `whole_size` of
    `prediction.classification` and `shapes` of `prediction.segmentation`.

    Args:
        reference: of the checkpoint, such as 'pretrained:drn_c_26' or 'runs/mine'; see
            `checkpoints.references.resolve`.
        step: of it; None: the best by validation, else the latest.
        overrides: flags `--config.field=value`.
        photographs: about how many there will be. For a few, algorithms are chosen that compile
            in seconds.
        **options: those of the task. A classifier has `rule`, 'scaled' or 'dominant', and
            `threshold`, for its boxes; segmentation has `size`, height and width that the network
            sees, `short_side` and `tile_px`.

    Attributes:
        checkpoint: a `LoadedCheckpoint`.
        task: the `run.TaskPredictor`.

    Raises:
        InputError: there is no such checkpoint, its task has no predictions, or an option is wrong.

    Example:
        predict = drn_jax.Predictor('pretrained:drn_c_26')
        found = predict('dog.jpg')
        print(found.class_names, found.probabilities, found.boxes[0])
        predict.show('dog.jpg').save('overlay.png')
    """

    def __init__(
        self,
        reference: str | os.PathLike,
        *,
        step: int | None = None,
        overrides: Sequence[str] = (),
        photographs: int = 1,
        **options: Any,
    ):
        checkpoint = load_checkpoint(reference, step, overrides)
        name = checkpoint.config.task
        if name not in PREDICTORS:
            raise InputError(
                f'a network for {name} has no predictions; there are some for '
                f'{", ".join(PREDICTORS)}',
                path=checkpoint.path,
            )
        module = PREDICTORS[name]
        options = {key: value for key, value in options.items() if value is not None}
        for key in options.keys() - module.FLAGS.keys():
            others = [task for task, other in PREDICTORS.items() if key in other.FLAGS]
            raise InputError(
                f'--{key} is for {others[0] if others else "no task"}, but the checkpoint is for '
                f'{name}; leave it out',
                field=f'--{key}',
            )
        self.checkpoint = optimized(checkpoint, photographs)
        self.batch_size = module.BATCH_SIZE
        self.task = module.predictor(
            self.checkpoint,
            {key: _read(key, options.get(key), flag) for key, flag in module.FLAGS.items()},
        )

    def __call__(self, given: Any) -> Any:
        """Answers a photograph, or several.

        Args:
            given: the path of a file, or an array [H, W, 3] of uint8 (RGB, whole numbers 0 to
                255); or a list of these, or the path of a folder, with all folders below.

        Returns:
            What the network says: a `classification.Classification` (names, probabilities and
            boxes of the best classes, `class_map` of the best) or a `segmentation.Segmentation`
            (`labels`), at the size of the photograph; a list of them for several.

        Raises:
            InputError: a file cannot be read, or an array is no photograph.
        """
        photographs, several = _photographs(given)
        devices = self.checkpoint.mesh.devices.size
        size = min(self.batch_size * devices, devices * -(-len(photographs) // devices))
        found: dict[int, run.Answer] = {}
        for batch in run.batches(photographs, self.task, size):
            if isinstance(batch, inputs.Unreadable):
                raise InputError(batch.reason, path=batch.source.path)
            rows = run.compute(batch, self.task, self.checkpoint.mesh, size)
            for example, row in zip(batch, rows):
                found[example.position] = self.task.answer(example, row)
        answers = [found[position] for position in range(len(photographs))]
        return answers if several else answers[0]

    def show(self, given: Any) -> Any:
        """Draws answers over their photographs.

        Args:
            given: as in a call.

        Returns:
            A `PIL.Image.Image` of the photograph's size, or a list of them: the class activation
            map and the box of the best class, or the classes of all pixels.

        Raises:
            InputError: as in a call.
        """
        answers = self(given)
        pictures = [
            Image.fromarray(answer.overlay())
            for answer in (answers if isinstance(answers, list) else [answers])
        ]
        return pictures if isinstance(answers, list) else pictures[0]


def _read(name: str, value: Any, flag: Mapping[str, Any]) -> Any:
    """Returns the value of an option as its flag would have it, None where it is not given.

    Raises:
        InputError: the flag refuses it.
    """
    if value is None:
        return None
    text = 'x'.join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    try:
        if text not in flag.get('choices', [text]):
            raise argparse.ArgumentTypeError(
                f'{text!r} is given, but it is {" or ".join(flag["choices"])}'
            )
        return flag.get('type', str)(text)
    except argparse.ArgumentTypeError as error:
        raise InputError(f'{name}: {error}', field=f'--{name}') from error


def _photographs(given: Any) -> tuple[list[inputs.Photograph], bool]:
    """Returns the photographs that were given, and whether they are several by their kind."""
    several = isinstance(given, list | tuple)
    found: list[inputs.Photograph] = []
    for each in given if several else [given]:
        if isinstance(each, str | os.PathLike):
            found += inputs.find_photographs([each])
            several = several or os.path.isdir(each)
            continue
        pixels = np.asarray(each)
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
            raise InputError(
                f'an array {list(pixels.shape)} of {pixels.dtype} is no photograph; give '
                '[height, width, 3] of uint8, RGB, or a list of them'
            )
        found.append(inputs.Photograph(f'array {len(found)}', pathlib.Path(), pixels))
    return found, several
