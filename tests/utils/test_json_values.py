import pytest

from p2p_graph.utils.json_values import is_number


@pytest.mark.parametrize("value", [0, -5, 2.5, 1e299])
def test_numbers(value):
    assert is_number(value)


@pytest.mark.parametrize(
    "value", [True, None, "5", [5], {}, float("nan"), float("inf"), 10**400, -(10**400)]
)
def test_what_is_no_number(value):
    assert not is_number(value)
