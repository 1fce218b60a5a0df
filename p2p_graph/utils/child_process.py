"""Child processes: run to their end, with signals passed on; a child ends with its parent.

Every program imports this module before it answers. What only some of them need is imported in the
functions.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from p2p_graph.utils import signals

if TYPE_CHECKING:
    import subprocess

_PARENT = "P2P_GRAPH_PARENT"  # the environment variable with the parent's process number
_PACKAGE_PARENT = str(Path(__file__).resolve().parents[2])
_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG in <sys/prctl.h>
_INTERRUPT_DELAY = 2.0  # seconds that a child has to end by itself after Ctrl-C in a terminal


def run_program(
    command: Sequence[str],
    *,
    on_line: Callable[[str], None] | None = None,
    stderr: IO[str] | None = None,
    env: Mapping[str, str] | None = None,
    kill_after: float | None = None,
) -> int:
    """Runs a child program to its end, and passes the signals that stop this program on to it.

    A program of this package ends with this one, even if this one is killed (`end_with_parent`).

    Args:
      command: the program and its arguments.
      on_line: called with each line of the child's stdout when the line arrives. Without it, the
        child writes to this program's stdout.
      stderr: a file for the child's stderr, instead of this program's stderr.
      env: the child's environment variables, instead of this program's.
      kill_after: seconds after a signal was passed on at which the child is killed, if it has not
        ended; None for never.

    Returns:
      The child's exit code. 128 + the signal's number if a signal ended the child, or if this
      program received the signal.
    """
    import subprocess

    child: subprocess.Popen[str] | None = None

    def pass_on(number: signal.Signals) -> None:
        if child is not None:
            pass_signal_on(number, child.send_signal)
            if kill_after is not None:
                _later(kill_after, child.kill)

    stdout = subprocess.PIPE if on_line else None
    env = knowing_parent(os.environ if env is None else env)
    # The handlers come first: a signal that comes while the child starts is passed on, too.
    with (
        signals.taken(pass_on) as stop,
        subprocess.Popen(
            command,
            text=True,
            errors="backslashreplace",
            stdout=stdout,
            stderr=stderr,
            env=env,
        ) as started,
    ):
        child = started
        if stop.received:
            pass_on(stop.received)
        if on_line:
            assert started.stdout
            for line in _arriving(started.stdout):
                on_line(line)
        code = wait_for(started)
    if stop.received:
        return 128 + stop.received
    return 128 - code if code < 0 else code


def wait_for(child: "subprocess.Popen[Any]", on_wait: Callable[[], None] = lambda: None) -> int:
    """Waits for a child's end, calls a function a few times a second; returns the exit code."""
    import subprocess

    while True:
        try:
            code = child.wait(signals.LONGEST_WAIT)
        except subprocess.TimeoutExpired:
            on_wait()
        else:
            on_wait()
            return code


def _arriving(stream: Iterable[str]) -> Iterator[str]:
    """Yields the lines of a stream when they arrive."""
    import queue
    import threading

    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def read() -> None:
        with contextlib.suppress(ValueError):  # it is closed after an error
            for line in stream:
                lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    while True:
        with contextlib.suppress(queue.Empty):
            line = lines.get(timeout=signals.LONGEST_WAIT)
            if line is None:
                return
            yield line


def pass_signal_on(number: signal.Signals, send: Callable[[signal.Signals], None]) -> None:
    """Passes a signal that has come to this process on to children; for signal handlers.

    Ctrl-C in a terminal reaches a child, too, and one SIGINT is enough. A signal sent to this
    process alone does not reach the child. A timer's thread sends the signal, because a signal
    handler may interrupt code that holds a lock which `send` needs, such as `Popen.wait`.

    Args:
      number: the signal.
      send: sends it.
    """
    _later(_INTERRUPT_DELAY if number == signal.SIGINT else 0, lambda: send(number))


def _later(delay: float, function: Callable[[], None]) -> None:
    """Calls a function in a thread, after some seconds."""
    import threading

    timer = threading.Timer(delay, function)
    timer.daemon = True
    timer.start()


def environment() -> dict[str, str]:
    """This process's environment variables, changed so that a child imports this same package.

    The package may be a clone that is not installed, and the current folder may be any.
    """
    former = os.environ.get("PYTHONPATH")
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([_PACKAGE_PARENT, former] if former else [_PACKAGE_PARENT]),
        # Python 3.11 and later: modules in the current folder hide no others.
        "PYTHONSAFEPATH": "1",
    }


def knowing_parent(env: Mapping[str, str]) -> dict[str, str]:
    """A child's environment variables with those that `end_with_parent` needs."""
    return {**env, _PARENT: str(os.getpid())}


def end_with_parent() -> None:
    """Lets this process receive SIGTERM when the program that started it has been killed.

    That program has started it with the variables of `knowing_parent`, as `run_program` does.

    Only Linux can do so. Elsewhere, and in processes that a person has started, nothing changes.
    """
    parent = os.environ.pop(_PARENT, None)  # its own children have another parent
    if parent is None or sys.platform != "linux":
        return
    import ctypes

    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)
    if str(os.getppid()) != parent:  # it was killed before the call
        signal.raise_signal(signal.SIGTERM)
