import errno
import os
import subprocess
import sys
from pathlib import Path

import make_facades as facades
import numpy as np
import pytest
from PIL import Image

from p2p_graph.imaging import palettes
from p2p_graph.utils import checked_allocation

SCRIPT = Path(__file__).parents[1] / "data" / "make_facades.py"
PALETTE = {
    "background": (0, 0, 170),
    "facade": (0, 0, 255),
    "molding": (255, 85, 0),
    "cornice": (0, 255, 255),
    "pillar": (255, 0, 0),
    "window": (0, 85, 255),
    "door": (0, 170, 255),
    "sill": (85, 255, 170),
    "blind": (170, 255, 85),
    "balcony": (255, 255, 0),
    "shop": (170, 0, 0),
    "deco": (255, 170, 0),
}


def run(*args):
    command = [sys.executable, str(SCRIPT), *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def make(folder, *args, train=2, test=0, size=48):
    argv = ["--output_dir", folder, "--train", train, "--test", test, "--size", size, *args]
    facades.main([str(arg) for arg in argv])
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.glob("*/*.*")}


def state(folder):
    found = ((path, path.lstat()) for path in folder.rglob("*"))
    return {path: (status.st_ino, status.st_size, status.st_mtime_ns) for path, status in found}


def halves(number, size=96, split="train", seed=0):
    """The photo as float32 and the labels as class names, both for one image."""
    image = facades.make_image(seed, split, number, size)
    photo, labels = image[:, :size].astype(np.float32), image[:, size:]
    names = np.full((size, size), "other", dtype="U10")
    for name, colour in PALETTE.items():
        names[(labels == colour).all(-1)] = name
    return photo, names


def test_labels_use_the_twelve_colours_only_and_all_of_them():
    seen = set()
    for number in range(1, 41):
        seen |= set(np.unique(halves(number)[1]))
    assert seen == set(PALETTE)


def test_palette_file(tmp_path):
    """tools/evaluate.py can read it."""
    make(tmp_path)
    found = palettes.load(str(tmp_path / "palette.csv"))
    assert found.classes == {name: tuple(colour) for name, colour in PALETTE.items()}
    assert found.ignored == ()


@pytest.mark.parametrize("size", [32, 33, 47, 64, 129])
def test_image_has_photo_left_and_labels_right(size):
    for number in range(1, 9):
        image = facades.make_image(0, "train", number, size)
        assert image.shape == (size, 2 * size, 3)
        assert image.dtype == np.uint8
        assert "other" not in halves(number, size)[1]
        assert len(np.unique(image[:, :size].reshape(-1, 3), axis=0)) > size


@pytest.mark.parametrize("size", [32, 41, 128])
def test_every_pixel_of_the_photo_is_painted(size):
    for number in range(1, 30):
        rng = np.random.default_rng(number)
        settings = facades.draw_style(rng)
        parts = facades.design_building(settings, rng)
        surface = facades.paint_surface(parts, settings, size, rng)
        assert surface.max(0).min() > 0.02  # the canvas is black, but no paint is


def test_png_holds_the_image_exactly(tmp_path):
    make(tmp_path, train=1, test=1)
    for split in ("train", "test"):
        with Image.open(tmp_path / split / "1.png") as image:
            assert image.mode == "RGB"
            np.testing.assert_array_equal(image, facades.make_image(0, split, 1, 48))


def test_jpg_is_close_to_the_image(tmp_path):
    files = make(tmp_path, "--format", "jpg", train=1)
    assert set(files) == {"train/1.jpg"}
    with Image.open(tmp_path / "train" / "1.jpg") as image:
        assert image.format == "JPEG"
        difference = np.asarray(image, np.float32) - facades.make_image(0, "train", 1, 48)
    assert np.abs(difference).mean() < 6


