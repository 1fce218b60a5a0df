"""Folders whose names are bytes that are not UTF-8: programs work in them, or refuse them."""

import os
import shutil

import pytest

from .common import GOLDEN, TINY, assert_equal_bits, assert_refused, call, succeeded, tensors

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
