import pytest

from p2p_graph.inference.bulk.cluster_address import place_of
from p2p_graph.utils.errors import UserError


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("10.0.0.1:6379", ("10.0.0.1", 6379)),
        ("head.example:1", ("head.example", 1)),
        ("[::1]:65535", ("::1", 65535)),
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
    ["", "local", "10.0.0.1", "ray://10.0.0.1:10001", "http://10.0.0.1:8265", "::1:6379", "a b:1"],
)
def test_what_is_no_address(address):
    with pytest.raises(UserError, match=r"^address '.*' must be HOST:PORT .*6379, or auto$"):
        place_of(address, {})
    if address:
        with pytest.raises(UserError, match=r"^environment variable RAY_ADDRESS: '.*6379$"):
            place_of("auto", {"RAY_ADDRESS": address})


@pytest.mark.parametrize("port", [0, 65536, 999999999])
def test_ports_that_do_not_exist(port):
    with pytest.raises(UserError, match=f"there is no port {port}$"):
        place_of(f"10.0.0.1:{port}", {})
