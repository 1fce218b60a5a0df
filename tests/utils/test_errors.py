import pytest

from p2p_graph.utils.errors import UserError, check_bounds, one_line_reason, printable


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (0, "at least 1, not 0"),
        (-5.5, "at least 1, not -5.5"),
        (9, "at most 8, not 9"),
        (10**30, "at most 8, not 1000"),
        (float("nan"), "at least 1, not nan"),
        (float("inf"), "at most 8, not inf"),
    ],
)
def test_bounds(value, reason):
    with pytest.raises(UserError, match=f"^size must be {reason}"):
        check_bounds("size", value, 1, 8)


def test_numbers_within_bounds():
    for value in (1, 8, 2.5):
        check_bounds("size", value, 1, 8)


def test_names_from_files():
    assert printable("ä b") == "ä b"
    assert printable("a\nb\0") == r"'a\nb\x00'"


def test_an_error_without_a_text():
    class SilentError(Exception):
        def __str__(self):
            raise ValueError("no text")

    assert one_line_reason(SilentError()) == "SilentError"
    assert one_line_reason(ValueError("one\ntwo")) == "one"
