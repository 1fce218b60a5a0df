"""What C code writes to stderr is hidden, what Python writes is not."""

import os
import subprocess
import sys

import pytest

from p2p_graph.utils.hidden_stderr import hidden_stderr

SOURCE = """
import os, sys
from p2p_graph.utils.hidden_stderr import hidden_stderr
with hidden_stderr():
    os.write(2, b"C\\n")
    print("Python", file=sys.stderr)
    print(sys.stdout.isatty())
os.write(2, b"later\\n")
print("and later", file=sys.stderr)
"""


def test_only_python_is_seen():
    done = subprocess.run(
        [sys.executable, "-c", SOURCE], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr == "Python\nlater\nand later\n"


def hide_and_fail():
    with hidden_stderr():
        os.write(2, b"hidden")
        raise KeyError


def test_descriptors_are_given_back(capfd):
    """A new descriptor gets the lowest free number."""
    before = os.dup(2)
    os.close(before)
    for _ in range(3):
        with pytest.raises(KeyError):
            hide_and_fail()
    after = os.dup(2)
    os.close(after)
    assert after == before
    os.write(2, b"seen")
    assert capfd.readouterr().err == "seen"


def test_a_closed_stderr():
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" -c "$1" 2>&-', sys.executable,
         "import sys\nfrom p2p_graph.utils.hidden_stderr import hidden_stderr\n"
         "with hidden_stderr(): print(sys.stderr)"],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert done.stdout == "None\n"
