"""The page of an evaluation: complete copies, or none."""

import resource

import numpy as np
import pytest

from p2p_graph.evaluation.evaluation_page import EvaluatedImages, write_evaluation_page
from p2p_graph.evaluation.example_images import Example
from p2p_graph.imaging.image_arrays import save_png
from p2p_graph.metrics.registry import mean_of_pairs


def test_a_full_disk_leaves_no_part_of_an_image(tmp_path, rng):
    """The largest size of a file stands for a full disk."""
    paths = [tmp_path / f"{name}.png" for name in ("output", "target")]
    for path in paths:
        save_png(path, rng.integers(0, 256, (32, 32, 3)).astype(np.uint8))
    (tmp_path / "page").mkdir()
    metrics = {"l1": mean_of_pairs("l1")}
    images = EvaluatedImages([Example("a", *paths)], metrics, {"l1": [{"l1": 0.5}]})
    arguments = (tmp_path / "page", "Title", {}, images, {"": ["value"], "l1": ["0.5"]})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_evaluation_page(*arguments)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list((tmp_path / "page" / "images").iterdir())
    write_evaluation_page(*arguments)
    copies = {path.name: path.read_bytes() for path in (tmp_path / "page" / "images").iterdir()}
    assert copies == {f"a-{path.name}": path.read_bytes() for path in paths}
