"""Being asked to stop: long work ends where it can go on from, not where the signal came."""

import contextlib
import signal
import subprocess
import threading
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any

_PATIENCE = 2.0  # seconds in which a program ends that Ctrl-C has reached


class StopSignals:
    """Takes SIGINT and SIGTERM over, and remembers the last one.

    Attributes:
      received: the signal that has come, None if none has.
    """

    def __init__(self, then: Callable[[signal.Signals], None] | None = None) -> None:
        """`then` is called with each signal that comes."""
        self.received: signal.Signals | None = None
        self._then = then
        self._before: dict[signal.Signals, Any] = {}

    def take(self) -> None:
        """Takes the signals over."""
        self._before = {
            number: signal.signal(number, self._receive)
            for number in (signal.SIGINT, signal.SIGTERM)
        }

    def give_back(self) -> None:
        """Lets the signals do what they did before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def told(self, step: int, last: int) -> int:
        """Says on stdout after which of all steps training stopped; returns the exit code."""
        assert self.received is not None
        print(f"stopped by {self.received.name} after step {step} of {last}; it is saved")
        print("the same command goes on from there")
        return 128 + self.received

    def _receive(self, number: int, frame: types.FrameType | None) -> None:
        self.received = signal.Signals(number)
        if self._then:
            self._then(self.received)


@contextlib.contextmanager
def taken(then: Callable[[signal.Signals], None] | None = None) -> Iterator[StopSignals]:
    """Takes the signals over for as long as it is entered; `then` as in `Interrupts`."""
    interrupts = StopSignals(then)
    interrupts.take()
    try:
        yield interrupts
    finally:
        interrupts.give_back()


def run_program(command: Sequence[str], **options: Any) -> "subprocess.CompletedProcess[str]":
    """Runs a program to its end, also where this one is asked to stop: it is asked, too.

    Args:
      command: the program and its flags.
      options: of `subprocess.Popen`.

    Returns:
      What it printed, if that was to be kept, and its exit code: 128 + the signal's number where
      one ended it, or came to this program.
    """

    def pass_on(number: signal.Signals) -> None:
        # Ctrl-C reaches both, and once is enough; what is sent to this process alone does not.
        later = threading.Timer(
            _PATIENCE if number == signal.SIGINT else 0, child.send_signal, [number]
        )
        later.daemon = True
        later.start()

    with subprocess.Popen(command, text=True, **options) as child, taken(pass_on) as stopped:
        output, errors = child.communicate()
    code = -stopped.received if stopped.received else child.returncode
    return subprocess.CompletedProcess(command, 128 - code if code < 0 else code, output, errors)
