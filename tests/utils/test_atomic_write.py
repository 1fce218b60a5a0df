"""Atomic writes: on success, on errors, and of JSON."""

import contextlib
import errno
import json
import os
import shutil
from pathlib import Path

import pytest

from p2p_graph.utils.atomic_write import (
    atomic_write,
    copy_file,
    flush_to_disk,
    remove,
    write_json,
)


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


def test_a_copy_that_fails_leaves_the_target(tmp_path, monkeypatch):
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_text("after")
    copy_file(source, target)
    assert target.read_text() == "after"
    source.write_text("later")

    def half(source, target):
        Path(target).write_text("la")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shutil, "copyfile", half)
    with pytest.raises(OSError, match="No space left on device"):
        copy_file(source, target)
    assert target.read_text() == "after"
    assert sorted(tmp_path.iterdir()) == [source, target]


@pytest.mark.parametrize(("number", "is_raised"), [(errno.EINVAL, False), (errno.EIO, True)])
def test_flushing_a_folder(tmp_path, monkeypatch, number, is_raised):
    """Some file systems cannot flush folders."""
    flush_to_disk(tmp_path)

    def fail(handle):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    error = pytest.raises(OSError, match="Input/output error")
    with error if is_raised else contextlib.nullcontext():
        flush_to_disk(tmp_path)


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


@pytest.mark.parametrize("kind", ["link", "link to nothing", "FIFO", "file"])
def test_what_lies_at_the_temporary_path_is_removed(tmp_path, kind):
    """Nothing is written through a link; a FIFO would wait for a reader."""
    path, temporary, other = (tmp_path / name for name in ("a", "a.unfinished", "other"))
    if kind == "FIFO":
        os.mkfifo(temporary)
    elif kind == "file":
        temporary.write_text("of a program that was killed")
    else:
        temporary.symlink_to(other)
    if kind == "link":
        other.write_text("mine")
    write_json(path, {})
    assert path.read_text() == "{}\n"
    assert not path.is_symlink()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a", "other"][: 1 + other.exists()]
    assert not other.exists() or other.read_text() == "mine"


def test_a_folder_at_the_temporary_path(tmp_path):
    (tmp_path / "a.unfinished").mkdir()
    with pytest.raises(OSError, match=r"a\.unfinished"):
        write_json(tmp_path / "a", {})
    assert (tmp_path / "a.unfinished").is_dir()


def test_long_names_with_one_beginning(tmp_path):
    """Threads write them at the same time."""
    paths = [tmp_path / f"{'x' * 250}{end}.png" for end in "ab"]
    with atomic_write(paths[0]) as first, atomic_write(paths[1]) as second:
        first.write_text("a")
        second.write_text("b")
    assert [path.read_text() for path in paths] == ["a", "b"]


@pytest.mark.parametrize("name", ["x" * 255, "é" * 127])
def test_the_longest_names(tmp_path, name):
    write_json(tmp_path / name, {"a": 1})
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("kind", ["folder", "file", "FIFO", "link", "nothing"])
def test_remove(tmp_path, kind):
    path, other = tmp_path / "path", tmp_path / "other"
    other.mkdir()
    (other / "file").write_text("stays")
    {
        "folder": lambda: (path / "a" / "b").mkdir(parents=True),
        "file": lambda: path.write_text("x"),
        "FIFO": lambda: os.mkfifo(path),
        "link": lambda: path.symlink_to(other),
        "nothing": lambda: None,
    }[kind]()
    remove(path)
    assert [left.name for left in tmp_path.iterdir()] == ["other"]
    assert (other / "file").read_text() == "stays"
