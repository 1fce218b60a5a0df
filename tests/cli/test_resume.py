"""A training run that was cut off anywhere ends, once resumed, as an uninterrupted one: bit by bit.

The moments of kills are drawn with a fixed seed. P2P_GRAPH_TEST_SEED gives another one.
"""

import json
import os
import random
import re
import shutil
import signal
import time

import numpy as np
import pytest
from PIL import Image

from p2p_graph.utils import file_lock

from .common import (
    TINY,
    assert_equal_bits,
    assert_refused,
    call,
    signal_at,
    start,
    succeeded,
    tensors,
    write_tensors,
)

# A child program blocks once its output is two pipes, about 66 steps, ahead of what the test has
# read, so that every signal comes before the last step.
STEPS, PIPE_BYTES = 90, 4096
SEED = int(os.environ.get("P2P_GRAPH_TEST_SEED", "0"))


@pytest.fixture(scope="module")
def flags(data, tmp_path_factory):
    """Dropout, mirroring and jitter are on; 5 images, 3 steps an epoch.

    Images are not square, inputs are RGB and an array of two channels, targets are grey.
    """
    further = tmp_path_factory.mktemp("further")
    rng = np.random.default_rng(5)
    for path in (data / "train").iterdir():
        with Image.open(path) as image:
            width, height = image.size
        np.save(further / f"{path.stem}.npy", rng.random((height, width // 2, 2), np.float32))
    channels = ("--more_inputs", further, "--target_channels", 1)
    sizes = (*TINY, "--crop_size", "16x32", "--batch_size", 2, "--max_steps", STEPS)
    return ("--input_dir", data / "train", *channels, *sizes)


@pytest.fixture(scope="module")
def uninterrupted(flags, tmp_path_factory):
    """The folder of an uninterrupted training run."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    succeeded(call("train", *flags, "--save_freq", 3, "--output_dir", folder))
    return folder


def assert_same_end(folder, uninterrupted):
    """Weights, Adam's moments and powers, averages and the step; and what was recorded."""
    found, wanted = tensors(folder), tensors(uninterrupted)
    assert wanted["global_step"] == STEPS
    for part in ("/Adam", "/Adam_1", "beta1_power", "beta2_power", "ExponentialMovingAverage"):
        assert any(name.endswith(part) for name in wanted)
    assert_equal_bits(found, wanted)
    assert (folder / "losses.jsonl").read_text() == (uninterrupted / "losses.jsonl").read_text()


def train_until_signal(number, lines, *args, delay=0.0):
    """Trains until a number of progress lines, sends a signal; returns exit code and output."""
    process = start("train", *args, "--progress_freq", 1, pipesize=PIPE_BYTES)
    try:
        printed, shown = "", 0
        while shown < lines:
            line = process.stdout.readline()
            assert line, f"training ended without a signal: {printed}"
            printed += line
            shown += line.startswith("progress ")
        time.sleep(delay)
        process.send_signal(number)
        printed += process.communicate(timeout=60)[0]
    finally:
        process.kill()
        process.wait()
    return process.returncode, printed


def test_killed_before_and_after_the_first_checkpoint(flags, uninterrupted, tmp_path):
    """Two kills; the program that resumes and finishes the run saves and reports at other steps."""
    command = (*flags, "--output_dir", tmp_path)
    for lines in (2, 8):
        code, _ = train_until_signal(signal.SIGKILL, lines, *command, "--save_freq", 3)
        assert code == -signal.SIGKILL
    other = ("--save_freq", 5, "--summary_freq", 4, "--display_freq", 10, "--progress_freq", 7)
    done = succeeded(call("train", *command, *other))
    assert re.search(r"going on from .*/model-[1-9]\d*", done.stdout)
    assert_same_end(tmp_path, uninterrupted)


def test_a_resumed_run_killed_at_random_while_saving_every_step(flags, uninterrupted, tmp_path):
    command = (*flags, "--save_freq", 1, "--output_dir", tmp_path)
    succeeded(call("train", *command, "--max_steps", 3))
    rng = random.Random(SEED)
    lines, delay = rng.randint(1, 12), rng.uniform(0, 0.05)
    # Pytest shows what a failing test printed.
    print(f"SIGKILL {delay} s after progress line {lines}; replay with P2P_GRAPH_TEST_SEED={SEED}")
    code, printed = train_until_signal(signal.SIGKILL, lines, *command, delay=delay)
    assert code == -signal.SIGKILL
    assert f"going on from {tmp_path}/model-3\n" in printed
    succeeded(call("train", *command))
    assert {path.name for path in tmp_path.iterdir()} == {
        "options.json",
        "checkpoint",
        "losses.jsonl",
        "reports.jsonl",
        "index.html",
        f"model-{STEPS}.index",
        f"model-{STEPS}.data-00000-of-00001",
    }
    assert_same_end(tmp_path, uninterrupted)


def test_leftovers_of_a_kill_are_ignored(flags, uninterrupted, tmp_path):
    """Half a checkpoint in the temporary folder and in the run's own, and losses of later steps.

    The last line of the losses is cut off. The run's folder is moved before it is resumed.
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
    assert_same_end(folder, uninterrupted)


def test_a_finished_run_is_recognised_by_an_absolute_path(data, tmp_path):
    """TensorFlow itself writes absolute paths into the `checkpoint` file."""
    command = ("--input_dir", data / "train", "--output_dir", "run", "--max_steps", 2, *TINY)
    succeeded(call("train", *command, cwd=tmp_path))
    state = tmp_path / "run" / "checkpoint"
    state.write_text(f'model_checkpoint_path: "{tmp_path}/run/model-2"\n')
    assert "run is done: 2 steps of 2" in succeeded(call("train", *command, cwd=tmp_path)).stdout


def signal_within(number, lines, *args):
    """As `train_until_signal`, in this process: the signal comes while a step is reported."""
    watch = signal_at(number, "progress ", lines)
    done = call("train", *args, "--progress_freq", 1, watch=watch)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("number", "code", "train_until"),
    [
        (signal.SIGTERM, 143, train_until_signal),
        (signal.SIGINT, 130, signal_within),
        (signal.SIGHUP, 129, signal_within),
    ],
)
def test_stopped_by_a_signal(flags, uninterrupted, tmp_path, number, code, train_until):
    command = (*flags, "--output_dir", tmp_path)  # without a signal, it saves at the end only
    found, printed = train_until(number, 4, *command)
    assert found == code, printed
    assert "Traceback" not in printed
    stopped = re.search(
        rf"^stopped by (\w+) after step (\d+) of {STEPS}; it is saved\n(.*)\n", printed, re.M
    )
    assert stopped, printed
    assert stopped[1] == number.name
    assert stopped[3] == "the same command goes on from there"
    step = int(stopped[2])
    assert 4 <= step < STEPS
    assert tensors(tmp_path)["global_step"] == step
    assert len((tmp_path / "losses.jsonl").read_text().splitlines()) == step
    succeeded(call("train", *command))
    assert_same_end(tmp_path, uninterrupted)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("--lr", 0.001), "lr (was 0.0002, now 0.001)"),
        (("--batch_size", 1), "batch_size (was 2, now 1)"),
        (("--seed", 5), "seed (was 0, now 5)"),
        (("--no_flip",), "flip (was true, now false)"),
        (("--which_direction", "BtoA"), 'which_direction (was "AtoB", now "BtoA")'),
    ],
)
def test_another_option_in_the_same_folder_is_refused(
    flags, uninterrupted, tmp_path, change, message
):
    folder = shutil.copytree(uninterrupted, tmp_path / "run")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    done = call("train", *flags, *change, "--max_steps", STEPS + 10, "--output_dir", folder)
    assert_refused(done, folder, message, "another --output_dir")
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("lacking", [["which_direction"], ["lr", "seed"]])
def test_an_option_that_was_removed_is_refused(flags, uninterrupted, tmp_path, lacking):
    """Otherwise the run would go on with another value, and the file would not show it."""
    folder = shutil.copytree(uninterrupted, tmp_path / "run")
    path = folder / "options.json"
    options = json.loads(path.read_text())
    path.write_text(json.dumps({k: v for k, v in options.items() if k not in lacking}))
    before = path.read_bytes()
    done = call("train", *flags, "--output_dir", folder, "--max_steps", 99)
    assert_refused(done, f"{path} lacks {', '.join(lacking)}: add the value of the training run")
    assert path.read_bytes() == before


def test_a_resumed_run_keeps_its_seed(data, tmp_path):
    flags = ("--input_dir", data / "train", *TINY, "--output_dir", tmp_path)
    for more in (("--max_steps", 2, "--seed", 3), ("--max_steps", 4)):
        succeeded(call("train", *flags, *more))
        assert json.loads((tmp_path / "options.json").read_text())["seed"] == 3


def test_a_run_in_another_folder_resumes_from_a_checkpoint(flags, uninterrupted, tmp_path):
    """The checkpoint holds Adam's state and the step, so that the same images follow."""
    succeeded(call("train", *flags[:-1], 7, "--output_dir", tmp_path / "first"))
    before = {path: path.read_bytes() for path in (tmp_path / "first").iterdir()}
    onward = ("--checkpoint", tmp_path / "first", "--output_dir", tmp_path / "second")
    done = succeeded(call("train", *flags, *onward))
    assert f"going on from {tmp_path}/first/model-7\n" in done.stdout
    assert_equal_bits(tensors(tmp_path / "second"), tensors(uninterrupted))
    recorded = (uninterrupted / "losses.jsonl").read_text().splitlines()
    assert (tmp_path / "second" / "losses.jsonl").read_text().splitlines() == recorded[7:]
    assert {path: path.read_bytes() for path in (tmp_path / "first").iterdir()} == before


def as_current(arrays):
    """Renames a model with biases as the reference's current generation names it."""
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


@pytest.fixture(scope="module")
def current(flags, tmp_path_factory):
    """A checkpoint of step 7, with biases, as the reference's current generation has it."""
    root = tmp_path_factory.mktemp("current")
    succeeded(call("train", *flags, "--max_steps", 7, "--bias", "all", "--output_dir", root / "a"))
    arrays = as_current(tensors(root / "a"))
    assert "generator/decoder_1/conv2d_transpose/bias/Adam_1" in arrays
    write_tensors(root / "b", arrays, 7)
    return root / "b"


def test_a_run_resumes_from_the_current_generation(flags, current, tmp_path):
    """Its biases need no flag."""
    wanted = ("--bias", "all", "--output_dir", tmp_path / "uninterrupted")
    succeeded(call("train", *flags, *wanted))
    succeeded(call("train", *flags, "--checkpoint", current, "--output_dir", tmp_path / "resumed"))
    assert_equal_bits(tensors(tmp_path / "resumed"), tensors(tmp_path / "uninterrupted"))


def test_the_same_command_resumes_from_a_checkpoint_with_biases(flags, current, tmp_path):
    """The checkpoint, not the command, says that the layers have biases."""
    command = (*flags, "--checkpoint", current, "--output_dir", tmp_path)
    for steps in (8, 9):
        succeeded(call("train", *command, "--max_steps", steps))
        assert tensors(tmp_path)["global_step"] == steps
    done = call("train", *command, "--max_steps", 10, "--bias", "none")
    assert done.returncode == 2
    assert "was made with --bias all" in done.stderr


def test_two_programs_do_not_train_in_one_folder(flags, uninterrupted, tmp_path):
    """The second is refused and changes no file; it trains once the first has ended."""
    shutil.copytree(uninterrupted, tmp_path / "run")
    more = (*flags[:-1], STEPS + 1, "--output_dir", tmp_path / "run")
    before = {path: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    with file_lock.held(tmp_path / "run"):
        done = call("train", *more)
        assert_refused(done, "another program is at work in", "run: wait for it, or stop it")
    assert {path: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before
    succeeded(call("train", *more))


def test_an_image_that_is_added_between_two_runs_is_told(data, tmp_path):
    shutil.copytree(data / "train", tmp_path / "train")
    flags = ("--input_dir", tmp_path / "train", *TINY, "--output_dir", tmp_path / "run")
    succeeded(call("train", *flags, "--max_steps", 1))
    again = succeeded(call("train", *flags, "--max_steps", 2))
    assert "note:" not in again.stdout
    shutil.copy(data / "train" / "1.png", tmp_path / "train" / "1000.png")
    done = succeeded(call("train", *flags, "--max_steps", 3))
    told = f"note: the images in {tmp_path}/train are not those that {tmp_path}/run was trained on"
    assert f"{told} (5 then)" in done.stdout
    assert "examples count = 6" in done.stdout
    settled = succeeded(call("train", *flags, "--max_steps", 4))
    assert "note:" not in settled.stdout


def test_images_that_were_moved(data, tmp_path):
    """Alone, or with a folder that a link has led to; the note is not repeated."""
    shutil.copytree(data / "train", tmp_path / "train")
    more = (*TINY, "--output_dir", tmp_path / "run")
    succeeded(call("train", "--input_dir", tmp_path / "train", *more, "--max_steps", 1))
    (tmp_path / "train").rename(tmp_path / "moved")
    flags = ("--input_dir", tmp_path / "moved", *more)
    done = succeeded(call("train", *flags, "--max_steps", 2))
    told = f'note: input_dir (was "{tmp_path}/train", now "{tmp_path}/moved"): nothing is there any'
    assert told in done.stdout
    assert "note" not in succeeded(call("train", *flags, "--max_steps", 3)).stdout
    (tmp_path / "moved").rename(tmp_path / "again")
    (tmp_path / "again" / "1.png").rename(tmp_path / "again" / "1000.png")
    flags = ("--input_dir", tmp_path / "again", *more)
    done = call("train", *flags, "--max_steps", 4)
    assert_refused(done, "made with other options: input_dir (was ", "; give the same options")
    shutil.copytree(data / "train", tmp_path / "moved")
    (tmp_path / "again" / "1000.png").rename(tmp_path / "again" / "1.png")
    assert_refused(call("train", *flags, "--max_steps", 4), "made with other options: input_dir")


def test_a_project_that_was_moved(data, tmp_path):
    """By relative paths: a note, once; also where images were added."""
    shutil.copytree(data / "train", tmp_path / "was" / "train")
    command = ("--input_dir", "train", "--output_dir", "run", *TINY, "--max_steps")
    succeeded(call("train", *command, 1, cwd=tmp_path / "was"))
    now = (tmp_path / "was").rename(tmp_path / "now")
    told = f'note: input_dir (was "{tmp_path}/was/train", now "train"): nothing is there any more'
    assert told in succeeded(call("train", *command, 2, cwd=now)).stdout
    assert "note" not in succeeded(call("train", *command, 3, cwd=now)).stdout
    again = now.rename(tmp_path / "again")
    shutil.copy(again / "train" / "1.png", again / "train" / "1000.png")
    done = succeeded(call("train", *command, 4, cwd=again))
    assert "note: the images in train are not those that run was trained on (5 then)" in done.stdout
    assert "nothing is there" not in done.stdout


def test_an_image_that_is_mended_between_two_runs_is_told(data, tmp_path):
    """The order of all images depends on how many can be used."""
    shutil.copytree(data / "train", tmp_path / "train")
    mended = (tmp_path / "train" / "1.png").read_bytes()
    where = ("--input_dir", tmp_path / "train", "--output_dir", tmp_path / "run", "--skip_bad")

    def train_to(step):
        done = call("train", *where, *TINY, "--max_steps", step)
        assert done.returncode == 0, done.stderr
        return done.stdout

    (tmp_path / "train" / "1.png").write_bytes(mended[:40])
    assert "examples count = 4" in train_to(1)
    assert "note:" not in train_to(2)
    (tmp_path / "train" / "1.png").write_bytes(mended)
    told = f"note: other images in {tmp_path}/train can be used than when {tmp_path}/run was"
    assert f"{told} trained: 5 now, 4 then\n" in train_to(3)
    assert "note:" not in train_to(4)
