"""The paper's figures, drawn from networks and photographs of one's own."""

import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from drn_jax.checkpoints import restore
from drn_jax.data import image_files
from drn_jax.errors import InputError
from drn_jax.ops.conv import dilated_conv
from drn_jax.pictures import overlays, page, panels
from drn_jax.prediction import activations, inputs, maps, outputs, segmentation
from drn_jax.prediction.activations import Activations
from drn_jax.prediction.checkpoint import LoadedCheckpoint
from drn_jax.prediction.inputs import Photograph

TITLES = {
    3: 'Figure 3: activation maps',
    4: 'Figure 4: a gridding artifact',
    6: 'Figure 6: what enters the first convolution of level 3',
    7: 'Figure 7: the strongest feature map of each level',
    8: 'Figure 8: semantic segmentation',
}
TASKS = {3: 'classification', 4: '', 6: '', 7: 'classification', 8: 'segmentation'}
RESPONSES = {
    'dominant': (maps.probability, 'probability of the class left of the row, 0 to 1'),
    'scaled': (maps.scaled_score, 'score of the class left of the row, lowest to highest'),
}
ROWS = 8  # photographs in one file
SIDE_PX, LEVEL_PX, SCENE_PX = 200, 128, 360  # longer side of pictures in figures 3 and 6, 7, 8


class Subject(NamedTuple):
    """What networks make of a photograph, and the class whose activation is shown.

    Attributes:
        name: of the photograph.
        found: the `Activations` of each network.
        label: the class.
        label_name: what it is called.
    """

    name: str
    found: list[Activations]
    label: int
    label_name: str


def common_class(found: Sequence[Activations]) -> int:
    """Returns the class with the highest mean probability over networks."""
    return int(np.mean([each.probabilities() for each in found], axis=0).argmax())


def activation_map(found: Activations, label: int, rule: str) -> np.ndarray:
    """Draws the class activation map.

    Args:
        found: what the network makes of the photograph.
        label: the class.
        rule: 'dominant', the probability of the class at each place from 0 to 1, as in the paper,
            or 'scaled', its score from its lowest to its highest.

    Returns:
        [H, W, 3], uint8, of the size that the network saw.
    """
    response = RESPONSES[rule][0](jnp.asarray(found.scores)[None], jnp.array([label]))[0]
    return found.cells('scores', np.asarray(response), low=0.0, high=1.0)


def figure_3(subjects: Sequence[Subject], networks: Sequence[str], rule: str) -> np.ndarray:
    """Draws activation maps of several networks side by side, a row for each photograph.

    Args:
        subjects: `Subject`s with a class.
        networks: names of the columns.
        rule: see `activation_map`.

    Returns:
        [H, W, 3], uint8.
    """
    rows = [
        [each.found[0].image, *(activation_map(one, each.label, rule) for one in each.found)]
        for each in subjects
    ]
    return panels.panel(
        rows,
        column_titles=['input', *networks],
        side_px=SIDE_PX,
        row_titles=[subject.label_name for subject in subjects],
    )


