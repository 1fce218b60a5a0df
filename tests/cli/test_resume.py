"""A run that was cut off, wherever, ends as one that was not: to the last bit."""

import json
import random
import re
import shutil
import signal
import time

import numpy as np
import pytest

from p2p_graph.utils import file_lock

from .common import (
    GOLDEN,
    SMALL,
    assert_equal_bits,
    assert_refused,
    call,
    run,
    start,
    succeeded,
    tensors,
    write_tensors,
)

STEPS = 40  # many enough that no signal comes after the last


@pytest.fixture(scope="module")
def flags(data):
    """Dropout, mirroring and jitter are on; 5 images, 3 steps an epoch."""
    return ("--input_dir", data / "train", *SMALL, "--batch_size", 2, "--max_steps", STEPS)


@pytest.fixture(scope="module")
def atomic_write(flags, tmp_path_factory):
    """The folder of a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    succeeded(run("train", *flags, "--save_freq", 3, "--output_dir", folder))
    return folder


def assert_same_end(folder, atomic_write):
    """Weights, Adam's moments and powers, averages and the step; and what was recorded."""
    found, wanted = tensors(folder), tensors(atomic_write)
    assert wanted["global_step"] == STEPS
    for part in ("/Adam", "/Adam_1", "beta1_power", "beta2_power", "ExponentialMovingAverage"):
        assert any(name.endswith(part) for name in wanted)
    assert_equal_bits(found, wanted)
    assert (folder / "losses.jsonl").read_text() == (atomic_write / "losses.jsonl").read_text()


def stop(number, lines, *args, delay=0.0):
    """Starts training, sends it a signal once it has shown some steps; returns code and output."""
    process = start("train", *args, "--progress_freq", 1)
    try:
        printed, shown = "", 0
        while shown < lines:
            line = process.stdout.readline()
            assert line, f"it ended by itself: {printed}"
            printed += line
            shown += line.startswith("progress ")
        time.sleep(delay)
        process.send_signal(number)
        printed += process.communicate(timeout=60)[0]
    finally:
        process.kill()
        process.wait()
    return process.returncode, printed


def test_killed_again_and_again(flags, atomic_write, tmp_path):
    """Before the first checkpoint, then twice between later ones; the last part reports more."""
    command = (*flags, "--output_dir", tmp_path)
    for lines, found in ((2, None), (8, None), (8, r"going on from .*/model-[1-9]\d*")):
        code, printed = stop(signal.SIGKILL, lines, *command, "--save_freq", 3)
        assert code == -signal.SIGKILL
        assert found is None or re.search(found, printed)
    other = ("--save_freq", 5, "--summary_freq", 4, "--display_freq", 10, "--progress_freq", 7)
    assert "going on from" in succeeded(call("train", *command, *other)).stdout
    assert_same_end(tmp_path, atomic_write)


def test_killed_at_random_while_it_saves_all_the_time(flags, atomic_write, tmp_path):
    command = (*flags, "--save_freq", 1, "--output_dir", tmp_path)
    moments = [(random.randint(1, 12), random.uniform(0, 0.05)) for _ in range(2)]
    for lines, delay in moments:
        code, _ = stop(signal.SIGKILL, lines, *command, delay=delay)
        assert code == -signal.SIGKILL, moments
    succeeded(call("train", *command))
    assert {path.name for path in tmp_path.iterdir()} == {
        "options.json",
        "checkpoint",
        "losses.jsonl",
        f"model-{STEPS}.index",
        f"model-{STEPS}.data-00000-of-00001",
    }, f"killed at {moments}"
    assert_same_end(tmp_path, atomic_write)


def test_what_a_kill_may_leave_does_no_harm(flags, atomic_write, tmp_path):
    """Half a checkpoint beside and among the files, and a record that is ahead and cut off.

    The folder is moved besides.
    """
    succeeded(call("train", *flags[:-1], 6, "--output_dir", tmp_path / "old"))
    folder = (tmp_path / "old").rename(tmp_path / "new")
    (folder / ".unfinished").mkdir()
    (folder / ".unfinished" / "model-9.data-00000-of-00001").write_bytes(b"half")
    (folder / "model-9.data-00000-of-00001").write_bytes(b"half")
    with (folder / "losses.jsonl").open("a") as file:
        file.write('{"step": 7, "epoch": 3, "discrim_loss": 1.0}\n{"step": 8, "epo')
    done = succeeded(call("train", *flags, "--output_dir", folder))
    assert f"going on from {folder}/model-6\n" in done.stdout
    assert not (folder / ".unfinished").exists()
    assert_same_end(folder, atomic_write)


def test_a_run_that_is_done_knows_itself_by_any_path(data, tmp_path):
    """TensorFlow itself writes absolute paths into the `checkpoint` file."""
    command = ("--input_dir", data / "train", "--output_dir", "run", "--max_steps", 2, *SMALL)
    succeeded(call("train", *command, cwd=tmp_path))
    state = tmp_path / "run" / "checkpoint"
    state.write_text(f'model_checkpoint_path: "{tmp_path}/run/model-2"\n')
    assert "run is done: 2 steps of 2" in succeeded(call("train", *command, cwd=tmp_path)).stdout


