"""Programs whose output nobody can take: the work is done all the same, with exit code 0."""

import subprocess
import sys

from .common import TINY, environment, script, tensors


def run_in_shell(redirections, tool, *args):
    """Runs a tool under a shell's redirections; returns its CompletedProcess."""
    return subprocess.run(
        [
            "sh",
            "-c",
            f'exec "$@" {redirections}',
            "sh",
            sys.executable,
            script(tool),
            *map(str, args),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=environment(),
    )


def test_training_with_closed_streams(data, tmp_path):
    """No file gets the number of a closed stream, into which TensorFlow writes its messages."""
    more = ("--max_steps", 6, "--save_freq", 2, "--summary_freq", 2, "--progress_freq", 1)
    flags = ("--input_dir", data / "train", "--output_dir", tmp_path, *TINY, *more)
    done = run_in_shell("<&- >&- 2>&-", "train", *flags)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert tensors(tmp_path)["global_step"] == 6
    assert len((tmp_path / "losses.jsonl").read_text().splitlines()) == 6


def test_training_whose_reader_ends(data, tmp_path):
    flags = ("--input_dir", data / "train", "--output_dir", tmp_path, *TINY)
    more = ("--max_steps", 20, "--progress_freq", 1)
    command = [sys.executable, script("train"), *map(str, (*flags, *more))]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "env": environment()}
    with subprocess.Popen(command, text=True, **options) as program:
        assert program.stdout.readline().startswith("device: ")
        program.stdout.close()
        assert program.wait(60) == 0
    assert tensors(tmp_path)["global_step"] == 20


def test_worker_processes_with_closed_streams(data, tmp_path):
    flags = ("--input_dir", data / "train", "--output_dir", tmp_path, "--operation", "grayscale")
    done = run_in_shell("<&- >&- 2>&-", "process", *flags, "--workers", 2)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert len(list(tmp_path.glob("*.png"))) == 5
