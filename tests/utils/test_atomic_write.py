"""Atomic writes: on success, on errors, and of JSON."""

import errno
import json
from pathlib import Path

import pytest

from p2p_graph.utils.atomic_write import atomic_write, write_json


def test_the_temporary_file_replaces_the_target(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("before")
    with atomic_write(path) as temporary:
        temporary.write_text("after")
        assert path.read_text() == "before"
    assert path.read_text() == "after"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_the_target_and_no_temporary_file(tmp_path, error):
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


def test_a_path_that_cannot_be_written(tmp_path):
    """The first error is raised, not one about the missing temporary file."""
    with (
        pytest.raises(FileNotFoundError) as caught,
        atomic_write(tmp_path / "no" / "a.txt") as temporary,
    ):
        temporary.write_text("x")
    assert caught.value.filename.endswith("a.txt.unfinished")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_names_the_file(tmp_path):
    def write():
        with atomic_write(tmp_path / "a.txt") as temporary:
            temporary.symlink_to("/dev/full")
            temporary.write_text("x")

    with pytest.raises(OSError, match="No space left on device") as caught:
        write()
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(tmp_path / "a.txt"))
    assert list(tmp_path.iterdir()) == []


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
