"""Child programs that run at the same time."""

import concurrent.futures
import os
import signal
import subprocess
import sys
import time

import pytest

from p2p_graph.reproduction.side_by_side.children import Children

from ...utils.test_child_process import ENDS_WITH_PARENT, needs_linux

# Runs two children, whose output goes to its own stdout.
PARENT = """
import concurrent.futures, os, sys
from p2p_graph.reproduction.side_by_side.children import Children
children = Children()
run = lambda _: children.run([sys.executable, "-c", sys.argv[1]], sys.stdout, int, os.environ)
with concurrent.futures.ThreadPoolExecutor(2) as pool:
    list(pool.map(run, range(2)))
"""


@needs_linux
def test_all_children_end_when_their_parent_is_killed():
    command = [sys.executable, "-c", PARENT, ENDS_WITH_PARENT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        ready = program.stdout.read(2 * len("ready\n"))
        killed = time.monotonic()
        program.kill()
        rest, _ = program.communicate(timeout=30)  # ends once the children have
    # Lines may be mixed: line breaks are written for themselves.
    assert (ready.count("ready"), rest.count("SIGTERM")) == (2, 2)
    assert time.monotonic() - killed < 5


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("raise SystemExit(3)", 3),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 137),
    ],
)
def test_exit_codes(tmp_path, source, code):
    with (tmp_path / "log").open("wb") as output:
        found = Children().run([sys.executable, "-c", source], output, int, os.environ)
    assert found == code


def test_a_failure_of_the_caller_ends_the_child(tmp_path):
    def fail():
        raise ZeroDivisionError

    began = time.monotonic()
    sleeps = [sys.executable, "-c", "import time; time.sleep(60)"]
    with (tmp_path / "log").open("wb") as output, pytest.raises(ZeroDivisionError):
        Children().run(sleeps, output, fail, os.environ)
    assert time.monotonic() - began < 20


def test_no_child_starts_after_a_signal(tmp_path):

    children = Children()
    with children.signals_passed_on(), (tmp_path / "log").open("wb") as output:
        signal.raise_signal(signal.SIGTERM)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            running = pool.submit(children.run, ["no such program"], output, int, os.environ)
            assert running.result() == 143
