"""Child programs that run at the same time, started by threads; signals end all of them."""

import contextlib
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO

from p2p_graph.utils import child_process, signals


class Children:
    """Child programs that run at the same time."""

    def __init__(self) -> None:
        """Makes a record of children, none of which has started."""
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._stop = signals.StopSignals(self._pass_on)

    @property
    def stopped_by(self) -> signal.Signals | None:
        """The last signal that came while signals were passed on."""
        return self._stop.received

    @contextlib.contextmanager
    def signals_passed_on(self) -> Iterator[None]:
        """Passes the signals that stop this program on to all children; for the main thread.

        After a signal no child is started any more.
        """
        self._stop.take()
        try:
            yield
        finally:
            self._stop.give_back()

    def run(
        self,
        command: Sequence[str],
        output: IO[bytes],
        on_wait: Callable[[], None],
        env: Mapping[str, str],
    ) -> int:
        """Runs a child program to its end; any thread may call it.

        A program of this package ends with this one, even if this one is killed: the thread that
        calls this function waits here, and a child is told of that thread's end.

        Args:
          command: the program and its arguments.
          output: a file for its stdout and stderr.
          on_wait: called a few times a second while the program runs, and once at its end.
          env: its environment variables.

        Returns:
          Its exit code; 128 + the signal's number if a signal ended it, or has stopped this one.
        """
        if self.stopped_by:
            return 128 + self.stopped_by
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=child_process.knowing_parent(env),
        ) as child:
            with self._lock:
                self._running.add(child)
            if self.stopped_by:  # the signal came before the child was in the record
                child.send_signal(self.stopped_by)
            try:
                code = child_process.wait_for(child, on_wait)
            except BaseException:
                child.terminate()
                raise
            finally:
                with self._lock:
                    self._running.discard(child)
        if self.stopped_by:
            return 128 + self.stopped_by
        return 128 - code if code < 0 else code

    def _pass_on(self, number: signal.Signals) -> None:
        child_process.pass_signal_on(number, self._send)

    def _send(self, number: signal.Signals) -> None:
        with self._lock:
            for child in self._running:
                child.send_signal(number)
