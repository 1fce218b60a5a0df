"""The parameters of image operations; tests/cli/test_process.py tests what these do."""

import math

import pytest

from p2p_graph.imaging import edge_thinning
from p2p_graph.preparation.process_images import ImageOperation
from p2p_graph.utils.errors import UserError


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("operation", "paint"),
        ("size", 0),
        ("size", 11586),
        ("size", 2**31),
        ("sigma", 0.0),
        ("sigma", math.nan),
        ("sigma", math.inf),
        ("sigma", 1000.1),
        ("sigma", 1e9),
        ("threshold", -0.1),
        ("threshold", 1.1),
        ("small_edge", -1),
    ],
)
def test_a_bad_value_is_named(field, value):
    with pytest.raises(UserError, match=rf"{field} {value} "):
        ImageOperation(**{"operation": "resize", field: value})


def test_defaults_are_the_papers():
    operation = ImageOperation("edges")
    assert (operation.size, operation.threshold, operation.small_edge) == (256, 25 / 255, 5)
    assert (edge_thinning.THRESHOLD, edge_thinning.SMALL_EDGE) == (25 / 255, 5)
