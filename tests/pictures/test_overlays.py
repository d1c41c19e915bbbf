"""Overlays: pixels worked out by hand, then properties."""

import numpy as np
import pytest

from drn_jax.pictures import overlays

GRAY = np.full((40, 60, 3), 100, np.uint8)


def test_colors_get_lighter_from_low_to_high():
    light = overlays.STEPS[::5] @ np.array(
        [0.299, 0.587, 0.114]
    )  # steps of one gray level round off
    assert (np.diff(light) > 0).all()
    assert overlays.STEPS[0].tolist() == [68, 1, 84]
    assert overlays.STEPS[255].tolist() == [253, 231, 37]


def test_ends_of_the_scale():
    found = overlays.heat_map(np.array([[-5.0, 0, 1, 9, np.nan]]), low=0, high=1)
    low, high = overlays.STEPS[0].tolist(), overlays.STEPS[255].tolist()
    assert found.tolist() == [[low, low, high, high, low]]
    for flat in (np.ones((2, 3)), np.full((2, 3), np.nan)):
        assert (overlays.heat_map(flat) == overlays.STEPS[0]).all()


def test_enlarging_by_hand():
    # Two cells over pixels 2 to 10: centers at 4 and 8; pixel centers lie at .5, 1.5, ...
    values, inside = overlays.enlarge(np.array([[0.0], [8.0]]), 12, 1, (2, 0, 10, 1))
    assert values[:, 0].tolist() == [0, 0, 0, 0, 1, 3, 5, 7, 8, 8, 8, 8]
    assert inside[:, 0].tolist() == [False] * 2 + [True] * 8 + [False] * 2


def test_a_map_larger_than_the_photograph_is_cut():
    values = np.arange(20.0).reshape(4, 5)
    large, _ = overlays.enlarge(values, 32, 40)
    cut, inside = overlays.enlarge(values, 30, 33, (0, 0, 32, 40))
    np.testing.assert_allclose(cut, large[:30, :33], atol=1e-5)
    assert inside.all()


def test_heat_stays_within_its_region():
    found = overlays.overlay_heatmap(GRAY, np.eye(3), region=(10, 20, 30, 40))
    outside = np.ones((40, 60), bool)
    outside[10:30, 20:40] = False
    assert (found[outside] == 100).all() and (found[~outside] != 100).any(-1).all()
    assert (overlays.overlay_heatmap(GRAY, np.eye(3), alpha=0) == 100).all()
    np.testing.assert_array_equal(
        overlays.overlay_heatmap(GRAY, np.ones((2, 2)), alpha=1),
        np.broadcast_to(overlays.STEPS[0], GRAY.shape),
    )
    assert (GRAY == 100).all()


def test_heat_of_a_map_with_gaps():
    values = np.array([[np.nan, 1.0], [0.0, np.inf]])
    assert overlays.overlay_heatmap(GRAY, values).shape == GRAY.shape


def test_boxes_end_before_their_upper_ends():
    found = overlays.draw_boxes(GRAY, [[5, 10, 25, 50]])
    changed = (found != 100).any(-1)
    ys, xs = np.nonzero(changed)
    assert (ys.min(), xs.min(), ys.max() + 1, xs.max() + 1) == (5, 10, 25, 50)
    assert not changed[8:22, 13:47].any()
    assert (GRAY == 100).all()


def test_empty_boxes_are_not_drawn():
    assert (overlays.draw_boxes(GRAY, [[0, 0, 0, 0], [5, 5, 5, 9]], ['a', 'b']) == 100).all()
    assert (overlays.draw_boxes(GRAY, np.zeros((0, 4))) == 100).all()


@pytest.mark.parametrize('box', [[0, 0, 40, 60], [30, 50, 40, 60], [-9, -9, 90, 90]])
def test_labels_stay_within_the_photograph(box):
    bare = overlays.draw_boxes(GRAY, [box])
    found = overlays.draw_boxes(GRAY, [box], ['a name that is far too long for it'])
    assert found.shape == GRAY.shape and (found != bare).any()


def test_labels_by_hand():
    palette = [(200, 0, 0), (0, 0, 200)]
    labels = np.array([[0, 1, 255]], np.uint8)
    assert overlays.color_labels(labels, palette, ignore_color=(1, 2, 3)).tolist() == [
        [[200, 0, 0], [0, 0, 200], [1, 2, 3]]
    ]
    assert overlays.overlay_labels(GRAY[:1, :3], labels, palette, alpha=0.25).tolist() == [
        [[125, 75, 75], [75, 75, 125], [100, 100, 100]]
    ]


def test_bad_input_is_named():
    with pytest.raises(ValueError, match='1 labels do not fit 2 boxes'):
        overlays.draw_boxes(GRAY, [[0, 0, 9, 9]] * 2, ['a'])
    with pytest.raises(ValueError, match='label 7 has no color in a palette of 2; .* 0 to 1'):
        overlays.color_labels(np.array([[7]], np.uint8), [(0, 0, 0)] * 2)
    with pytest.raises(ValueError, match=r'labels \(2, 2\) do not fit .* \(40, 60\) pixels'):
        overlays.overlay_labels(GRAY, np.zeros((2, 2), np.uint8), [(0, 0, 0)])
