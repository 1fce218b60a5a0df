"""Prefixes of files that TensorFlow would take for others."""

import os
from pathlib import Path

import pytest

from p2p_graph.runtime.glob_free_paths import without_pattern


@pytest.mark.parametrize("name", ["a*", "a?", "a[1]", "a\\", os.fsdecode(b"a\xff"), "ü"])
def test_links_have_plain_names(tmp_path, monkeypatch, name):
    """The last is plain, too, unless the locale's encoding is not UTF-8."""
    folder = tmp_path / name
    folder.mkdir()
    files = [folder / "model-1.index", folder / "model-1.data"]
    for path in files:
        path.write_text(path.suffix)
    if name == "ü":
        with without_pattern(folder / "model-1", files) as plain:
            assert plain == str(folder / "model-1")
        monkeypatch.setattr(os, "fsencode", lambda text: text.encode("latin-1"))
    with without_pattern(folder / "model-1", files) as plain:
        assert name not in plain
        found = {Path(f"{plain}{path.suffix}").read_text() for path in files}
    assert found == {".index", ".data"}
    assert not Path(plain).parent.exists()
