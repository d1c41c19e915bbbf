"""Panels and confusion matrices: places and colors by hand."""

import numpy as np
import pytest

from drn_jax.pictures import confusion_plot, panels, text


def plain(height, width, color):
    return np.full((height, width, 3), color, np.uint8)


def test_pictures_lie_in_the_middle_of_their_cells():
    found = panels.panel(
        [[plain(10, 20, 0), plain(4, 6, 90)], [None, plain(8, 30, 180)]], padding_px=5
    )
    assert found.shape == (5 + 10 + 5 + 8 + 5, 5 + 20 + 5 + 30 + 5, 3)
    assert (found[5:15, 5:25] == 0).all()
    assert (found[8:12, 42:48] == 90).all() and (found[5:15, 30:42] == 255).all()
    assert (found[20:28, 30:60] == 180).all() and (found[20:28, 5:25] == 255).all()


def test_sides_are_made_equal():
    found = panels.panel([[plain(7, 7, 0), plain(28, 14, 0)]], side_px=28, padding_px=2)
    assert found.shape == (32, 2 + 28 + 2 + 14 + 2, 3)
    small = np.arange(4, dtype=np.uint8).reshape(2, 2, 1).repeat(3, 2)
    np.testing.assert_array_equal(panels.fit(small, 4), small.repeat(2, 0).repeat(2, 1))


def test_titles_take_room_beside_the_pictures():
    bare = panels.panel([[plain(50, 50, 0)] * 2] * 2)
    found = panels.panel(
        [[plain(50, 50, 0)] * 2] * 2,
        column_titles=['one', 'a long long title'],
        row_titles=['first', 'second'],
    )
    down, right = found.shape[0] - bare.shape[0], found.shape[1] - bare.shape[1]
    assert 15 < down < 40 and 40 < right < 80
    np.testing.assert_array_equal(found[down + 8 :, right + 8 :], bare[8:, 8:])
    assert (found[:down, right:] < 128).any() and (found[down:, :right] < 128).any()


def test_bad_panels_are_named():
    with pytest.raises(ValueError, match='a panel needs at least one picture'):
        panels.panel([[None], []])
    with pytest.raises(ValueError, match='2 column titles and 0 row titles do not fit 1 columns'):
        panels.panel([[plain(2, 2, 0)]], column_titles=['a', 'b'])


def test_text_is_cut_to_its_room():
    assert text.width(text.shorten('wonderful' * 9, 100, 14), 14) <= 100
    assert text.shorten('wonderful', 2, 14) == ''


def test_confusion_cells_have_the_color_of_their_share():
    found = confusion_plot.confusion_picture(np.array([[4, 0], [0, 0]]), ['a', 'b'])
    side, cell = found.shape[0], 52
    first = side - 10 - 2 * cell  # where the matrix begins; cells have percentages in the middle
    assert found[first + 3, first + 3].tolist() == confusion_plot.FULL.tolist()
    assert found[first + 3, first + cell + 3].tolist() == [255] * 3
    assert found[first + cell + 3, first + 3].tolist() == [225] * 3  # a row without examples


def test_many_classes_have_no_names():
    names = [f'class {place}' for place in range(1000)]
    large = confusion_plot.confusion_picture(np.eye(1000, dtype=int), names)
    assert large.shape == (2000 + 44, 2000 + 44, 3)


def test_confusion_files_hold_the_counts(tmp_path):
    path = tmp_path / 'confusion.csv'
    confusion_plot.write_confusion(path, np.array([[1, 2], [3, 2**40]]), ['a,b', 'quote "c"'])
    assert path.read_text() == (
        'true,"a,b","quote ""c"""\n"a,b",1,2\n"quote ""c""",3,1099511627776\n'
    )
    assert [file.name for file in tmp_path.iterdir()] == ['confusion.csv']


def test_bad_matrices_are_named(tmp_path):
    for call in (
        confusion_plot.confusion_picture,
        lambda *given: confusion_plot.write_confusion(tmp_path / 'a.csv', *given),
    ):
        with pytest.raises(ValueError, match=r'confusion matrix \(2, 3\) does not fit 2 names'):
            call(np.zeros((2, 3), int), ['a', 'b'])
    assert not list(tmp_path.iterdir())
