"""Being asked to stop: long work ends where it can go on from, not where the signal came."""

import contextlib
import signal
import subprocess
import threading
import types
from collections.abc import Iterator, Sequence
from typing import Any

_PATIENCE = 2.0  # seconds in which a program ends that Ctrl-C has reached


class Interrupts:
    """Takes SIGINT and SIGTERM over, and remembers the last one.

    Attributes:
      received: the signal that has come, None if none has.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
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


@contextlib.contextmanager
def taken() -> Iterator[Interrupts]:
    """Takes the signals over for as long as it is entered."""
    interrupts = Interrupts()
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
    received: list[int] = []

    def pass_on(number: int, frame: types.FrameType | None) -> None:
        received.append(number)
        # Ctrl-C reaches both, and once is enough; what is sent to this process alone does not.
        later = threading.Timer(
            _PATIENCE if number == signal.SIGINT else 0, child.send_signal, [number]
        )
        later.daemon = True
        later.start()

    with subprocess.Popen(command, text=True, **options) as child:
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, pass_on) for number in numbers}
        try:
            output, errors = child.communicate()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
    code = -received[0] if received else child.returncode
    return subprocess.CompletedProcess(command, 128 - code if code < 0 else code, output, errors)
