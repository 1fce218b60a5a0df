import numpy as np
import pytest
from PIL import Image

from p2p_graph.imaging.image_grid import save_grid


def positions(grid, image):
    """Where an image stands in a grid."""
    height, width = image.shape[:2]
    views = np.lib.stride_tricks.sliding_window_view(grid, (height, width, 3))[:, :, 0]
    return [tuple(position) for position in np.argwhere((views == image).all(axis=(2, 3, 4)))]


@pytest.mark.parametrize("channels", [1, 3])
def test_one_row_per_image(tmp_path, rng, channels):
    shape = (2, 12, 20, channels)
    columns = {kind: rng.integers(0, 255, shape, np.uint8) for kind in ("input", "output")}
    path = tmp_path / "grid.png"
    save_grid(path, "step 5", columns, ["one", "caf\xe9 \u4e2d", "not shown"])
    with Image.open(path) as image:
        grid = np.array(image)
    found = {
        (kind, row): positions(grid, np.broadcast_to(images[row], (12, 20, 3)))
        for kind, images in columns.items()
        for row in range(2)
    }
    assert all(len(found_at) == 1 for found_at in found.values())
    tops = {row: {found[kind, row][0][0] for kind in columns} for row in range(2)}
    lefts = {kind: {found[kind, row][0][1] for row in range(2)} for kind in columns}
    assert all(len(values) == 1 for values in (*tops.values(), *lefts.values()))
    assert min(tops[0]) < min(tops[1])
    assert min(lefts["input"]) < min(lefts["output"])
    labels = grid[: min(tops[0])]
    assert (labels < 128).any(), "nothing is written above the columns"
    assert [path.name for path in tmp_path.iterdir()] == ["grid.png"]
