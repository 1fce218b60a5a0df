"""Several checkpoints of a run, and the programs that take one of them."""

import shutil

import numpy as np
import pytest

from .common import (
    TINY,
    assert_equal_bits,
    assert_refused,
    call,
    file_bytes,
    images,
    succeeded,
    tensors,
)


@pytest.fixture(scope="module")
def flags(data):
    return ("--input_dir", data / "train", *TINY, "--lr", 0.01)


@pytest.fixture(scope="module")
def run_folder(flags, tmp_path_factory):
    """The folder of a run of 9 steps that has kept steps 3, 6 and 9, and the last two of 8."""
    folder = tmp_path_factory.mktemp("kept")
    keep = ("--save_freq", 2, "--keep_checkpoints", 2, "--keep_every", 3)
    succeeded(call("train", *flags, *keep, "--max_steps", 9, "--output_dir", folder))
    return folder


def steps_in(folder):
    return sorted(int(path.stem.partition("-")[2]) for path in folder.glob("model-*.index"))


def test_a_kept_checkpoint_is_that_of_a_run_that_ended_there(flags, run_folder, tmp_path):
    assert steps_in(run_folder) == [3, 6, 8, 9]
    succeeded(call("train", *flags, "--max_steps", 6, "--output_dir", tmp_path))
    assert_equal_bits(tensors(run_folder / "model-6"), tensors(tmp_path))


def test_they_stay_when_the_run_goes_on(flags, run_folder, tmp_path):
    shutil.copytree(run_folder, tmp_path / "run")
    more = ("--max_steps", 10, "--output_dir", tmp_path / "run")
    done = succeeded(call("train", *flags, *more))
    assert "going on from" in done.stdout
    assert steps_in(tmp_path / "run") == [3, 6, 9, 10]


def test_only_those_for_good(flags, tmp_path):
    """With --save_freq 0, the end is not saved."""
    more = ("--max_steps", 5, "--save_freq", 0, "--keep_every", 2, "--output_dir", tmp_path)
    succeeded(call("train", *flags, *more))
    assert steps_in(tmp_path) == [2, 4]


def test_translation_of_a_step(data, run_folder, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run_folder, copy)
    flags = ("--input_dir", data / "test", "--checkpoint", copy)
    made = {}
    for step in (3, 9):
        succeeded(call("test", *flags, "--step", step, "--grid"))
        made[step] = images(copy / f"{data.name}_test_{step}")
        page = (copy / f"{data.name}_test_{step}" / "index.html").read_text()
        assert f"model-{step}" in page
    newest = succeeded(call("test", *flags, "--output_dir", tmp_path / "newest"))
    assert "model-9" in newest.stdout
    assert_equal_bits(made[9], images(tmp_path / "newest"))
    assert any(not np.array_equal(made[3][name], made[9][name]) for name in made[9])


def test_other_programs_take_a_step(data, flags, run_folder, tmp_path):
    """export and convert by --step; train and test by the checkpoint's prefix."""
    export = ("export", "--checkpoint", run_folder, "--output_dir", tmp_path / "export")
    assert "model-6" in succeeded(call(*export, "--step", 6)).stdout
    native = ("--to", "native", "--output", tmp_path / "native")
    succeeded(call("convert", "--checkpoint", run_folder, "--step", 6, *native))
    assert_equal_bits(tensors(tmp_path / "native"), tensors(run_folder / "model-6"))
    start = ("--checkpoint", run_folder / "model-6", "--output_dir", tmp_path / "again")
    succeeded(call("train", *flags, *start, "--max_steps", 9))
    assert_equal_bits(tensors(tmp_path / "again"), tensors(run_folder / "model-9"))
    where = ("--input_dir", data / "test", "--checkpoint", run_folder / "model-6")
    succeeded(call("test", *where, "--output_dir", tmp_path / "by_prefix"))
    where = ("--input_dir", data / "test", "--checkpoint", run_folder, "--step", 6)
    succeeded(call("test", *where, "--output_dir", tmp_path / "by_step"))
    assert file_bytes(tmp_path / "by_prefix") == file_bytes(tmp_path / "by_step")


@pytest.mark.parametrize(
    ("tool", "more", "words"),
    [
        ("train", ("--keep_checkpoints", 0), "keep_checkpoints must be at least 1"),
        ("train", ("--keep_every", -1), "keep_every must be at least 0"),
        (
            "train",
            ("--keep_every", 3, "--steps_per_run", 2, "--save_freq", 2, "--progress_freq", 2),
            "keep_every must be a multiple of steps_per_run (2), not 3",
        ),
        ("test", ("--step", 4), "has no step 4: it holds 3, 6, 8, 9"),
        ("export", ("--step", 4), "has no step 4: it holds 3, 6, 8, 9"),
        ("convert", ("--step", 4), "has no step 4: it holds 3, 6, 8, 9"),
    ],
)
def test_what_cannot_be(data, flags, run_folder, tmp_path, tool, more, words):
    out = ("--output_dir", tmp_path / "out")
    where = {
        "train": (*flags, "--max_steps", 9, *out),
        "test": ("--input_dir", data / "test", "--checkpoint", run_folder, *out),
        "export": ("--checkpoint", run_folder, *out),
        "convert": ("--checkpoint", run_folder, "--to", "native", "--output", tmp_path / "out"),
    }[tool]
    assert_refused(call(tool, *where, *more), words)
    assert not (tmp_path / "out").exists()
