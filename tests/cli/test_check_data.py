"""tools/check_data.py: every finding, in every form of data set."""

import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from .common import assert_refused, call, pixels, succeeded

ROWS = {
    "corrupt": ("1", "yes"),
    "odd width": ("1", "yes"),
    "alpha": ("2", "no"),
    "16 bits": ("1", "no"),
    "A is grey": ("2", "no"),
    "B is of one colour": ("1", "no"),
    "not square": ("1", "no"),
    "duplicate": ("1", "no"),
}


def noise(height, width, *channels):
    return np.random.default_rng(height * width).integers(
        0, 256, (height, width, *channels), np.uint8
    )


def rows(done):
    """The table's rows by finding: the number of images, whether training stops, the names."""
    _, columns, *lines = done.stdout.splitlines()
    starts = [columns.index(name) for name in ("images", "stops", "in training", "which")]
    return {
        line[: starts[0]].strip(): (
            line[starts[0] : starts[1]].strip(),
            line[starts[1] : starts[2]].strip(),
            line[starts[3] :],
        )
        for line in lines
    }


@pytest.fixture
def folder(data, tmp_path):
    """Twelve pairs: usable ones, unusual ones and two that stop training."""
    folder = tmp_path / "pairs"
    shutil.copytree(data / "train", folder)
    shutil.copy(folder / "1.png", folder / "copy.png")
    (folder / "cut.png").write_bytes((folder / "1.png").read_bytes()[:900])
    Image.fromarray(noise(8, 15, 3)).save(folder / "odd.png")
    Image.fromarray(noise(8, 16, 4)).save(folder / "alpha.png")
    Image.fromarray(noise(20, 16, 3)).convert("P").save(folder / "high.png", transparency=3)
    plain = noise(9, 18, 3)
    plain[:, :9, 1:] = plain[:, :9, :1]
    plain[:, 9:] = (7, 8, 9)
    Image.fromarray(plain).save(folder / "plain.png")
    deep = tf.io.encode_png(noise(10, 20, 1).astype(np.uint16) * 257).numpy()
    (folder / "deep.png").write_bytes(deep)
    return folder


def test_every_finding(folder):
    done = call("check_data", "--input_dir", folder)
    assert done.returncode == 1
    assert done.stderr == ""
    assert done.stdout.splitlines()[0] == f"12 images in {folder}"
    found = rows(done)
    wanted = {**ROWS, "B is grey": ("1", "no")}
    assert {what: row[:2] for what, row in found.items()} == wanted
    names = {
        "corrupt": "cut.png: cannot be decoded",
        "odd width": "odd.png: is 15 pixels wide",
        "16 bits": "deep.png",
        "not square": "high.png",
        "B is of one colour": "plain.png",
        "duplicate": "copy.png (as ",
    }
    for what, name in names.items():
        assert f"{folder}/{name}" in found[what][2], what
    for what in ("alpha", "A is grey"):
        assert found[what][2].count(str(folder)) == 2


def test_nothing_to_mend(data):
    done = succeeded(call("check_data", "--input_dir", data / "train"))
    assert done.stdout == f"5 images in {data / 'train'}\nnothing to mend\n"


def test_unusual_images_stop_nothing(folder):
    (folder / "cut.png").unlink()
    (folder / "odd.png").unlink()
    assert "duplicate" in rows(succeeded(call("check_data", "--input_dir", folder)))


def test_pairs_that_a_manifest_lists_twice(data, tmp_path):
    halves = data / "train" / "1.png"
    (tmp_path / "list.csv").write_text(f"input,target\n{halves},{halves}\n{halves},{halves}\n")
    found = rows(succeeded(call("check_data", "--manifest", tmp_path / "list.csv")))
    assert found["duplicate"] == ("1", "no", f"{halves} (listed before)")


def test_many_images_of_a_finding(data, tmp_path):
    for number in range(9):
        (tmp_path / f"{number}.png").write_bytes(b"")
    done = call("check_data", "--input_dir", tmp_path)
    assert done.returncode == 1
    assert rows(done)["corrupt"][0] == "9"
    assert rows(done)["corrupt"][2].endswith("2.png: is empty, and 6 more")


