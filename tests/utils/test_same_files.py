"""Copies of folders and files."""

import os
import shutil

import pytest

from p2p_graph.utils import same_files
from p2p_graph.utils.same_files import have_same_files


@pytest.fixture
def folders(tmp_path):
    """A folder of 50 files and a folder, and its copy."""
    folder = tmp_path / "folder"
    (folder / "nested").mkdir(parents=True)
    for number in range(50):
        (folder / f"{number:02}.npy").write_bytes(bytes([number]) * 1000)
    return folder, shutil.copytree(folder, tmp_path / "copy")


def test_a_copy(folders):
    assert have_same_files(*folders)
    (folders[1] / "nested").rmdir()
    assert have_same_files(*folders)


def test_files_that_hold_no_images(folders):
    """A system or a person adds them to one of the folders."""
    for name in (".DS_Store", "Thumbs.db", "notes.txt"):
        (folders[1] / name).touch()
    assert have_same_files(*folders)


@pytest.mark.parametrize("change", ["name", "size", "more", "none", "contents", "kind"])
def test_other_folders(folders, change):
    first, second = folders
    for path in sorted(second.glob("*.npy")):
        if change == "name":
            path.rename(path.with_suffix(".png"))
        elif change == "contents":
            path.write_bytes(b"x" * 1000)
    if change == "size":
        (second / "17.npy").write_bytes(b"")
    if change == "more":
        (second / "50.npy").write_bytes(b"")
    if change in ("none", "kind"):
        shutil.rmtree(second)
    if change == "kind":
        shutil.copy(first / "00.npy", second)
    assert not have_same_files(first, second)


def test_few_files_are_read(folders, monkeypatch):
    read, pieces = [], same_files._pieces
    monkeypatch.setattr(same_files, "_pieces", lambda path: read.append(path) or pieces(path))
    assert have_same_files(*folders)
    assert len(read) == 34  # every third of each folder


@pytest.mark.parametrize("place", [0, 500_000, 999_999])
def test_archives_of_one_size(tmp_path, place):
    contents = bytearray(10**6)
    (tmp_path / "first.npz").write_bytes(contents)
    (tmp_path / "second.npz").write_bytes(contents)
    assert have_same_files(tmp_path / "first.npz", tmp_path / "second.npz")
    contents[place] = 1
    (tmp_path / "second.npz").write_bytes(contents)
    assert not have_same_files(tmp_path / "first.npz", tmp_path / "second.npz")


@pytest.mark.parametrize("name", ["list.csv", "list.txt", "list"])
@pytest.mark.parametrize("caption", ["red", "long " * 100, "zero \0"])
def test_lists_name_files(tmp_path, name, caption):
    """One of them in another folder, which both lists name."""
    (tmp_path / "a.png").write_bytes(b"a")
    for project in ("first", "second"):
        (tmp_path / project).mkdir()
        (tmp_path / project / "b.png").write_bytes(b"b")
        text = f"input,target,caption\nb.png,{tmp_path / 'a.png'},{caption}\n"
        (tmp_path / project / name).write_text(text)
    lists = [tmp_path / project / name for project in ("first", "second")]
    assert have_same_files(*lists)
    (tmp_path / "second" / "b.png").write_bytes(b"c")
    assert not have_same_files(*lists)


def test_what_cannot_be_read_is_no_copy(folders):
    first, second = folders
    for folder in folders:
        (folder / "00.npy").unlink()
        os.mkfifo(folder / "00.npy")
    assert have_same_files(first, second)  # it is no file
    assert not have_same_files(first / "00.npy", second / "00.npy")
    assert not have_same_files(first, first / "missing")
