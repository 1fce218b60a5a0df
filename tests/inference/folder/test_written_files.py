"""Which files are whole images, as --skip_done takes them."""

import numpy as np
import pytest

from p2p_graph.imaging.array_files import save_npy
from p2p_graph.imaging.image_arrays import save_png
from p2p_graph.inference.folder.written_files import is_whole


@pytest.mark.parametrize("name", ["one.png", "one.npy"])
@pytest.mark.parametrize("sides", [(1, 1), (200, 300)])
def test_only_whole_files_are_images(tmp_path, name, sides):
    path = tmp_path / name
    values = np.random.default_rng(0).integers(0, 256, (*sides, 3), np.uint8)
    save_png(path, values) if name == "one.png" else save_npy(path, values.astype(np.float32))
    assert is_whole(path)
    contents = path.read_bytes()
    for size in (0, 1, 20, len(contents) // 2, len(contents) - 1):
        path.write_bytes(contents[:size])
        assert not is_whole(path), size
    path.write_bytes(contents + b"\0")
    assert not is_whole(path)
    path.write_bytes(bytes(len(contents)))  # as some file systems leave it after a crash
    assert not is_whole(path)
    path.unlink()
    assert not is_whole(path)
    path.mkdir()
    assert not is_whole(path)
