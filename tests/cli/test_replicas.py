"""Training with several replicas, in one process and in two."""

import json
import shutil
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from .common import (
    TINY,
    assert_equal_bits,
    assert_refused,
    call,
    environment,
    script,
    succeeded,
    tensors,
)

# A process blocks once its output is two pipes, about 66 steps, ahead of what the test has read: it
# is killed before the last step.
STEPS, PIPE_BYTES = 90, 4096


@pytest.fixture(scope="module")
def flags(data):
    """Dropout, mirroring and jitter are on; 5 images, 2 a step."""
    reports = ("--summary_freq", 0, "--progress_freq", 30, "--save_freq", 30)
    return ("--input_dir", data / "train", *TINY, "--max_steps", STEPS, *reports)


@pytest.fixture(scope="module")
def together(flags, tmp_path_factory):
    """The folder of a run of two replicas that was not interrupted."""
    folder = tmp_path_factory.mktemp("together")
    done = succeeded(call("train", *flags, "--replicas", 2, "--output_dir", folder))
    assert "batch: 2 images a step, 1 for each of 2 replicas" in done.stdout
    assert "3 steps an epoch" in done.stdout
    return folder


def assert_same(folder, together):
    assert tensors(together)["global_step"] == STEPS
    assert_equal_bits(tensors(folder), tensors(together))
    assert losses(folder) == losses(together)


def losses(folder):
    """All lines, without validation."""
    lines = map(json.loads, (folder / "losses.jsonl").read_text().splitlines())
    return [{name: line[name] for name in line if not name.startswith("val_")} for line in lines]


def test_resumed_with_reports_and_more_steps_a_call(data, flags, together, tmp_path):
    """What is reported changes nothing; images of both replicas are written."""
    command = ("train", *flags, "--replicas", 2, "--output_dir", tmp_path)
    succeeded(call(*command, "--max_steps", 30))
    reports = ("--display_freq", 30, "--summary_freq", 30, "--trace_freq", 30)
    validation = ("--sample_freq", 30, "--val_dir", data / "test", "--keep_best", "l1")
    succeeded(call(*command, "--steps_per_run", 6, *reports, *validation))
    assert_same(tmp_path, together)
    assert len(list((tmp_path / "images").iterdir())) == 2 * 2 * 3
    assert tensors(tmp_path / "best")["global_step"] in (60, 90)


def test_resumed_on_one_device(flags, together, tmp_path):
    """Sums have another order there; the images of each step are the same."""
    command = ("train", *flags, "--output_dir", tmp_path)
    succeeded(call(*command, "--replicas", 2, "--max_steps", 60))
    assert_refused(call(*command, "--batch_size", 2), "moments (was", "batch_size (was 1, now 2)")
    assert_refused(call(*command, "--batch_size", 4, "--moments", "image"), "images of a step")
    succeeded(call(*command, "--batch_size", 2, "--moments", "image"))
    found, wanted = tensors(tmp_path), tensors(together)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-2, atol=1e-4, err_msg=name)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--replicas", "two"), ("replicas must be a number from 1 to 999, or all", "'two'")),
        (("--replicas", 2, "--xla"), ("xla compiles the step of one replica",)),
    ],
)
def test_refused(flags, tmp_path, more, words):
    assert_refused(call("train", *flags, *more, "--output_dir", tmp_path / "new"), *words)
    assert not (tmp_path / "new").exists()


def free_ports(count):
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def start_processes(*flags, images):
    """Starts a run of two processes, which have a folder of images each; the chief is first."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]
    processes = []
    for index in range(2):
        task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        command = [sys.executable, script("train"), *map(str, flags)]
        command += ["--input_dir", str(images[index])]
        processes.append(
            subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=environment() | {"TF_CONFIG": json.dumps(task)},
                pipesize=PIPE_BYTES,
            )
        )
    return processes


def ended(process):
    out, err = process.communicate(timeout=90)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def until_saved(process, folder, step):
    while not (folder / f"model-{step}.index").exists():
        assert process.poll() is None, ended(process).stderr
        time.sleep(0.02)


def test_two_processes_of_which_one_is_killed_and_one_stopped(
    data, flags, together, tmp_path, tmp_path_factory
):
    """The other one stops, too; what goes on from there ends with the same bits.

    The other one has the images at another path.
    """
    images = (data / "train", tmp_path_factory.mktemp("elsewhere") / "train")
    shutil.copytree(*images)
    command = (*flags, "--output_dir", tmp_path)
    processes = start_processes(*command, "--progress_freq", 1, images=images)
    try:
        chief, other = processes
        until_saved(chief, tmp_path, 30)
        other.kill()
        assert_refused(ended(chief), "worker 1 (127.0.0.1:", "does not answer", "model-")
        other.communicate()
        saved = tensors(tmp_path)["global_step"]
        assert saved in (30, 60)

        processes = start_processes(*command, "--progress_freq", 1, images=images)
        chief, other = processes
        while "device: CPU" not in other.stdout.readline():
            assert other.poll() is None, ended(other).stderr
        while chief.stdout.readline().split()[:1] != ["progress"]:
            assert chief.poll() is None, ended(chief).stderr
        other.terminate()
        chief, other = map(ended, processes)
    finally:
        for process in processes:
            process.kill()
            process.wait()
    stopped = tensors(tmp_path)["global_step"]
    assert saved < stopped < STEPS
    for process in (chief, other):
        assert process.returncode == 143, process.stderr
        assert f"stopped by SIGTERM after step {stopped} of {STEPS}" in process.stdout
    assert "progress" not in other.stdout
    succeeded(call("train", *command, "--replicas", 2))
    assert_same(tmp_path, together)