def test_pairs_that_do_not_fit(data, tmp_path):
    for part, left in (("a", 0), ("b", 32)):
        (tmp_path / part).mkdir()
        for path in (data / "train").iterdir():
            Image.fromarray(pixels(path)[:, left : left + 32]).save(tmp_path / part / path.name)
    flags = ("--input_dir", tmp_path / "a", "--target_dir", tmp_path / "b")
    succeeded(call("check_data", *flags))
    (tmp_path / "b" / "1.png").unlink()
    Image.new("RGB", (32, 31)).save(tmp_path / "b" / "2.png")
    done = call("check_data", *flags)
    assert done.returncode == 1
    assert rows(done)["mismatched pair"][:2] == ("2", "yes")
    assert "1.png: has no partner" in done.stdout
    assert "2.png: is 32x32 pixels, its partner" in done.stdout


@pytest.mark.parametrize(
    ("recipe", "swap", "message"),
    [
        ("facades", False, None),
        ("facades", True, "B should have few colours"),
        ("edges2shoes", False, "A should have few colours"),
        ("edges2shoes", True, None),
        ("night2day", True, None),
        ("none", True, None),
    ],
)
def test_swapped_halves(data, tmp_path, recipe, swap, message):
    for path in (data / "train").iterdir():
        values = pixels(path)
        Image.fromarray(np.roll(values, 32, axis=1) if swap else values).save(tmp_path / path.name)
    done = succeeded(call("check_data", "--input_dir", tmp_path, "--recipe", recipe))
    assert ("A and B look swapped" in done.stdout) == (message is not None)
    assert message is None or message in done.stdout


def test_the_folders_name_chooses_the_recipe(data, tmp_path):
    shutil.copytree(data / "train", tmp_path / "edges2shoes" / "train")
    done = succeeded(call("check_data", "--input_dir", tmp_path / "edges2shoes" / "train"))
    assert "A and B look swapped" in done.stdout


def test_other_forms(folder, tmp_path):
    """The same findings in shards and archives, as far as these keep them, and in a list."""
    packing = ("--input_dir", folder, "--skip_bad")
    assert call("pack_records", *packing, "--output_dir", tmp_path / "shards").returncode == 0
    unusual = {what: row for what, row in ROWS.items() if row[1] == "no"} | {
        "B is grey": ("1", "no")
    }
    found = rows(succeeded(call("check_data", "--input_dir", tmp_path / "shards")))
    assert {what: row[:2] for what, row in found.items()} == unusual

    where = ("--output_file", tmp_path / "set.npz", "--size", 40)
    assert call("pack_npz", *packing, *where).returncode == 0
    found = rows(succeeded(call("check_data", "--input_dir", tmp_path / "set.npz")))
    remaining = ("A is grey", "B is grey", "B is of one colour", "duplicate")
    assert {what: row[0] for what, row in found.items()} == {
        what: unusual[what][0] for what in remaining
    }

    (tmp_path / "list.csv").write_text("input\npairs/cut.png\npairs/odd.png\n")
    done = call("check_data", "--manifest", tmp_path / "list.csv", "--single")
    assert done.returncode == 1
    assert rows(done)["corrupt"][0] == "1"
    assert "odd width" not in rows(done)


def test_fractions_in_an_archive(tmp_path):
    values = np.random.default_rng(0).random((3, 16, 16, 3)) * 255
    np.savez(tmp_path / "set.npz", values, np.zeros_like(values))
    found = rows(succeeded(call("check_data", "--input_dir", tmp_path / "set.npz")))
    assert found["B is of one colour"][0] == "3"


def test_bad_input(data, tmp_path):
    assert_refused(call("check_data"), "input_dir is missing")
    assert_refused(call("check_data", "--input_dir", tmp_path / "none"), "none does not exist")
    assert_refused(call("check_data", "--input_dir", data), "holds folders but no images")
    done = call("check_data", "--input_dir", data / "train", "--recipe", "paintings")
    assert_refused(done, "recipe must be one of facades")
