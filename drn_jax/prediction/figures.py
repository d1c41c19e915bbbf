"""The paper's figures, drawn from networks and photographs of one's own."""
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from drn_jax.ops.conv import dilated_conv
from drn_jax.pictures import overlays, panels
from drn_jax.prediction import maps, shapes, views

TITLES = {3: 'Figure 3: activation maps',
          4: 'Figure 4: a gridding artifact',
          6: 'Figure 6: what enters the first convolution of level 3',
          7: 'Figure 7: the strongest feature map of each level',
          8: 'Figure 8: semantic segmentation'}
TASKS = {3: 'classification', 4: '', 6: '', 7: 'classification', 8: 'segmentation'}
RESPONSES = {'dominant': maps.probability, 'scaled': maps.scaled_score}
SIDE_PX, LEVEL_PX, SCENE_PX = 200, 128, 360  # longer side of pictures in figures 3 and 6, 7, 8


class Subject(NamedTuple):
    """A photograph, what networks make of it, and the class whose activation is shown.

    Attributes:
        name: of the photograph.
        pixels: [H, W, 3], uint8.
        views: a `views.View` for each network, or none.
        label: the class, or -1.
        label_name: what it is called.
    """
    name: str
    pixels: np.ndarray
    views: list[views.View]
    label: int = -1
    label_name: str = ''


def common_class(found):
    """Gives the class with the highest mean probability over networks.

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
    response = RESPONSES[rule](jnp.asarray(view.scores)[None], jnp.array([label]))[0]
    return views.cells(response, view.strides['scores'], view.size, low=0., high=1.)


def figure_3(subjects, networks, rule):
    """Draws activation maps of several networks side by side, a row for each photograph.

    Args:
        subjects: `Subject`s with a class.
        networks: names of the columns.
        rule: see `activation`.

    Returns:
        [H, W, 3], uint8.
    """
    rows = [[seen(subject), *(activation(view, subject.label, rule) for view in subject.views)]
            for subject in subjects]
    return panels.panel(rows, column_titles=['input', *networks], side_px=SIDE_PX,
                        row_titles=[subject.label_name for subject in subjects])


def seen(subject):
    """Gives the photograph in the proportions that the first network saw, so that maps fit it."""
    return shapes.resize(subject.pixels, subject.views[0].size)


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
    output = np.asarray(dilated_conv(
        jnp.asarray(pixel)[None, :, :, None], jnp.ones((3, 3, 1, 1)), dilation=dilation)[0, ..., 0])
    pictures = [_grid(values) for values in (pixel, taps, output)]
    return panels.panel([pictures], column_titles=['input', f'dilation {dilation}', 'output'],
                        padding_px=16), output


def _grid(values, cell_px=20):
    """Draws cells with lines between them."""
    picture = overlays.heat_map(values, low=0., high=1.).repeat(cell_px, 0).repeat(cell_px, 1)
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
    rows = [[seen(subject), *(views.cells(view.entering, view.strides['entering'], view.size)
                              for view in subject.views)] for subject in subjects]
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
    rows = [[shapes.resize(subject.pixels, view.size),
             *(views.cells(view.levels[name], view.strides[name], view.size)
               if name in view.levels else None for name in levels),
             activation(view, subject.label, rule)] for view in subject.views]
    return panels.panel(rows, column_titles=['input', *levels, subject.label_name],
                        row_titles=networks, side_px=LEVEL_PX)


def figure_8(scenes, networks, palette):
    """Draws label maps of several networks side by side, a row for each photograph.

    Args:
        scenes: for each row the photograph, [H, W, 3], and label maps of the networks and perhaps
            the ground truth, [H, W], all uint8.
        networks: names of the columns after the photograph.
        palette: RGB of the classes.

    Returns:
        [H, W, 3], uint8.
    """
    rows = [[photograph, *(overlays.colour_labels(labels, palette) for labels in found)]
            for photograph, found in scenes]
    return panels.panel(rows, column_titles=['input', *networks], side_px=SCENE_PX)
