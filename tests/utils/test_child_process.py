"""SIGINT and SIGTERM: stopping long work, and passing signals on to a child."""

import os
import signal
import subprocess
import sys

import pytest

from p2p_graph.utils import child_process, signals

# Runs a child that says that it is ready, and how it ended.
PARENT = """
import sys
from p2p_graph.utils import child_process, signals
sys.exit(child_process.run_program([sys.executable, "-c", sys.argv[1]]))
"""
# Ends with code 7 once a signal came.
CHILD = """
import signal, time
from p2p_graph.utils import child_process, signals
with signals.taken() as stop:
    print("ready", flush=True)
    while not stop.received:
        time.sleep(0.01)
print(stop.received.name, flush=True)
raise SystemExit(7)
"""


def test_signals_are_remembered_and_handlers_restored():
    before = signal.getsignal(signal.SIGTERM)
    seen = []
    with signals.taken(seen.append) as stop:
        assert stop.received is None
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        assert stop.received == signal.SIGTERM
    assert seen == [signal.SIGINT, signal.SIGTERM]
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_stop_is_reported(capsys):
    with signals.taken() as stop:
        signal.raise_signal(signal.SIGTERM)
    assert stop.report_stop(3, 9) == 143
    assert capsys.readouterr().out == (
        "stopped by SIGTERM after step 3 of 9; it is saved\nthe same command goes on from there\n"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_this_program_alone_reaches_the_child(number):
    """The child may end with any code: this program's is that of the signal."""
    command = [sys.executable, "-c", PARENT, CHILD]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout.readline() == "ready\n"
        os.kill(program.pid, number)
        rest = program.stdout.read()
    assert rest == f"{number.name}\n"
    assert program.returncode == 128 + number


def test_a_signal_while_the_child_starts_is_passed_on(monkeypatch):
    """Here it comes when the child runs, and before anything is done with it."""

    class Started(subprocess.Popen):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            assert self.stdout.readline() == "ready\n"
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(subprocess, "Popen", Started)
    lines = []
    code = child_process.run_program([sys.executable, "-c", CHILD], on_line=lines.append)
    assert (code, lines) == (143, ["SIGTERM\n"])


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("raise SystemExit(3)", 3),
        ("pass", 0),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 137),
    ],
)
def test_exit_codes(source, code):
    assert child_process.run_program([sys.executable, "-c", source]) == code


def test_lines_arrive_while_the_child_runs(tmp_path):
    """The child waits for a file that is made once its first line was read."""
    answer = tmp_path / "answer"
    source = (
        "import pathlib, time\n"
        "print('one', flush=True)\n"
        "latest = time.monotonic() + 10\n"
        f"while not pathlib.Path({str(answer)!r}).exists():\n"
        "    assert time.monotonic() < latest\n"
        "    time.sleep(0.01)\n"
        "print('two', flush=True)\n"
    )
    lines = []

    def on_line(line):
        lines.append(line)
        answer.touch()

    code = child_process.run_program([sys.executable, "-c", source], on_line=on_line)
    assert (code, lines) == (0, ["one\n", "two\n"])
