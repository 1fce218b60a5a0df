"""SIGINT, SIGTERM and SIGHUP: a program ends with one line, long work so that it can be resumed.

Programs import this module first. It imports little: few milliseconds pass without handlers.
"""

import contextlib
import os
import signal
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import concurrent.futures

# SIGHUP comes when the terminal goes, as with a connection that breaks. Windows does not have it.
STOPPING = tuple(
    number for number in signal.Signals if number.name in ("SIGINT", "SIGTERM", "SIGHUP")
)
# Seconds. Of two signals that come together, another thread may take both. The main thread, which
# runs the handlers, is not woken then.
LONGEST_WAIT = 0.25


class Interrupted(KeyboardInterrupt):
    """A signal of `STOPPING` that ends the program.

    Attributes:
      number: the signal.
    """

    def __init__(self, number: signal.Signals) -> None:
        """Takes the signal."""
        super().__init__()
        self.number = number


class _Ending:
    """How a signal ends this process.

    Attributes:
      at_once: without an exception.
      stderr: the file descriptor to which the line is written then.
      held: whether the exception waits for the end of `held`.
      received: the exception of the first signal since `raised` was entered.
      silent: without the line, which the parent process prints.
      unraisable: takes what nothing can catch, as `sys.unraisablehook`.
    """

    at_once = True
    stderr = 2
    held = False
    received: Interrupted | None = None
    silent = False
    unraisable: Callable[["sys.UnraisableHookArgs"], Any] = sys.__unraisablehook__


def handle(*, silent: bool = False) -> None:
    """Lets a signal end this process at once, with one line; ignored signals stay ignored.

    The handlers hold from now on. Until `raised` is entered, the program has nothing to clean up.

    Args:
      silent: whether the process leaves the line to its parent from now on.
    """
    _Ending.silent = _Ending.silent or silent
    if sys.unraisablehook is not _without_races:
        _Ending.unraisable, sys.unraisablehook = sys.unraisablehook, _without_races
    for number in STOPPING:
        if signal.getsignal(number) not in (signal.SIG_IGN, _end):
            signal.signal(number, _end)


@contextlib.contextmanager
def raised() -> Iterator[None]:
    """Lets the first signal within the context raise `Interrupted` in the main thread.

    What is raised after a signal is replaced by `Interrupted`: C++ code that calls Python may turn
    the exception into another one.
    """
    _Ending.at_once = False
    try:
        yield
    except BaseException:
        if _Ending.received:
            raise _Ending.received from None
        raise
    finally:
        _Ending.at_once, _Ending.received = True, None


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Lets the first signal within the context raise `Interrupted` at its end.

    For graph building: TensorFlow's C++ code calls Python, where an exception from a signal handler
    may get lost. A second signal ends the process. Without `raised` nothing changes, nor in threads
    besides the main one, which alone runs handlers.
    """
    import threading  # takes longer to load than all else of this module

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former, _Ending.held = _Ending.held, True
    try:
        yield
    finally:
        _Ending.held = former
    if _Ending.received and not former:
        raise _Ending.received


@contextlib.contextmanager
def at_once(stderr: int = 2) -> Iterator[None]:
    """Lets a signal end this process at once again, as during imports.

    A library may swallow an exception that is raised while it is imported, or print it.

    Args:
      stderr: the file descriptor of stderr, where 2 is another file within the context.
    """
    former = _Ending.at_once, _Ending.stderr
    _Ending.at_once, _Ending.stderr = True, stderr
    try:
        yield
    finally:
        _Ending.at_once, _Ending.stderr = former


def wait_for(futures: "Sequence[concurrent.futures.Future[Any]]") -> None:
    """Waits until all futures are done; handlers of signals run meanwhile."""
    import concurrent.futures

    while concurrent.futures.wait(futures, LONGEST_WAIT).not_done:
        pass


def ending_of(interrupt: KeyboardInterrupt) -> tuple[str, int]:
    """The line and the exit code with which an interrupt ends the program."""
    number = interrupt.number if isinstance(interrupt, Interrupted) else signal.SIGINT
    line = "interrupted" if number == signal.SIGINT else f"stopped by {number.name}"
    return line, 128 + number


def report_ending(interrupt: KeyboardInterrupt) -> int:
    """Prints the line with which an interrupt ends the program; returns the exit code."""
    line, code = ending_of(interrupt)
    if not _Ending.silent:
        print(line, file=sys.stderr)
    return code


def _end(number: int, frame: types.FrameType | None) -> None:
    interrupt = Interrupted(signal.Signals(number))
    if _Ending.at_once:
        line, code = ending_of(interrupt)
        with contextlib.suppress(OSError):
            if not _Ending.silent:
                os.write(_Ending.stderr, f"{line}\n".encode())
        os._exit(code)
    # The next signal of this kind ends the process even where the first one's exception does not.
    # One of another kind may come with the first, as where a terminal goes; a third ends it.
    is_first = _Ending.received is None
    for each in STOPPING:
        if (each == number or not is_first) and signal.getsignal(each) == _end:
            signal.signal(each, signal.SIG_DFL)
    if not is_first:
        return
    _Ending.received = interrupt
    if not _Ending.held:
        raise interrupt


def _without_races(unraisable: "sys.UnraisableHookArgs") -> None:
    """Leaves out what Python says of a signal that has come before its handler was changed."""
    error = unraisable.exc_value
    if not (isinstance(error, OSError) and "ignored due to race condition" in str(error)):
        _Ending.unraisable(unraisable)


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
        """Installs the handler; under nohup, which has SIGHUP ignored, SIGHUP stays ignored.

        Raises:
          Interrupted: a signal came before, whose exception got lost.
        """
        if _Ending.received:
            raise _Ending.received
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
