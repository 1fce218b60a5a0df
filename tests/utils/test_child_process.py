"""Signals that stop long work, passing them on to a child, and a child whose parent has gone."""

import os
import signal
import subprocess
import sys
import time

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
        signal.raise_signal(signal.SIGHUP)
        signal.raise_signal(signal.SIGTERM)
        assert stop.received == signal.SIGTERM
    assert seen == [signal.SIGINT, signal.SIGHUP, signal.SIGTERM]
    assert signal.getsignal(signal.SIGTERM) == before


def test_sighup_stays_ignored_under_nohup():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals.taken() as stop:
            signal.raise_signal(signal.SIGHUP)
            assert stop.received is None
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_stop_is_reported(capsys):
    with signals.taken() as stop:
        signal.raise_signal(signal.SIGTERM)
    assert stop.report_stop(3, 9) == 143
    assert capsys.readouterr().out == (
        "stopped by SIGTERM after step 3 of 9; it is saved\nthe same command goes on from there\n"
    )


@pytest.mark.parametrize("number", signals.STOPPING)
def test_a_signal_to_this_program_alone_reaches_the_child(number):
    """The child may end with any code: this program's is that of the signal."""
    command = [sys.executable, "-c", PARENT, CHILD]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout.readline() == "ready\n"
        os.kill(program.pid, number)
        rest = program.stdout.read()
    assert rest == f"{number.name}\n"
    assert program.returncode == 128 + number


@pytest.mark.parametrize("on_line", ["None", "lambda line: print(line, end='', flush=True)"])
def test_a_signal_that_another_thread_takes(on_line):
    """The main thread waits meanwhile, and no system call of it is interrupted."""
    code = f"""
import signal, sys, threading
from p2p_graph.utils import child_process
def take():
    sys.stdin.readline()
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
    threading.Event().wait()
threading.Thread(target=take, daemon=True).start()
sys.exit(child_process.run_program([sys.executable, "-c", sys.argv[1]], on_line={on_line}))
"""
    command = [sys.executable, "-c", code, CHILD]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as program:
        assert program.stdout.readline() == "ready\n"
        program.stdin.write("now\n")
        program.stdin.flush()
        assert program.wait(20) == 128 + signal.SIGTERM


def test_much_output_that_is_not_utf_8():
    """The child would wait for ever if its output were not read to the end."""
    source = "import sys; sys.stdout.buffer.write(b'\\xff\\n' * 200_000)"
    lines = []
    code = child_process.run_program([sys.executable, "-c", source], on_line=lines.append)
    assert (code, lines) == (0, ["\\xff\n"] * 200_000)


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


needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child")
# Says that it is ready, and how it ended, once a signal came.
ENDS_WITH_PARENT = (
    f"from p2p_graph.utils import child_process\nchild_process.end_with_parent(){CHILD}"
)


@needs_linux
def test_a_child_ends_when_its_parent_is_killed():
    command = [sys.executable, "-c", PARENT, ENDS_WITH_PARENT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout.readline() == "ready\n"
        killed = time.monotonic()
        program.kill()
        assert program.stdout.read() == "SIGTERM\n"  # ends once the child has
    assert time.monotonic() - killed < 5


@needs_linux
def test_a_child_whose_parent_was_killed_before_it_could_ask():
    environment = {**os.environ, "P2P_GRAPH_PARENT": "1000000000"}
    command = [sys.executable, "-c", ENDS_WITH_PARENT]
    assert subprocess.run(command, env=environment, check=False).returncode == -signal.SIGTERM


def test_the_parent_is_that_of_the_child_alone():
    """A child's own children are not told who started the child."""
    source = (
        "import os\nfrom p2p_graph.utils import child_process\n"
        "child_process.end_with_parent()\nprint(os.environ.get('P2P_GRAPH_PARENT'))"
    )
    lines = []
    code = child_process.run_program([sys.executable, "-c", source], on_line=lines.append)
    assert (code, lines) == (0, ["None\n"])


def test_a_child_that_does_not_end_is_killed():
    source = "import signal, time\nsignal.signal(15, signal.SIG_IGN)\nprint(flush=True)\n"
    code = child_process.run_program(
        [sys.executable, "-c", f"{source}time.sleep(600)"],
        on_line=lambda line: signal.raise_signal(signal.SIGTERM),
        kill_after=0.1,
    )
    assert code == 128 + signal.SIGTERM
