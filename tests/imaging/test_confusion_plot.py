"""Confusion matrices drawn as images: the cells, by their pixels."""

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from p2p_graph.imaging.confusion_plot import save_confusion_matrix

DARK, WHITE = (8, 48, 107), (255, 255, 255)
CELL = 30


def names(count):
    return [f"class {n}" for n in range(count)]


def drawn(tmp_path, matrix, class_names=None):
    path = tmp_path / "matrix.png"
    save_confusion_matrix(path, np.array(matrix, float), class_names or names(len(matrix)))
    assert [p.name for p in tmp_path.iterdir()] == ["matrix.png"]
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert image.mode == "RGB"
        return np.asarray(image)


def dark_cells(image):
    """The top and left of each cell whose pixels are all predicted as one class."""
    regions, _ = ndimage.label((image == DARK).all(-1))
    found = []
    for rows, columns in ndimage.find_objects(regions):
        if rows.stop - rows.start > CELL // 2:  # no hole of a digit
            assert (rows.stop - rows.start, columns.stop - columns.start) == (CELL, CELL)
            found.append((rows.start, columns.start))
    return sorted(found)


def cells(tmp_path, matrix):
    """A corner's colour of each cell, [C, C + 1, 3]; the cells of a diagonal show the positions."""
    classes = len(matrix)
    tops, lefts = zip(*dark_cells(drawn(tmp_path, np.eye(classes, classes + 1))), strict=True)
    image = drawn(tmp_path, matrix)
    lefts = (*lefts, lefts[-1] + CELL)
    return np.array([[image[top + 2, left + 2] for left in lefts] for top in tops])


def test_a_diagonal(tmp_path):
    """One dark cell after another, a row and a column apart; all others are white."""
    found = dark_cells(drawn(tmp_path, 50 * np.eye(4, 5)))
    assert len(found) == 4
    assert {tuple(step) for step in np.diff(found, axis=0)} == {(CELL, CELL)}
    corners = cells(tmp_path, 50 * np.eye(4, 5))
    for row in range(4):
        for column in range(5):
            assert tuple(corners[row, column]) == (DARK if row == column else WHITE)


def test_shades_are_shares_of_a_row(tmp_path):
    matrix = [[30.0, 10, 0], [0, 2, 2]]
    corners = cells(tmp_path, matrix).astype(float)
    shares = np.array([[0.75, 0.25, 0], [0, 0.5, 0.5]])
    wanted = 255 + (np.array(DARK) - 255) * shares[..., None]
    np.testing.assert_allclose(corners, wanted, atol=0.51)


def test_rows_are_the_truth_and_columns_what_is_predicted(tmp_path):
    """The last column is for no class."""
    corners = cells(tmp_path, [[0, 5.0, 0, 0], [0, 0, 0, 5], [5, 0, 0, 0]])
    dark = (corners == DARK).all(-1)
    assert np.argwhere(dark).tolist() == [[0, 1], [1, 3], [2, 0]]


def test_classes_without_pixels_are_white(tmp_path):
    corners = cells(tmp_path, [[0.0, 0, 0], [0, 7, 0]])
    assert (corners[0] == WHITE).all()
    assert tuple(corners[1, 1]) == DARK


def test_size_grows_with_classes(tmp_path):
    heights, widths = zip(
        *(drawn(tmp_path, np.eye(n, n + 1), ["x"] * n).shape[:2] for n in (2, 20, 30)), strict=True
    )
    assert np.diff(heights).tolist() == [18 * CELL, 10 * CELL]
    assert widths[0] <= widths[1]
    assert widths[2] - widths[1] == 10 * CELL


def test_size_grows_with_names(tmp_path):
    short, long = (drawn(tmp_path, np.eye(20, 21), [name] * 20) for name in ("x", "x" * 40))
    assert min(np.subtract(long.shape[:2], short.shape[:2])) > 100


def test_nothing_is_cut_off(tmp_path):
    """Even of two classes, above which the title is wide: there is paper all around."""
    for matrix, called in (([[1.0, 2, 3]] * 2, ["a", "b"]), (np.eye(19, 20), names(19))):
        image = drawn(tmp_path, matrix, called)
        edges = (image[0], image[-1], image[:, 0], image[:, -3:])
        assert all((edge == WHITE).all() for edge in edges)
        assert (image != WHITE).any()


def test_an_earlier_image_is_replaced(tmp_path):
    (tmp_path / "matrix.png").write_bytes(b"an earlier one")
    drawn(tmp_path, np.eye(3, 4))


def test_an_image_that_cannot_be_written(tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        save_confusion_matrix(tmp_path / "nowhere" / "matrix.png", np.eye(2, 3), ["a", "b"])