def test_repetition_is_byte_identical_also_in_another_process(tmp_path):
    first = make(tmp_path / "a", "--val", 1)
    result = run(
        "--output_dir", tmp_path / "b", "--train", 2, "--test", 0, "--val", 1, "--size", 48
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert result.stdout == f"Wrote 2 train, 1 val images of 96x48 pixels to {tmp_path / 'b'}\n"
    assert first.keys() == {"train/1.png", "train/2.png", "val/1.png"}
    for name, content in first.items():
        assert (tmp_path / "b" / name).read_bytes() == content


def test_more_images_leave_the_first_as_they_were(tmp_path):
    few = make(tmp_path, train=2, test=1)
    many = make(tmp_path, train=4, test=2)
    assert len(many) == 6
    assert {name: many[name] for name in few} == few


@pytest.mark.parametrize(
    ("name", "contents"),
    [
        ("train/2.png", "another image"),
        ("train/1.png", "a photo of another format"),
        ("train/2.png", "no image"),
        ("palette.csv", "class,red,green,blue\nmine,1,2,3\n"),
        ("train/2.png", "a FIFO"),
        ("palette.csv", "a FIFO"),
        ("train/1.png", "a broken link"),
    ],
)
def test_files_of_a_person_stay(tmp_path, name, contents, capsys):
    """Nothing is written then, also not the images that are missing."""
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    image = Image.fromarray(facades.make_image(1, "train", 1, 48))
    if contents == "another image":
        image.save(path)
    elif contents == "a photo of another format":
        image.save(path, "JPEG")
    elif contents == "a FIFO":
        os.mkfifo(path)
    elif contents == "a broken link":
        path.symlink_to(tmp_path / "gone.png")
    else:
        path.write_text(contents)
    before = state(tmp_path)
    with pytest.raises(SystemExit) as stop:
        make(tmp_path)
    assert stop.value.code == 2
    found = f"make_facades.py: error: {path} is not what this command draws: remove it or name"
    assert capsys.readouterr().err.startswith(found)
    assert state(tmp_path) == before


def test_images_that_another_pillow_encoded_stay(tmp_path):
    """They hold the same image."""
    make(tmp_path)
    path = tmp_path / "train" / "1.png"
    with Image.open(path) as image:
        image.save(path, compress_level=9)
    before = path.read_bytes()
    assert make(tmp_path)["train/1.png"] == before


def test_what_a_link_leads_to_stays(tmp_path, capsys):
    target = tmp_path / "mine.png"
    Image.new("RGB", (96, 48)).save(target)
    before = target.read_bytes()
    (tmp_path / "set" / "train").mkdir(parents=True)
    (tmp_path / "set" / "train" / "1.png").symlink_to(target)
    with pytest.raises(SystemExit):
        make(tmp_path / "set")
    assert "is not what this command draws" in capsys.readouterr().err
    assert target.read_bytes() == before


def test_a_write_that_fails_leaves_no_part(tmp_path, monkeypatch, capsys):
    def fail(path, contents):
        with path.open("wb") as file:
            file.write(contents[:10])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(SystemExit):
        make(tmp_path)
    assert capsys.readouterr().err.endswith(
        f"cannot write to {tmp_path}: No space left on device\n"
    )
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_size_beyond_memory_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(checked_allocation, "available", lambda: 10**10)
    with pytest.raises(SystemExit) as stop:
        make(tmp_path / "set", size=16384)
    assert stop.value.code == 2
    assert "--size 16384 takes 28.2 GB of memory, and 10.0 GB are free" in capsys.readouterr().err
    assert not (tmp_path / "set").exists()


def test_seed_split_and_number_all_matter():
    labels = [
        facades.make_image(seed, split, number, 64)[:, 64:].tobytes()
        for seed in (0, 1)
        for split in ("train", "val", "test")
        for number in (1, 2)
    ]
    assert len(set(labels)) == len(labels)


def test_size_scales_the_same_building():
    for number in range(1, 9):
        small_photo, small_names = halves(number, 64)
        photo, names = halves(number, 256)
        assert (small_names == names[2::4, 2::4]).mean() > 0.85
        shrunk = photo.reshape(64, 4, 64, 4, 3).mean((1, 3))
        assert np.corrcoef(shrunk.ravel(), small_photo.ravel())[0, 1] > 0.8


def test_photo_follows_the_labels():
    contrasts, shares = [], []
    for number in range(1, 21):
        photo, names = halves(number)
        wall, window = (photo[names == name].mean(0) for name in ("facade", "window"))
        contrasts.append(np.abs(wall - window).mean())
        fitted = np.zeros_like(photo)
        for name in np.unique(names):
            fitted[names == name] = photo[names == name].mean(0)
        shares.append(1 - (photo - fitted).var() / photo.var())
    assert min(contrasts) > 10
    assert np.mean(contrasts) > 40
    # The classes explain a large part of each photo, but not all.
    assert 0.3 < np.mean(shares) < 0.9


def test_labels_fit_their_own_photo_alone():
    def wall_and_window_differ(photo, names):
        return np.abs(photo[names == "facade"].mean() - photo[names == "window"].mean())

    own = [wall_and_window_differ(*halves(n)) for n in range(1, 13)]
    other = [wall_and_window_differ(halves(n)[0], halves(n + 1)[1]) for n in range(1, 13)]
    assert np.mean(own) > 2 * np.mean(other)


def test_cornice_shades_the_wall_below_it():
    for number in range(1, 13):
        photo, names = halves(number, 128)
        column = [x for x in range(128) if (names[:, x] == "facade").sum() > 60]
        assert column
        eaves = max(np.flatnonzero(names[:64, column[0]] == "cornice"))
        below = names[eaves + 1 : eaves + 3] == "facade"
        open_wall = names[eaves + 8 : 100] == "facade"
        assert photo[eaves + 1 : eaves + 3][below].mean() < photo[eaves + 8 : 100][open_wall].mean()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--size", 31], "--size must be from 32"),
        (["--size", 10**9], "--size must be from 32"),
        (["--train", -1], "--train must be 0 or more, not -1"),
        (["--train", 2 * 10**9], "--train must be at most 1000000, not 2000000000"),
        (["--seed", -5], "--seed must be 0 or more, not -5"),
        (["--test", "many"], "invalid int value: 'many'"),
        (["--format", "gif"], "invalid choice: 'gif'"),
        (["--sice", 64], "unrecognized arguments: --sice 64"),
        (["--train", 0, "--test", 0], "nothing to make"),
    ],
)
def test_wrong_argument_is_one_line(args, message, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        facades.main(["--output_dir", str(tmp_path / "out"), *map(str, args)])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("make_facades.py: error: ")
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_closed_streams(tmp_path):
    command = [sys.executable, SCRIPT, "--output_dir", tmp_path, "--train", "1", "--test", "0"]
    shell = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"]
    assert subprocess.run([*shell, *command, "--size", "32"], check=False).returncode == 0
    assert (tmp_path / "palette.csv").exists()


def test_unwritable_folder_is_one_line(tmp_path):
    (tmp_path / "a\nb").write_text("")
    result = run("--output_dir", tmp_path / "a\nb" / "set", "--train", 1, "--test", 0)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("make_facades.py: error: cannot write to ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("foreign", ["train/3.png", "train/1.jpg", "train/a.JPEG", "val/1.png"])
def test_images_of_another_set_are_refused(foreign, tmp_path, capsys):
    (tmp_path / foreign).parent.mkdir()
    (tmp_path / foreign).write_text("mine")
    with pytest.raises(SystemExit) as stop:
        make(tmp_path)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert str(tmp_path / foreign) in error
    assert error.count("\n") == 1
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [tmp_path / foreign]
    assert (tmp_path / foreign).read_text() == "mine"


def test_other_files_in_the_folder_are_left_alone(tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "notes.txt").write_text("mine")
    assert set(make(tmp_path, train=1)) == {"train/1.png", "train/notes.txt"}


def test_progress_is_printed_in_plain_lines(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(facades, "LINE_EVERY", 2)
    make(tmp_path, train=5, size=32)
    assert capsys.readouterr().err == "2 of 5 images\n4 of 5 images\n"


@pytest.mark.parametrize("has_tqdm", [True, False])
def test_terminal_gets_a_bar_with_tqdm(has_tqdm, tmp_path, capsys, monkeypatch):
    bars = []

    def bar(jobs, **_):
        bars.append(jobs)
        return jobs

    monkeypatch.setattr(facades, "tqdm", bar if has_tqdm else None)
    monkeypatch.setattr(facades, "LINE_EVERY", 2)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert len(make(tmp_path, train=2, size=32)) == 2
    assert bars == ([[("train", 1), ("train", 2)]] if has_tqdm else [])
    assert capsys.readouterr().err == ("" if has_tqdm else "2 of 2 images\n")
