"""SIGINT, SIGTERM and SIGHUP: long work ends at a point from which it can be resumed."""

import contextlib
import signal
import types
from collections.abc import Callable, Iterator
from typing import Any

# SIGHUP comes when the terminal goes, as with a connection that breaks. Windows does not have it.
STOPPING = tuple(
    number for number in signal.Signals if number.name in ("SIGINT", "SIGTERM", "SIGHUP")
)


class StopSignals:
    """Handles the signals of `STOPPING`, and remembers the last one that came.

    Attributes:
      received: the last signal, or None.
    """

    def __init__(self, on_signal: Callable[[signal.Signals], None] | None = None) -> None:
        """Makes a handler that is not installed yet; `on_signal` is called with each signal."""
        self.received: signal.Signals | None = None
        self._on_signal = on_signal
        self._former_handlers: dict[signal.Signals, Any] = {}

    def take(self) -> None:
        """Installs the handler; under nohup, which has SIGHUP ignored, SIGHUP stays ignored."""
        self._former_handlers = {
            number: signal.signal(number, self._receive)
            for number in STOPPING
            if number.name != "SIGHUP" or signal.getsignal(number) != signal.SIG_IGN
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
    """Handles the signals while the context is entered; `on_signal` as in `StopSignals`."""
    stop = StopSignals(on_signal)
    stop.take()
    try:
        yield stop
    finally:
        stop.give_back()
