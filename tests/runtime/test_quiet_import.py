"""Imports without messages (`quiet_import`), and without Keras (`quick_import`)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from p2p_graph.runtime.quiet_import import quiet_import

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("level", "shown"), [(None, ""), ("3", ""), ("0", "noise\n")])
def test_quiet_import_hides_messages(level, shown, monkeypatch, capfd):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", level or "")
    if level is None:
        monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL")
    with quiet_import():
        os.write(2, b"noise\n")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == f"{shown}after\n"
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == (level or "3")


def test_quiet_import_shows_why_it_failed(monkeypatch, capfd):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")

    def fail():
        os.write(2, b"library is missing\n")
        raise ImportError

    with pytest.raises(ImportError), quiet_import():
        fail()
    assert capfd.readouterr().err == "library is missing\n"


def test_quick_import_leaves_keras_out_and_things_as_they_were():
    program = """
import gc, sys
from p2p_graph.runtime.quiet_import import quick_import, tensorflow_import
with tensorflow_import():
    import tensorflow
assert "tensorflow" in sys.modules
assert not [name for name in sys.modules if name.partition(".")[0] == "keras"]
assert gc.isenabled()
assert gc.get_freeze_count() > 100_000
with quick_import():
    assert gc.isenabled()  # there is nothing left to make quicker
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


def test_quiet_import_leaves_no_file_open(monkeypatch):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    folder = Path("/proc/self/fd")
    if not folder.exists():
        pytest.skip("needs /proc")
    before = len(list(folder.iterdir()))
    with quiet_import():
        pass
    assert len(list(folder.iterdir())) == before