def figure_4(dilation: int = 2, side: int = 9) -> tuple[np.ndarray, np.ndarray]:
    """Draws what a dilated convolution makes of a single active pixel: a grid of pixels.

    Args:
        dilation: pixels between the taps of the 3 x 3 kernel.
        side: of the map in pixels.

    Returns:
        The figure, [H, W, 3], uint8, and what the convolution gave, [side, side], float32.

    Example:
        >>> _, output = figure_4(dilation=2, side=5)
        >>> output.astype(int).tolist()
        [[1, 0, 1, 0, 1], [0, 0, 0, 0, 0], [1, 0, 1, 0, 1], [0, 0, 0, 0, 0], [1, 0, 1, 0, 1]]
    """
    pixel = np.zeros((side, side), np.float32)
    pixel[side // 2, side // 2] = 1
    taps = np.zeros((2 * dilation + 1,) * 2, np.float32)
    taps[::dilation, ::dilation] = 1
    output = np.asarray(
        dilated_conv(
            jnp.asarray(pixel)[None, :, :, None], jnp.ones((3, 3, 1, 1)), dilation=dilation
        )[0, ..., 0]
    )
    pictures = [_grid(values) for values in (pixel, taps, output)]
    return panels.panel(
        [pictures], column_titles=['input', f'dilation {dilation}', 'output'], padding_px=16
    ), output


def _grid(values, cell_px=20):
    """Draws cells with lines between them."""
    picture = overlays.heat_map(values, low=0.0, high=1.0).repeat(cell_px, 0).repeat(cell_px, 1)
    picture[::cell_px] = picture[:, ::cell_px] = 255
    return picture[1:, 1:]


def figure_6(subjects: Sequence[Subject], networks: Sequence[str]) -> np.ndarray:
    """Draws the strongest map of what enters level 3, a row for each photograph.

    Args:
        subjects: `Subject`s.
        networks: names of the columns.

    Returns:
        [H, W, 3], uint8.
    """
    rows = [
        [each.found[0].image, *(one.cells('entering', one.entering) for one in each.found)]
        for each in subjects
    ]
    return panels.panel(rows, column_titles=['input', *networks], side_px=SIDE_PX)


def figure_7(subject: Subject, networks: Sequence[str], rule: str) -> np.ndarray:
    """Draws the strongest feature map of each level and the activation map, a row for each network.

    Args:
        subject: a `Subject` with a class.
        networks: names of the rows.
        rule: see `activation_map`.

    Returns:
        [H, W, 3], uint8; where a network lacks a level, the place is empty.
    """
    levels = sorted({name for each in subject.found for name in each.levels})
    rows = [
        [
            each.image,
            *(
                each.cells(name, each.levels[name]) if name in each.levels else None
                for name in levels
            ),
            activation_map(each, subject.label, rule),
        ]
        for each in subject.found
    ]
    return panels.panel(
        rows,
        column_titles=['input', *levels, f'map of {subject.label_name}'],
        row_titles=networks,
        side_px=LEVEL_PX,
    )


def scene(
    photograph: np.ndarray, found: Sequence[np.ndarray], palette: Sequence[tuple[int, int, int]]
) -> list[np.ndarray]:
    """Draws the row of figure 8 that belongs to a photograph.

    Args:
        photograph: [H, W, 3], uint8.
        found: label maps, [H, W], uint8.
        palette: RGB of the classes.

    Returns:
        A list of pictures, [h, w, 3], uint8.
    """
    pictures = [photograph, *(overlays.color_labels(labels, palette) for labels in found)]
    return [panels.fit(picture, SCENE_PX) for picture in pictures]


def figure_8(scenes: Sequence[Sequence[np.ndarray]], columns: Sequence[str]) -> np.ndarray:
    """Draws label maps of several networks side by side, a row for each photograph.

    Args:
        scenes: of `scene`.
        columns: names of the columns after the photograph.

    Returns:
        [H, W, 3], uint8.
    """
    return panels.panel(scenes, column_titles=['input', *columns])


class Drawing:
    """Draws figures of photographs with some networks, a few photographs at a time.

    Args:
        checkpoints: the networks.
        output: the directory, which receives the figures as PNG.
        numbers: of the figures.
        rule: see `activation_map`.
        label: the class of activation maps; None: the likeliest of each photograph.
        truth: {name of photograph: file of its label map}, or None.
        options: of `segmentation.label_fn`.

    Attributes:
        unreadable: photographs that could not be read, {file: sentence}.
    """

    def __init__(
        self,
        checkpoints: Sequence[LoadedCheckpoint],
        output: pathlib.Path,
        numbers: Sequence[int],
        *,
        rule: str,
        label: int | None = None,
        truth: Mapping[str, pathlib.Path] | None = None,
        options: Mapping[str, Any],
    ):
        self._checkpoints, self._networks = checkpoints, network_names(checkpoints)
        self._output, self._numbers, self._part = output, set(numbers), 0
        self._rule, self._label, self._truth = rule, label, truth
        self._activation_fns = [
            activations.activations_fn(each) for each in checkpoints if {3, 6, 7} & self._numbers
        ]
        self._label_fns = [
            segmentation.label_fn(each, options) for each in checkpoints if 8 in self._numbers
        ]
        self.unreadable: dict[str, str] = {}

    def items(
        self, photographs: Sequence[Photograph], update: Callable[[], None]
    ) -> Iterator[page.Item]:
        """Draws the figures; yields what the page shows, and calls `update` after a photograph."""
        if 4 in self._numbers:
            pixels, _ = figure_4()
            caption = 'A 3 x 3 convolution of dilation 2 makes a grid of a single active pixel.'
            yield self._item(4, 'gridding', pixels, caption)
        if self._numbers == {4}:
            return
        for start in range(0, len(photographs), ROWS):
            sources = []
            for source in photographs[start : start + ROWS]:
                try:
                    sources.append((source, image_files.read_image(source.path)))
                except InputError as error:
                    self.unreadable[str(source.path)] = str(error)
                    yield page.Item(source.name, [], [('unreadable', str(error))])
                update()
            if sources:
                yield from self._items(sources)

    def _items(self, sources):
        """Draws the figures of some photographs, pairs of source and pixels."""
        numbers, first = self._numbers, self._checkpoints[0]
        names = f'from top to bottom: {", ".join(source.name for source, _ in sources)}'
        subjects = [self._subject(*source) for source in sources] if self._activation_fns else []
        self._part += 1
        part = f'{self._part:03d}'
        if 3 in numbers:
            pixels = figure_3(subjects, self._networks, self._rule)
            yield self._item(3, part, pixels, f'{RESPONSES[self._rule][1]}; {names}')
        if 6 in numbers:
            yield self._item(6, part, figure_6(subjects, self._networks), names)
        for subject in subjects if 7 in numbers else ():
            pixels = figure_7(subject, self._networks, self._rule)
            yield self._item(7, subject.name, pixels, subject.name)
        if 8 in numbers:
            columns = [*self._networks, *['ground truth'] * (self._truth is not None)]
            scenes = [self._scene(*source) for source in sources]
            legend = [(name, '', color) for name, color in zip(first.class_names, first.palette)]
            yield self._item(8, part, figure_8(scenes, columns), names, legend)

    def _subject(self, source, pixels):
        """Computes what the networks make of a photograph."""
        found = [compute(pixels) for compute in self._activation_fns]
        label = common_class(found) if self._label is None else self._label
        return Subject(source.name, found, label, self._checkpoints[0].class_names[label])

    def _scene(self, source, pixels):
        """Draws a photograph and its label maps, the ground truth last."""
        found, first = [label(pixels) for label in self._label_fns], self._checkpoints[0]
        if self._truth is not None:
            file, classes = self._truth[source.name], first.model.num_classes
            found.append(inputs.read_labels(file, pixels.shape[:2], classes, source.path))
        return scene(pixels, found, first.palette)

    def _item(self, number, name, pixels, caption, table=()):
        """Writes a figure as PNG and returns what the page shows."""
        file = outputs.save(self._output, name, f'figure_{number}', pixels)
        picture = page.Picture(caption, pixels, photograph=False, wide=True)
        return page.Item(file, [picture], table, section=TITLES[number])


def network_names(checkpoints: Sequence[LoadedCheckpoint]) -> list[str]:
    """Names networks: by variant; where two share one by working directory, or by that and step."""
    workdirs = [checkpoint.path.parent.parent.name for checkpoint in checkpoints]
    ways = [
        [checkpoint.config.model.variant for checkpoint in checkpoints],
        workdirs,
        [
            f'{workdir}, {restore.label(checkpoint.path)}'
            for workdir, checkpoint in zip(workdirs, checkpoints)
        ],
    ]
    return next((names for names in ways if len(set(names)) == len(names)), ways[-1])
