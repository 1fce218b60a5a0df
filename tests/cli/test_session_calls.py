"""Several training steps per `Session.run` call, and steps that XLA compiles."""

import json

import numpy as np
import pytest

from .common import TINY, assert_equal_bits, assert_refused, call, file_bytes, succeeded, tensors


@pytest.fixture(scope="module")
def flags(data):
    """Dropout, mirroring and jitter are on; 5 images, 3 steps an epoch; 14 steps."""
    reports = ("--summary_freq", 4, "--display_freq", 4, "--progress_freq", 4, "--save_freq", 4)
    sizes = (*TINY, "--crop_size", "16x32", "--batch_size", 2, "--max_steps", 14)
    return ("--input_dir", data / "train", *sizes, *reports)


@pytest.fixture(scope="module")
def one_by_one(flags, tmp_path_factory):
    """The folder of a run of one step per `Session.run` call."""
    folder = tmp_path_factory.mktemp("one")
    succeeded(call("train", *flags, "--output_dir", folder))
    return folder


def assert_same(folder, one_by_one):
    """Weights, moments, averages, the step; the recorded losses; the images that were written."""
    assert tensors(one_by_one)["global_step"] == 14
    assert_equal_bits(tensors(folder), tensors(one_by_one))
    assert (folder / "losses.jsonl").read_text() == (one_by_one / "losses.jsonl").read_text()
    assert len(file_bytes(one_by_one)) == 4 * 2 * 3  # steps 4, 8, 12 and 14
    assert file_bytes(folder) == file_bytes(one_by_one)


@pytest.mark.parametrize("steps_per_run", [2, 4])
def test_steps_in_one_call_are_as_one_by_one(flags, one_by_one, tmp_path, steps_per_run):
    more = ("--steps_per_run", steps_per_run, "--output_dir", tmp_path)
    done = succeeded(call("train", *flags, *more))
    assert [line for line in done.stdout.splitlines() if line.startswith("progress")] != []
    assert_same(tmp_path, one_by_one)


def test_a_run_resumes_with_more_steps_per_call(flags, one_by_one, tmp_path):
    """From step 6, calls end at steps 8, 12 and 14."""
    command = ("train", *flags, "--output_dir", tmp_path)
    succeeded(call(*command, "--max_steps", 6))
    for path in (tmp_path / "images").glob("00000006*"):
        path.unlink()
    succeeded(call(*command, "--steps_per_run", 4))
    assert_same(tmp_path, one_by_one)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--steps_per_run", 3), ("summary_freq", "multiple of steps_per_run (3)", "not 4")),
        (("--steps_per_run", 0), ("steps_per_run", "at least 1")),
        (
            ("--steps_per_run", 2, "--sample_freq", "1e", "--split", "0.8", "--crop_size", 32),
            ("sample_freq", "multiple of steps_per_run (2)", "1e is"),
        ),
    ],
)
def test_frequencies_that_do_not_fit(flags, tmp_path, more, words):
    more = (*more, "--steps_per_epoch", 3, "--output_dir", tmp_path / "new")
    assert_refused(call("train", *flags, *more), *words)
    assert not (tmp_path / "new").exists()


def test_compiled_steps_do_not_depend_on_how_many_are_in_a_call(flags, tmp_path):
    common = ("train", *flags, "--max_steps", 4, "--xla", "--output_dir")
    succeeded(call(*common, tmp_path / "one"))
    succeeded(call(*common, tmp_path / "two", "--steps_per_run", 2))
    assert_equal_bits(tensors(tmp_path / "two"), tensors(tmp_path / "one"))
    one, two = ((tmp_path / name / "losses.jsonl").read_text() for name in ("one", "two"))
    assert one == two
    rows = [list(json.loads(line).values()) for line in one.splitlines()]
    assert np.isfinite(rows).all()
    assert np.shape(rows) == (4, 5)