def test_the_same_command_goes_on_from_a_checkpoint_with_biases(tmp_path):
    """That there are biases stands in the checkpoint, not in the command."""
    command = (
        *("--input_dir", GOLDEN / "made_pairs", "--output_dir", tmp_path, "--ngf", 1, "--ndf", 1),
        *("--checkpoint", GOLDEN / "mini_current_AtoB" / "start", "--summary_freq", 0),
    )
    for steps in (4, 5):
        succeeded(call("train", *command, "--max_steps", steps))
        assert tensors(tmp_path)["global_step"] == steps
    done = call("train", *command, "--max_steps", 6, "--bias", "none")
    assert done.returncode == 2
    assert "was made with --bias all" in done.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_stopped_by_a_signal(flags, atomic_write, tmp_path, number, code):
    command = (*flags, "--output_dir", tmp_path)  # it does not save by itself before the end
    found, printed = stop(number, 4, *command)
    assert found == code, printed
    assert "Traceback" not in printed
    told = re.search(
        r"^stopped by (\w+) after step (\d+) of 40; it is saved\n(.*)\n", printed, re.M
    )
    assert told, printed
    assert told[1] == number.name
    assert told[3] == "the same command goes on from there"
    step = int(told[2])
    assert 4 <= step < STEPS
    assert tensors(tmp_path)["global_step"] == step
    assert len((tmp_path / "losses.jsonl").read_text().splitlines()) == step
    succeeded(call("train", *command))
    assert_same_end(tmp_path, atomic_write)


def copy_of(folder, target):
    shutil.copytree(folder, target)
    return target


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("--lr", 0.001), "lr (was 0.0002, now 0.001)"),
        (("--batch_size", 1), "batch_size (was 2, now 1)"),
        (("--seed", 5), "seed (was 0, now 5)"),
        (("--no_flip",), "flip (was true, now false)"),
        (("--which_direction", "BtoA"), 'which_direction (was "AtoB", now "BtoA")'),
    ],
)
def test_another_option_in_the_same_folder_is_refused(flags, atomic_write, tmp_path, change, told):
    folder = copy_of(atomic_write, tmp_path / "run")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    done = call("train", *flags, *change, "--max_steps", 50, "--output_dir", folder)
    assert_refused(done, folder, told, "another --output_dir")
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_a_run_keeps_its_seed_unless_another_is_asked_for(data, tmp_path):
    flags = ("--input_dir", data / "train", *SMALL, "--output_dir", tmp_path)
    for more in (("--max_steps", 2, "--seed", 3), ("--max_steps", 4)):
        succeeded(call("train", *flags, *more))
        assert json.loads((tmp_path / "options.json").read_text())["seed"] == 3


def test_another_folder_goes_on_from_a_checkpoint(flags, atomic_write, tmp_path):
    """With Adam's state and the step: the images that follow are the same, too."""
    succeeded(call("train", *flags[:-1], 7, "--output_dir", tmp_path / "first"))
    before = {path: path.read_bytes() for path in (tmp_path / "first").iterdir()}
    onward = ("--checkpoint", tmp_path / "first", "--output_dir", tmp_path / "second")
    done = succeeded(call("train", *flags, *onward))
    assert f"going on from {tmp_path}/first/model-7\n" in done.stdout
    assert_equal_bits(tensors(tmp_path / "second"), tensors(atomic_write))
    recorded = (atomic_write / "losses.jsonl").read_text().splitlines()
    assert (tmp_path / "second" / "losses.jsonl").read_text().splitlines() == recorded[7:]
    assert {path: path.read_bytes() for path in (tmp_path / "first").iterdir()} == before


def as_current(arrays):
    """A model with biases under the names of the reference's current generation."""
    layers = {"conv": "conv2d", "deconv": "conv2d_transpose", "batchnorm": "batch_normalization"}
    weights = {"filter": "kernel", "scale": "gamma", "offset": "beta"}
    renamed = {}
    for name, array in arrays.items():
        parts = [weights.get(part, layers.get(part, part)) for part in name.split("/")]
        renamed["/".join(parts)] = array
        if parts[-1] == "gamma":
            renamed["/".join([*parts[:-1], "moving_mean"])] = np.zeros_like(array)
            renamed["/".join([*parts[:-1], "moving_variance"])] = np.ones_like(array)
    return renamed


def test_another_folder_goes_on_from_the_current_generation(flags, tmp_path):
    """Its biases need no flag."""
    succeeded(call("train", *flags, "--bias", "all", "--output_dir", tmp_path / "whole"))
    succeeded(call("train", *flags[:-1], 7, "--bias", "all", "--output_dir", tmp_path / "first"))
    current = as_current(tensors(tmp_path / "first"))
    assert "generator/decoder_1/conv2d_transpose/bias/Adam_1" in current
    write_tensors(tmp_path / "current", current, 7)
    onward = ("--checkpoint", tmp_path / "current", "--output_dir", tmp_path / "second")
    succeeded(call("train", *flags, *onward))
    assert_equal_bits(tensors(tmp_path / "second"), tensors(tmp_path / "whole"))


def test_two_programs_do_not_train_in_one_folder(flags, atomic_write, tmp_path):
    """The second is refused, and nothing there is touched; it goes on once the first has ended."""
    shutil.copytree(atomic_write, tmp_path / "run")
    more = (*flags[:-1], STEPS + 1, "--output_dir", tmp_path / "run")
    before = {path: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    with file_lock.held(tmp_path / "run"):
        done = call("train", *more)
        assert_refused(done, "another program is at work in", "run: wait for it, or stop it")
    assert {path: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before
    succeeded(call("train", *more))
