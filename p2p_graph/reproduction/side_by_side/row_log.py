"""The log of a row's programs: they write it, and it is read meanwhile."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from p2p_graph.utils.errors import UserError, escaped

LOG_FILE = "row.log"  # in a run's folder
_QUOTED_LINES = 10
_QUOTED_BYTES = 2**14  # read at most for them


class RowLog:
    """A log to which programs append.

    Attributes:
      path: the file.
      output: the file as it is given to programs.
    """

    def __init__(self, path: Path, output: IO[bytes], reading: IO[bytes]) -> None:
        """Takes the open file, for appending and for reading. `opened` makes a log."""
        self.path = path
        self.output = output
        self._reading = reading
        self._start = self._read = reading.seek(0, os.SEEK_END)
        self._rest = b""

    def begin(self, title: str) -> None:
        """Writes a line above what the next program writes."""
        self.output.write(f"== {title}\n".encode(errors="backslashreplace"))
        self.output.flush()
        self._start = self._read = self._reading.seek(0, os.SEEK_END)
        self._rest = b""

    def new_lines(self) -> list[str]:
        """The lines that the program has completed since the last call."""
        self._reading.seek(self._read)
        found = self._rest + self._reading.read()
        self._read = self._reading.tell()
        *lines, self._rest = found.split(b"\n")
        return list(map(_text, lines))

    def last_lines(self) -> Sequence[str]:
        """The last lines of the program, at most ten."""
        end = self._reading.seek(0, os.SEEK_END)
        self._reading.seek(max(self._start, end - _QUOTED_BYTES))
        lines = self._reading.read().splitlines()[-_QUOTED_LINES:]
        return [_text(line) for line in lines if line.strip()]


@contextlib.contextmanager
def opened(path: Path) -> Iterator[RowLog]:
    """Opens a log, whose former contents stay.

    Raises:
      UserError: something else than a file has its name.
      OSError: it cannot be written.
    """
    if os.path.lexists(path) and not path.is_file():
        raise UserError(f"{path} is in the way: it is not a file: remove it")
    with path.open("ab") as output, path.open("rb") as reading:
        yield RowLog(path, output, reading)


def _text(line: bytes) -> str:
    return escaped(line.decode(errors="replace"))
