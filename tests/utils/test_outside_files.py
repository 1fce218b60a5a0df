import json
import os
import socket
from pathlib import Path

import pytest

from p2p_graph.utils.errors import UserError
from p2p_graph.utils.outside_files import (
    damage_reported,
    open_regular,
    read_bytes,
    read_json,
    real_path,
    without_links_up,
)


@pytest.fixture
def special_files(tmp_path):
    """Paths that are no regular files, and what they are."""
    fifo, link, bound = tmp_path / "fifo", tmp_path / "link", tmp_path / "socket"
    os.mkfifo(fifo)
    link.symlink_to(fifo)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(bound))
        yield {
            fifo: "a FIFO",
            link: "a FIFO",
            bound: "a socket",
            tmp_path: "a folder",
            Path("/dev/zero"): "a device",
        }


def test_only_regular_files_are_read(special_files):
    for path, kind in special_files.items():
        with pytest.raises(UserError, match=f"is {kind}, not a regular file"):
            open_regular(path)
        with pytest.raises(UserError, match=f"{path} is {kind}, not a regular file"):
            read_json(path)


def test_a_file_over_the_limit_is_refused(tmp_path):
    path = tmp_path / "large"
    path.write_bytes(b"12345")
    assert read_bytes(path, 5) == b"12345"
    with pytest.raises(UserError, match="more than 4 bytes"):
        read_bytes(path, 4)


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        (b"{", "Expecting property name"),
        (b"\xff", "can't decode byte 0xff"),
        (b"[" * 200_000, "nested too deep"),
        (b"1" * 5_000, "Exceeds the limit"),
        (b"", "Expecting value"),
    ],
)
def test_damaged_json(tmp_path, contents, reason):
    path = tmp_path / "options.json"
    path.write_bytes(contents)
    with pytest.raises(UserError, match=f"{path} cannot be read as JSON: .*{reason}"):
        read_json(path)


def test_json_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "options.json")
    with pytest.raises(UserError, match="zero byte"):
        read_json(tmp_path / "options\0.json")
    (tmp_path / "file").write_text(json.dumps({"a": 1}))
    assert read_json(tmp_path / "file") == {"a": 1}


def test_json_that_an_editor_has_saved_with_a_byte_order_mark(tmp_path):
    (tmp_path / "file").write_text('{"a": "ü"}', encoding="utf-8-sig")
    assert read_json(tmp_path / "file") == {"a": "ü"}


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MemoryError(), "more memory than there is"),
        (KeyError("a"), "'a'"),
        (RuntimeError("encrypted"), "encrypted"),
        (PermissionError(13, "Permission denied"), "Permission denied"),
        (AssertionError(), "AssertionError"),
    ],
)
def test_any_error_counts_as_damage(error, reason):
    message = rf"^a\.x cannot be read as X: .*{reason}"
    with pytest.raises(UserError, match=message), damage_reported("a.x", "X"):
        raise error


def test_paths_that_go_up_from_a_link(tmp_path):
    """The system goes up from the link's target, TensorFlow from the link's place."""
    (tmp_path / "far" / "train").mkdir(parents=True)
    (tmp_path / "near").mkdir()
    (tmp_path / "near" / "link").symlink_to("../far/train")
    up = tmp_path / "near" / "link" / ".." / "test" / "1.png"
    assert without_links_up(str(up)) == str(real_path(tmp_path) / "far" / "test" / "1.png")
    for same in ("", "..", "../a", "a..b/c", str(tmp_path / "near" / ".." / "far")):
        assert without_links_up(same) == same


def test_real_path_of_a_link_that_leads_to_itself(tmp_path):
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    assert real_path(loop) == loop
    assert real_path(tmp_path / "a" / ".." / "b") == tmp_path / "b"
    assert real_path(tmp_path / "\0").is_absolute()
