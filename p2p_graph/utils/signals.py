"""SIGINT and SIGTERM: long work ends at a point from which it can be resumed."""

import contextlib
import signal
import subprocess
import threading
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, Any

_INTERRUPT_DELAY = 2.0  # seconds that a child has to end by itself after Ctrl-C in a terminal


class StopSignals:
    """Handles SIGINT and SIGTERM, and remembers the last signal that came.

    Attributes:
      received: the last signal, or None.
    """

    def __init__(self, on_signal: Callable[[signal.Signals], None] | None = None) -> None:
        """Makes a handler that is not installed yet; `on_signal` is called with each signal."""
        self.received: signal.Signals | None = None
        self._on_signal = on_signal
        self._former_handlers: dict[signal.Signals, Any] = {}

    def take(self) -> None:
        """Installs the handler for both signals."""
        self._former_handlers = {
            number: signal.signal(number, self._receive)
            for number in (signal.SIGINT, signal.SIGTERM)
        }

    def give_back(self) -> None:
        """Installs the former handlers again."""
        for number, handler in self._former_handlers.items():
            signal.signal(number, handler)

    def report_stop(self, step: int, last_step: int) -> int:
        """Prints after which step the signal stopped training; returns the exit code."""
        assert self.received is not None
        print(f"stopped by {self.received.name} after step {step} of {last_step}; it is saved")
        print("the same command goes on from there")
        return 128 + self.received

    def _receive(self, number: int, frame: types.FrameType | None) -> None:
        self.received = signal.Signals(number)
        if self._on_signal:
            self._on_signal(self.received)


@contextlib.contextmanager
def taken(on_signal: Callable[[signal.Signals], None] | None = None) -> Iterator[StopSignals]:
    """Handles both signals while the context is entered; `on_signal` as in `StopSignals`."""
    stop = StopSignals(on_signal)
    stop.take()
    try:
        yield stop
    finally:
        stop.give_back()


def run_program(
    command: Sequence[str],
    *,
    on_line: Callable[[str], None] | None = None,
    stderr: IO[str] | None = None,
    env: Mapping[str, str] | None = None,
) -> int:
    """Runs a child program to its end, and passes SIGINT and SIGTERM on to the child.

    Args:
      command: the program and its arguments.
      on_line: called with each line of the child's stdout when the line arrives. Without it, the
        child writes to this program's stdout.
      stderr: a file for the child's stderr, instead of this program's stderr.
      env: the child's environment variables, instead of this program's.

    Returns:
      The child's exit code. 128 + the signal's number if a signal ended the child, or if this
      program received the signal.
    """
    child: subprocess.Popen[str] | None = None

    def pass_on(number: signal.Signals) -> None:
        if child is None:
            return
        # Ctrl-C in a terminal reaches the child, too, and one SIGINT is enough. A signal sent to
        # this process alone does not reach the child. The timer's thread sends the signal because
        # a signal handler may interrupt `wait`, whose lock `send_signal` needs.
        delay = _INTERRUPT_DELAY if number == signal.SIGINT else 0
        timer = threading.Timer(delay, child.send_signal, [number])
        timer.daemon = True
        timer.start()

    stdout = subprocess.PIPE if on_line else None
    # The handlers come first: a signal that comes while the child starts is passed on, too.
    with (
        taken(pass_on) as stop,
        subprocess.Popen(command, text=True, stdout=stdout, stderr=stderr, env=env) as started,
    ):
        child = started
        if stop.received:
            pass_on(stop.received)
        if on_line:
            assert started.stdout
            for line in started.stdout:
                on_line(line)
        code = started.wait()
    if stop.received:
        return 128 + stop.received
    return 128 - code if code < 0 else code
