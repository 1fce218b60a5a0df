"""A signal ends a program with one line and the shell's exit code, whenever it comes.

The moments are found by Python's audit events: the program itself gets the signal when it is about
to import a module, or to open a file.
"""

import os
import signal
import subprocess
import sys

import pytest

from .common import GOLDEN, ROOT, environment, script

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows sends no signals")

# Python imports this module before a program.
SITECUSTOMIZE = """
import os, sys
event, name, number = os.environ["MOMENT"].split()
pending = [int(number)]
def hook(found, args):
    if pending and found == event and str(args[0]).endswith(name):
        os.kill(os.getpid(), pending.pop())
sys.addaudithook(hook)
"""
LINES = {
    signal.SIGINT: "interrupted\n",
    signal.SIGTERM: "stopped by SIGTERM\n",
    signal.SIGHUP: "stopped by SIGHUP\n",
}


def run(command, moment, number, folder, ignored=()):
    """Runs test.py, which receives a signal at a moment; returns its CompletedProcess."""
    (folder / "sitecustomize.py").write_text(SITECUSTOMIZE)
    added = {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}", "MOMENT": f"{moment} {number:d}"}
    flags = ("--input_dir", folder / "nowhere", "--checkpoint", GOLDEN / "mini_seed_BtoA" / "start")

    def handlers():
        """Tests in the background of a shell ignore SIGINT, and that is inherited."""
        for each in LINES:
            signal.signal(each, signal.SIG_IGN if each in ignored else signal.SIG_DFL)

    return subprocess.run(
        [sys.executable, *command, *map(str, flags)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**environment(), **added},
        preexec_fn=handlers,
    )


SHIM, MODULE = [script("test")], ["-m", "p2p_graph.cli.test"]


@pytest.mark.parametrize(
    ("command", "moment", "number"),
    [
        (SHIM, "import p2p_graph.cli.program", signal.SIGINT),
        (SHIM, "import argparse", signal.SIGHUP),
        (SHIM, "import numpy", signal.SIGTERM),
        (SHIM, "import tensorflow.python.saved_model", signal.SIGINT),
        (SHIM, "open options.json", signal.SIGTERM),
        (MODULE, "import argparse", signal.SIGINT),
        (MODULE, "import p2p_graph.inference", signal.SIGTERM),
    ],
)
def test_one_line_at_any_moment(command, moment, number, tmp_path):
    done = run(command, moment, number, tmp_path)
    assert (done.stdout, done.stderr) == ("", LINES[number])
    assert done.returncode == 128 + number


def test_an_ignored_signal_stays_ignored(tmp_path):
    """Under nohup, SIGHUP is; in the background of a script, SIGINT."""
    done = run(SHIM, "open options.json", signal.SIGHUP, tmp_path, ignored=[signal.SIGHUP])
    assert done.returncode == 2
    assert done.stderr.startswith("test.py: input_dir ")
