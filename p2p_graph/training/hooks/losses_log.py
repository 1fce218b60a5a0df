"""losses.jsonl: the losses of every step, and validation metrics of the steps that have them.

`StepLog` is the form of the file: a line of JSON for a step, in the order of the steps.
"""

import contextlib
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, TextIO

import tensorflow.compat.v1 as tf

from p2p_graph.training.hooks.step_hook import StepHook
from p2p_graph.training.session_calls import Schedule, SessionCall
from p2p_graph.training.updates import Losses
from p2p_graph.utils.atomic_write import atomic_write
from p2p_graph.utils.errors import UserError, why_not_written
from p2p_graph.utils.json_values import is_number, without_non_finite
from p2p_graph.utils.outside_files import damage_reported, read_bytes

LOSSES_FILE = "losses.jsonl"
_LARGEST = 2**34  # bytes


class FigureSource(Protocol):
    """Measures more figures of some steps."""

    def begin_at(self, step: int) -> None:
        """Called once, before the first step, with the step up to which the run's files stay."""

    def measure(self, step: int, session: tf.Session) -> Mapping[str, float]:
        """Figures of a step by name; empty for steps without any."""


class StepLog:
    """A file with a line of JSON for each step; a resumed run goes on after its checkpoint's."""

    def __init__(self, path: Path) -> None:
        """Reads what an earlier run has written; `begin_at` writes what stays of it.

        Raises:
          UserError: the file cannot be read.
        """
        self._path = path
        self._file: TextIO | None = None
        # Here, before the run's folder is changed.
        self._before = _read(path) if path.exists() else ""

    def begin_at(self, step: int) -> list[str]:
        """Drops lines of steps after the checkpoint, and a line that was cut off.

        Returns:
          The lines that remain.

        Raises:
          UserError: the file cannot be written.
        """
        remaining = []
        for line in self._before.splitlines():
            found = re.match(r'\{"step": (\d+),', line)
            if found and line.endswith("}") and int(found[1]) <= step:
                remaining.append(line)
        self._before = ""
        # Atomically: training may be killed here, too.
        with self._reported(), atomic_write(self._path) as temporary:
            temporary.write_text("".join(f"{line}\n" for line in remaining), encoding="utf-8")
        return remaining

    def write(self, record: Mapping[str, float | None]) -> None:
        """Adds a line, whose first value is the step; floats keep all of float32's digits.

        Raises:
          UserError: the file cannot be written.
        """
        with self._reported():
            if self._file is None:
                self._file = self._path.open("a", encoding="utf-8")
            self._file.write(json.dumps(record) + "\n")

    def flush(self) -> None:
        """Makes sure that all lines so far are in the file; errors as `write`.

        The file is closed, and opened again by the next `write`: some file systems report only then
        that a disk is full.
        """
        if self._file:
            file, self._file = self._file, None
            with self._reported():
                file.close()

    def close(self) -> None:
        """Closes the file; an error has been reported by then."""
        with contextlib.suppress(UserError):
            self.flush()

    @contextlib.contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UserError(f"{self._path} cannot be written: {why_not_written(error)}") from None


def records_of(lines: Iterable[str]) -> Iterator[Mapping[str, Any]]:
    """The records in the lines of a `StepLog`, without lines that are damaged."""
    for line in lines:
        with contextlib.suppress(ValueError, RecursionError):
            record = json.loads(line)
            if is_number(record["step"]):
                yield record


class LogLosses(StepHook):
    """Appends a line for every step; a resumed run goes on after its checkpoint's step."""

    def __init__(
        self,
        call: SessionCall,
        folder: Path,
        steps_per_epoch: int,
        schedule: Schedule,
        source: FigureSource | None = None,
        listener: Callable[[Mapping[str, Any]], None] | None = None,
        *,
        is_new: bool = False,
    ) -> None:
        """Prepares the log.

        Args:
          call: whose losses are logged.
          folder: of the run.
          steps_per_epoch: for the epoch of each line.
          schedule: which steps each `Session.run` call does.
          source: asked after each call for more figures of its last step.
          listener: called with the record of each step, of those before a checkpoint, too.
          is_new: whether the files in the folder are of another run.
        """
        super().__init__(1, schedule, is_new=is_new)
        self._losses = call.losses
        self._source, self._listener = source, listener
        self._log = StepLog(folder / LOSSES_FILE)
        self._steps_per_epoch = steps_per_epoch

    def begin_at(self, step: int) -> None:
        """Drops lines of steps after the checkpoint, and a line that was cut off."""
        kept = self.kept_until(step)
        if self._source:
            self._source.begin_at(kept)
        lines = self._log.begin_at(kept)
        if self._listener:
            for record in records_of(lines):
                self._listener(record)

    def request(self) -> tf.train.SessionRunArgs:
        """The losses of all steps of the call."""
        return tf.train.SessionRunArgs(self._losses)

    def report(self, step: int, values: Any, session: tf.Session) -> None:
        """Writes a line for each step."""
        figures = self._source.measure(step, session) if self._source else {}
        rows = values.results
        for number, row in enumerate(rows, step - len(rows) + 1):
            epoch = math.ceil(number / self._steps_per_epoch)
            record: dict[str, float | None] = {"step": number, "epoch": epoch}
            record |= {name: float(loss) for name, loss in zip(Losses._fields, row, strict=True)}
            if number == step:
                record |= without_non_finite(figures)
            self._log.write(record)
            if self._listener:
                self._listener(record)

    def flush(self) -> None:
        """Makes sure that all lines so far are on disk.

        Raises:
          UserError: the file cannot be written.
        """
        self._log.flush()

    def end(self, session: tf.Session) -> None:
        """Flushes where training ends without an error; a run may save no checkpoint."""
        self.flush()

    def close(self) -> None:
        """Closes the file; an error has been reported by then."""
        self._log.close()


def _read(path: Path) -> str:
    """Reads the log of an earlier run; bytes that are no text spoil their line only."""
    with damage_reported(path):
        return read_bytes(path, _LARGEST).decode("utf-8-sig", errors="replace")
