import pytest

from p2p_graph.utils.host_port import read_host_port


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("10.0.0.1:6379", ("10.0.0.1", 6379)),
        ("head_1.example:1", ("head_1.example", 1)),
        ("[::1]:65535", ("::1", 65535)),
        ("[::ffff:10.0.0.1]:2222", ("::ffff:10.0.0.1", 2222)),
    ],
)
def test_what_is_read(text, place):
    assert read_host_port(text) == place


@pytest.mark.parametrize(
    "text",
    [
        *("", "local", "10.0.0.1", ":1", "one:", "one:two", "one:1 ", "a b:1", "one:\u0661"),
        *("one:0", "one:65536", "one:999999999", "one:-1"),
        *("::1:6379", "[one]:1", "[]:1", "a[b:1", "ray://10.0.0.1:10001"),
        *("a..b:1", f"{'x' * 64}:1"),
    ],
)
def test_what_is_not(text):
    assert read_host_port(text) is None
