"""Locks by which only one program at a time works in a folder or on a file."""

import subprocess
import sys
import threading

import pytest

from p2p_graph.utils import file_lock
from p2p_graph.utils.errors import UserError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no locks on Windows")

HOLD = """
import sys
from pathlib import Path
from p2p_graph.utils import file_lock
with file_lock.held(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_holder_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "new.lock"):
        refused = pytest.raises(UserError, match=f"another program is at work in {tmp_path}: ")
        with file_lock.held(path), refused, file_lock.held(path):
            pass
        with file_lock.held(path):
            pass


def test_waiting_for_the_lock(tmp_path):
    order = []

    def second():
        with file_lock.held(tmp_path, wait=True):
            order.append("second")

    with file_lock.held(tmp_path):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.1)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]


def test_a_killed_program_releases_its_lock(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        assert program.stdout.readline() == b"held\n"
        with pytest.raises(UserError, match="another program"), file_lock.held(tmp_path):
            pass
        program.kill()
        program.wait()
        with file_lock.held(tmp_path):
            pass


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), file_lock.held(tmp_path / "no" / "lock"):
        pass
