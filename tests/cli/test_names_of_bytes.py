"""Folders whose names are bytes that are not UTF-8: programs work in them, or refuse them."""

import os
import shutil
import subprocess
import sys

import pytest

from .common import (
    GOLDEN,
    TINY,
    assert_equal_bits,
    assert_refused,
    call,
    environment,
    script,
    succeeded,
    tensors,
)

FIRST = GOLDEN / "mini_seed_BtoA" / "start"


@pytest.fixture
def odd(tmp_path):
    return tmp_path / os.fsdecode(b"odd\xff")


def test_pack(data, tmp_path, odd):
    """Also a second time, when the shards are read."""
    where = ("--input_dir", data / "train", "--output_dir", odd)
    for _ in range(2):
        done = succeeded(call("pack_records", *where))
    assert "5 images, as before" in done.stdout
    succeeded(call("pack_records", *where[:2], "--output_dir", tmp_path / "plain"))
    (shard,) = odd.glob("*.tfrecord")
    assert shard.read_bytes() == (tmp_path / "plain" / shard.name).read_bytes()
    for _ in range(2):
        succeeded(call("pack_npz", *where[:2], "--output_file", odd / "set.npz"))


def test_convert(tmp_path, odd):
    for source, target in ((FIRST, odd), (odd, tmp_path / "plain")):
        flags = ("--checkpoint", source, "--to", "native", "--output", target)
        succeeded(call("convert", *flags))
    found = tensors(tmp_path / "plain")
    wanted = tensors(FIRST)
    assert_equal_bits(found, {name: wanted[name] for name in found})


def test_prepare_and_evaluate(data, tmp_path, odd):
    where = ("--input_dir", data / "train", "--output_dir", odd / "grey")
    succeeded(call("process", *where, "--operation", "grayscale"))
    succeeded(call("split", "--dir", odd / "grey"))
    images = ("--outputs_dir", data / "train", "--targets_dir", data / "train")
    succeeded(call("evaluate", *images, "--metrics", "l1", "--output_dir", odd / "report"))
    shutil.copytree(data / "train", odd / "images")
    done = call("evaluate", "--outputs_dir", odd / "images", *images[2:])
    assert done.returncode == 2
    assert "has a name that is not UTF-8" in done.stderr


@pytest.mark.parametrize(
    ("program", "option"),
    [
        *(("train", option) for option in ("input_dir", "output_dir", "checkpoint", "val_dir")),
        *(("test", option) for option in ("input_dir", "output_dir", "checkpoint")),
        *(("export", option) for option in ("output_dir", "checkpoint")),
    ],
)
def test_options_are_utf_8(data, model, tmp_path, odd, program, option):
    shutil.copytree(model, odd)
    flags = {"output_dir": tmp_path / "out", "checkpoint": model}
    if program != "export":
        flags["input_dir"] = data / "train"
    flags[option] = odd
    given = [part for name, value in flags.items() for part in (f"--{name}", value)]
    assert_refused(call(program, *given), option, "is not UTF-8")
    assert list(tmp_path.iterdir()) == [odd]


@pytest.mark.parametrize("source", ["manifest", "shards"])
def test_names_out_of_files_in_a_locale_that_lacks_them(data, model, tmp_path, source):
    """A manifest and the records of a shard hold names in UTF-8."""
    folder, shards, manifest = (tmp_path / name for name in ("images", "shards", "list.csv"))
    shutil.copytree(data / "train", folder)
    first = min(folder.iterdir())
    first.rename(folder / "\u4e2d.png")
    names = sorted(path.name for path in folder.iterdir())[::-1]
    lines = (f"images/{name},images/{name}" for name in names)
    manifest.write_text("\n".join(["input,target", *lines, ""]), encoding="utf-8")
    succeeded(call("pack_records", "--input_dir", folder, "--output_dir", shards))
    given = ["--manifest", manifest] if source == "manifest" else ["--input_dir", shards]
    for program, flags in (("train", TINY), ("test", ("--checkpoint", model))):
        command = [sys.executable, script(program), *given, *flags]
        done = subprocess.run(
            [*map(str, command), "--output_dir", tmp_path / "new"],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            env=environment() | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        )
        assert done.returncode == 2, done.stderr
        assert "which is not UTF-8" in done.stderr or "a name that is not UTF-8" in done.stderr
        assert "in this locale, whose encoding is ascii: set PYTHONUTF8=1" in done.stderr
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "new").exists()


def test_a_working_folder(data, odd):
    """Relative paths are UTF-8 in a folder that is not."""
    shutil.copytree(data, odd / "mine")
    train = ("train", "--input_dir", "mine/train", *TINY, "--output_dir", "run")
    reports = (
        "--summary_freq",
        1,
        "--display_freq",
        1,
        "--sample_freq",
        1,
        "--val_dir",
        "mine/test",
    )
    for steps in (1, 2):
        succeeded(call(*train, *reports, "--max_steps", steps, cwd=odd))
    use = ("--checkpoint", "run")
    succeeded(call("test", *use, "--input_dir", "mine/test", "--output_dir", "out", cwd=odd))
    succeeded(call("export", *use, cwd=odd))
    succeeded(call("evaluate", "--results_dir", "out", "--metrics", "l1", cwd=odd))
