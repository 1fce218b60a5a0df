import pytest

from p2p_graph.inference.bulk.cluster_address import place_of
from p2p_graph.utils.errors import UserError


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("10.0.0.1:6379", ("10.0.0.1", 6379)),
        ("[::1]:6379", ("::1", 6379)),
    ],
)
def test_places(address, place):
    assert place_of(address, {"RAY_ADDRESS": "elsewhere"}) == place
    assert place_of("auto", {"RAY_ADDRESS": address}) == place


@pytest.mark.parametrize("environment", [{}, {"RAY_ADDRESS": ""}, {"RAY_ADDRESS": "auto"}])
def test_ray_finds_the_place(environment):
    assert place_of("auto", environment) is None


@pytest.mark.parametrize(
    "address",
    ["", "local", "10.0.0.1", "ray://10.0.0.1:10001", "http://10.0.0.1:8265", "10.0.0.1:0"],
)
def test_what_is_no_address(address):
    with pytest.raises(UserError, match=r"^address '.*' must be HOST:PORT .*65535, or auto$"):
        place_of(address, {})
    if address:
        with pytest.raises(UserError, match=r"^environment variable RAY_ADDRESS: '.*65535$"):
            place_of("auto", {"RAY_ADDRESS": address})
