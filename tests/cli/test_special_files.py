"""Nothing but regular files is read: FIFOs, devices, sockets and loops of links are named."""

import os
import shutil
import socket
from pathlib import Path

import pytest

from .common import TINY, assert_refused, call, images

# What each file is said to be, in the order of the names.
SPECIAL = {
    "device.png": "is a device, not a regular file",
    "fifo.png": "is a FIFO, not a regular file",
    "folder.png": "is a folder, not a regular file",
    "gone.png": "does not exist",
    "linked_fifo.png": "is a FIFO, not a regular file",
    "loop.png": "cannot be read: Too many levels of symbolic links",
    r"new\nline.png": "is empty",
    "socket.png": "is a socket, not a regular file",
}


def make_special(folder):
    os.mkfifo(folder / "fifo.png")
    (folder / "linked_fifo.png").symlink_to("fifo.png")
    (folder / "device.png").symlink_to("/dev/zero")
    (folder / "folder.png").symlink_to(".")
    (folder / "gone.png").symlink_to("nowhere")
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "new\nline.png").write_bytes(b"")
    with socket.socket(socket.AF_UNIX) as server:
        before = Path.cwd()
        os.chdir(folder)  # the path of a socket is short
        try:
            server.bind("socket.png")
        finally:
            os.chdir(before)


@pytest.fixture
def folder(data, tmp_path):
    """A folder of two images, and of what is no image file."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    for name in ("1.png", "2.png"):
        shutil.copy(data / "train" / name, folder)
    make_special(folder)
    return folder


def lines_of(folder):
    return [f"  {folder}/{name}: {reason}" for name, reason in SPECIAL.items()]


@pytest.mark.parametrize("tool", ["train", "test"])
def test_images_are_regular_files(tool, model, folder, tmp_path):
    flags = ("--checkpoint", model) if tool == "test" else (*TINY, "--max_epochs", 1)
    where = ("--input_dir", folder, "--output_dir", tmp_path / "out")
    done = call(tool, *where, *flags)
    assert done.returncode == 2
    first, *rest = done.stderr.splitlines()
    assert first.startswith(f"{tool}.py: 8 of 10 images in {folder} cannot be used; ")
    assert rest == lines_of(folder)
    done = call(tool, *where, *flags, "--skip_bad")
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[1:] == lines_of(folder)
    if tool == "test":
        assert sorted(images(tmp_path / "out")) == ["1", "2"]


def test_check_data(folder):
    done = call("check_data", "--input_dir", folder)
    assert (done.returncode, done.stderr) == (1, "")
    row = next(line for line in done.stdout.splitlines() if line.startswith("corrupt"))
    assert row.split()[1] == "8"
    assert f"{folder}/device.png: is a device" in row
    for path in folder.iterdir():
        if path.name.startswith(("device", "fifo", "folder", "gone", "linked", "loop")):
            path.unlink()
    done = call("check_data", "--input_dir", folder)
    assert f"{folder}/new\\nline.png: is empty" in done.stdout


def test_process(folder, tmp_path):
    flags = ("--input_dir", folder, "--output_dir", tmp_path / "out", "--operation", "grayscale")
    done = call("process", *flags)
    assert done.returncode == 1
    assert done.stderr.splitlines() == ["8 of 10 images failed:", *lines_of(folder)]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["1.png", "2.png"]


def test_an_output_that_is_a_fifo(data, tmp_path):
    (tmp_path / "out").mkdir()
    os.mkfifo(tmp_path / "out" / "2.png")
    flags = ("--input_dir", data / "train", "--output_dir", tmp_path / "out")
    done = call("process", *flags, "--operation", "grayscale")
    assert_refused(done, f"{tmp_path}/out/2.png is a FIFO, not a regular file", "remove it")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (os.mkfifo, "is a FIFO, not a regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "is a device, not a regular file"),
        (lambda path: path.symlink_to(path), "cannot be read: Too many levels of symbolic links"),
    ],
    ids=["FIFO", "device", "loop"],
)
@pytest.mark.parametrize("part", ["outputs", "targets"])
def test_evaluate(make, reason, part, data, tmp_path):
    for name in ("outputs", "targets"):
        shutil.copytree(data / "train", tmp_path / name)
    bad = tmp_path / part / "1.png"
    bad.unlink()
    make(bad)
    flags = ("--outputs_dir", tmp_path / "outputs", "--targets_dir", tmp_path / "targets")
    done = call("evaluate", *flags, "--bootstrap", 0)
    assert done.returncode == 2
    first, line = done.stderr.splitlines()
    assert first == "evaluate.py: 1 image cannot be evaluated; mend or remove them:"
    partner = "" if part == "outputs" else f": has the partner {bad}, which {reason}"
    assert line == f"  {tmp_path}/outputs/1.png" + (partner or f": {reason}")


@pytest.mark.parametrize("copy", [(), ("--copy",)])
def test_split(folder, copy):
    """Images are not decoded, and nothing is moved before everything can be."""
    before = sorted(path.name for path in folder.iterdir())
    done = call("split", "--dir", folder, *copy)
    assert_refused(done, folder, "remove it")
    assert sorted(path.name for path in folder.iterdir()) == before


LOOPS = {
    "train": ("--input_dir", "loop", "--output_dir", "out"),
    "test": ("--input_dir", "loop", "--output_dir", "out"),
    "check_data": ("--input_dir", "loop"),
    "process": ("--input_dir", "loop", "--output_dir", "out", "--operation", "blur"),
    "evaluate": ("--results_dir", "loop"),
    "split": ("--dir", "loop"),
}


@pytest.mark.parametrize("tool", LOOPS)
def test_a_folder_that_is_a_loop_of_links(tool, model, tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    flags = ("--checkpoint", model) if tool == "test" else ()
    done = call(tool, *LOOPS[tool], *flags, cwd=tmp_path)
    assert_refused(done, "loop is a link that leads nowhere")
    assert [path.name for path in tmp_path.iterdir()] == ["loop"]


def test_output_folders_that_are_loops_of_links(data, model, tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    for tool, flags in (
        ("train", ("--input_dir", data / "train", *TINY)),
        ("test", ("--input_dir", data / "train", "--checkpoint", model)),
        ("process", ("--input_dir", data / "train", "--operation", "blur")),
        ("evaluate", ("--outputs_dir", data / "train", "--targets_dir", data / "train")),
    ):
        assert_refused(call(tool, *flags, "--output_dir", tmp_path / "loop"), "loop")
        assert [path.name for path in tmp_path.iterdir()] == ["loop"]


def test_an_empty_name_of_a_palette(data, tmp_path):
    flags = ("--outputs_dir", data / "train", "--targets_dir", data / "train", "--palette", "")
    assert_refused(call("evaluate", *flags), "palette must not be empty")
    flags = ("--input_dir", data / "train", "--output_dir", tmp_path / "out", "--palette", "")
    assert_refused(call("train_segmenter", *flags), "palette must be one of cityscapes, facades")
