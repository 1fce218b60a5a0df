"""Files that are written whole or not at all."""

import json

import pytest

from p2p_graph.utils.atomic_write import atomic_write, write_json


def test_a_file_takes_its_place(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("before")
    with atomic_write(path) as temporary:
        temporary.write_text("after")
        assert path.read_text() == "before"
    assert path.read_text() == "after"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_fails_leaves_nothing(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("before")

    def write_some():
        with atomic_write(path) as temporary:
            temporary.write_text("aft")
            raise error

    with pytest.raises(error):
        write_some()
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_had(tmp_path):
    """The first error is told, not that there is nothing to remove."""
    with (
        pytest.raises(FileNotFoundError) as told,
        atomic_write(tmp_path / "no" / "a.txt") as temporary,
    ):
        temporary.write_text("x")
    assert told.value.filename.endswith("a.txt.unfinished")


def test_json(tmp_path):
    record = {"b": 1, "a": [1.5, None]}
    write_json(tmp_path / "a.json", record)
    text = (tmp_path / "a.json").read_text()
    assert json.loads(text) == record
    assert text.index('"b"') < text.index('"a"')
    assert text.endswith("}\n")
    write_json(tmp_path / "a.json", record, sort_keys=True)
    text = (tmp_path / "a.json").read_text()
    assert text.index('"a"') < text.index('"b"')
