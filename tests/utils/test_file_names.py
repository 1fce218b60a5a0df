"""Names as TensorFlow takes them."""

import os
import sys

import pytest

from p2p_graph.config.option_fields import check_text
from p2p_graph.utils.errors import UserError
from p2p_graph.utils.file_names import shortened, why_not_encodable, why_not_utf8
from p2p_graph.utils.outside_files import open_regular


def test_names_that_are_utf_8():
    assert why_not_utf8("images/ü €") is None
    assert why_not_utf8(os.fsdecode(b"a\xff")) == "not UTF-8"


def test_names_in_a_locale_of_another_encoding(monkeypatch):
    """Python writes another file than TensorFlow reads, unless the name is ASCII."""
    monkeypatch.setattr(os, "fsencode", lambda name: name.encode("latin-1"))
    monkeypatch.setattr(sys, "getfilesystemencoding", lambda: "iso8859-1")
    assert why_not_utf8("images") is None
    advice = "is not UTF-8 in this locale, whose encoding is iso8859-1: set PYTHONUTF8=1"
    for name in ("ü", "€"):
        with pytest.raises(UserError) as refused:
            check_text("input_dir", name)
        assert str(refused.value) == f"input_dir {name!r} {advice}"


def test_names_that_a_locale_lacks(monkeypatch, tmp_path):
    """Python finds a file by the names that it can encode, which TensorFlow does not."""
    assert why_not_encodable("€") is None
    monkeypatch.setattr(os, "fsencode", lambda name: name.encode("latin-1"))
    assert why_not_encodable("ü") is None
    assert why_not_encodable("€") == why_not_utf8("€")
    with pytest.raises(UserError, match="has a name that is not UTF-8"):
        open_regular(tmp_path / "€")
    assert shortened("€" * 50, 100).startswith("€" * 29 + "~")
