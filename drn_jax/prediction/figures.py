"""The paper's figures, drawn from networks and photographs of one's own."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from drn_jax.ops.conv import dilated_conv
from drn_jax.pictures import overlays, panels
from drn_jax.prediction import activations, maps

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
SIDE_PX, LEVEL_PX, SCENE_PX = 200, 128, 360  # longer side of pictures in figures 3 and 6, 7, 8


class Subject(NamedTuple):
    """What networks make of a photograph, and the class whose activation is shown.

    Attributes:
        name: of the photograph.
        views: a `activations.View` for each network.
        label: the class.
        label_name: what it is called.
    """

    name: str
    views: list[activations.View]
    label: int
    label_name: str


def common_class(found):
    """Returns the class with the highest mean probability over networks.

    Args:
        found: their `View`s.

    Returns:
        int.
    """
    return int(np.mean([view.probabilities() for view in found], axis=0).argmax())


def activation(view, label, rule):
    """Draws the activation map of a class.

    Args:
        view: what the network makes of the photograph.
        label: the class.
        rule: 'dominant', the probability of the class at each place from 0 to 1, as in the paper,
            or 'scaled', its score from its lowest to its highest.

    Returns:
        [H, W, 3], uint8, of the size that the network saw.
    """
    response = RESPONSES[rule][0](jnp.asarray(view.scores)[None], jnp.array([label]))[0]
    return view.cells('scores', response, low=0.0, high=1.0)


def figure_3(subjects, networks, rule):
    """Draws activation maps of several networks side by side, a row for each photograph.

    Args:
        subjects: `Subject`s with a class.
        networks: names of the columns.
        rule: see `activation`.

    Returns:
        [H, W, 3], uint8.
    """
    rows = [
        [subject.views[0].image, *(activation(view, subject.label, rule) for view in subject.views)]
        for subject in subjects
    ]
    return panels.panel(
        rows,
        column_titles=['input', *networks],
        side_px=SIDE_PX,
        row_titles=[subject.label_name for subject in subjects],
    )


def figure_4(dilation=2, side=9):
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


def figure_6(subjects, networks):
    """Draws the strongest map of what enters level 3, a row for each photograph.

    Args:
        subjects: `Subject`s.
        networks: names of the columns.

    Returns:
        [H, W, 3], uint8.
    """
    rows = [
        [subject.views[0].image, *(view.cells('entering', view.entering) for view in subject.views)]
        for subject in subjects
    ]
    return panels.panel(rows, column_titles=['input', *networks], side_px=SIDE_PX)


def figure_7(subject, networks, rule):
    """Draws the strongest feature map of each level and the activation map, a row for each network.

    Args:
        subject: a `Subject` with a class.
        networks: names of the rows.
        rule: see `activation`.

    Returns:
        [H, W, 3], uint8; where a network lacks a level, the place is empty.
    """
    levels = sorted({name for view in subject.views for name in view.levels})
    rows = [
        [
            view.image,
            *(
                view.cells(name, view.levels[name]) if name in view.levels else None
                for name in levels
            ),
            activation(view, subject.label, rule),
        ]
        for view in subject.views
    ]
    return panels.panel(
        rows,
        column_titles=['input', *levels, f'map of {subject.label_name}'],
        row_titles=networks,
        side_px=LEVEL_PX,
    )


def scene(photograph, found, palette):
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


def figure_8(scenes, columns):
    """Draws label maps of several networks side by side, a row for each photograph.

    Args:
        scenes: of `scene`.
        columns: names of the columns after the photograph.

    Returns:
        [H, W, 3], uint8.
    """
    return panels.panel(scenes, column_titles=['input', *columns])
