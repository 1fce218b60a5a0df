"""Standard streams that are closed, broken or full: the program goes on and ends as usual."""

import contextlib
import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest

from p2p_graph.utils import streams

# Writes a file while it prints more than any buffer or pipe holds: with `print`, and to the handles
# themselves, as TensorFlow and child processes do.
SOURCE = """
import os, subprocess, sys
from p2p_graph.cli.program import program

def main(argv):
    with open(argv[0], "w") as file:
        for number in range(20_000):
            print("line", number)
        print("a warning", file=sys.stderr)
        sys.stdout.flush()
        for handle in (1, 2):
            try:
                os.write(handle, b"from a library")
            except BrokenPipeError:
                assert handle == 2  # nothing was written to this one before
        child = "import os; [os.fstat(handle) for handle in range(3)]"
        subprocess.run([sys.executable, "-c", child], check=True)
        print("name of bytes: \\udcff", sys.stderr.isatty())
        file.write("done")

program(main)()
"""


def run(tmp_path, redirections="", python=(), **options):
    """Runs SOURCE under a shell's redirections; returns its exit code, stdout and stderr."""
    command = [sys.executable, *python, "-c", SOURCE, str(tmp_path / "made")]
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {redirections}', "sh", *command],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        **options,
    )
    assert (tmp_path / "made").read_text() == "done"
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("python", [(), ("-u",)], ids=["buffered", "unbuffered"])
def test_all_is_written_where_it_can_be(tmp_path, python):
    code, out, err = run(tmp_path, python=python)
    assert (code, err) == (0, "a warning\nfrom a library")
    *lines, last = out.replace("from a library", "").splitlines()
    assert lines == [f"line {number}" for number in range(20_000)]
    assert last == r"name of bytes: \udcff False"


@pytest.mark.parametrize("redirections", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams(tmp_path, redirections):
    code, _, err = run(tmp_path, redirections)
    assert (code, "Traceback" in err) == (0, False)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("python", [(), ("-u",)], ids=["buffered", "unbuffered"])
def test_a_full_disk(tmp_path, python):
    """It is told once, where somebody may read it."""
    code, _, err = run(tmp_path, ">/dev/full", python)
    lost = "-c: output is lost from here on: No space left on device\n"
    assert (code, err) == (0, f"{lost}a warning\nfrom a library")
    assert run(tmp_path, ">/dev/full 2>/dev/full", python) == (0, "", "")


@pytest.mark.parametrize("both", [False, True])
def test_a_pipe_that_nobody_reads(tmp_path, both):
    command = [sys.executable, "-c", SOURCE, str(tmp_path / "made")]
    errors = subprocess.STDOUT if both else subprocess.PIPE
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as program:
        assert program.stdout.readline() == "line 0\n"
        program.stdout.close()
        err = "" if both else program.stderr.read()
        assert program.wait() == 0
    assert err == ("" if both else "a warning\nfrom a library")
    assert (tmp_path / "made").read_text() == "done"


def test_a_terminal_that_has_gone(tmp_path):
    master, slave = pty.openpty()
    command = [sys.executable, "-c", SOURCE, str(tmp_path / "made")]
    with subprocess.Popen(command, stdout=slave, stderr=slave) as program:
        os.close(slave)
        first = os.read(master, 1)
        os.close(master)
        assert (first, program.wait(60)) == (b"l", 0)
    assert (tmp_path / "made").read_text() == "done"


def test_a_pipe_that_another_program_made_non_blocking(tmp_path):
    """A slow reader receives everything."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    command = [sys.executable, "-c", SOURCE, str(tmp_path / "made")]
    with subprocess.Popen(command, stdout=write, stderr=subprocess.PIPE) as program:
        os.close(write)
        time.sleep(0.2)
        with os.fdopen(read, encoding="utf-8") as file:
            text = file.read()
        assert (program.wait(), program.stderr.read()) == (0, b"a warning\nfrom a library")
    assert text.count("line ") == 20_000


def test_a_stream_that_something_put_in_their_place(tmp_path):
    """It stays, and takes names that are not UTF-8."""
    path = tmp_path / "out.txt"
    with path.open("w", encoding="utf-8") as file, contextlib.redirect_stdout(file):
        streams.make_safe()
        assert sys.stdout is file
        print("name \udcff")
    assert path.read_text() == "name \\udcff\n"
