"""Standard streams that cannot be written: their output is dropped, and the program goes on.

Work of hours must not end because nobody reads what it prints: the pipe to `head` is closed, a
terminal has gone, a disk with the log is full, or a stream was closed when the program started.
"""

import contextlib
import errno
import io
import os
import select
import sys
from pathlib import Path
from typing import Any, cast

# Nobody is there to read: the pipe's reader or the terminal has gone, or none was ever there.
_NO_READER = (errno.EPIPE, errno.EIO, errno.EBADF)
_STDERR = 2


def make_safe() -> None:
    """Makes stdout and stderr of this process streams on which no write fails.

    Streams that something else has put in their place, such as a test's, only escape characters
    that they cannot encode: file names may contain bytes that are not UTF-8.
    """
    _open_closed_handles()
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # it was closed when Python started
            nowhere = cast(Any, io.FileIO(os.devnull, "w"))
            setattr(sys, name, io.TextIOWrapper(nowhere, "utf-8", "backslashreplace"))
        elif isinstance(stream, io.TextIOWrapper):
            if stream is getattr(sys, f"__{name}__"):
                setattr(sys, name, _safe(stream))
            else:
                stream.reconfigure(errors="backslashreplace")


def _open_closed_handles() -> None:
    """Opens stdin, stdout and stderr as the null device where they are closed.

    Otherwise the next files would get their numbers, and a checkpoint or an event file would
    receive what TensorFlow or a child process writes to stderr.
    """
    for handle in range(3):
        try:
            os.fstat(handle)
        except OSError:
            # Opening takes the lowest free number, which is this one. Child processes need it, too.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def _safe(stream: io.TextIOWrapper) -> io.TextIOWrapper:
    """A stream like this one that drops what cannot be written."""
    with contextlib.suppress(OSError):
        stream.flush()
    raw = getattr(stream.buffer, "raw", stream.buffer)  # python -u: there is no buffer
    safe = cast(Any, _SafeFile(raw))
    return io.TextIOWrapper(
        safe if raw is stream.buffer else io.BufferedWriter(safe),
        stream.encoding,
        "backslashreplace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


class _SafeFile(io.RawIOBase):
    """The file of a standard stream, which becomes the null device once a write fails."""

    def __init__(self, file: Any) -> None:
        """Takes the unbuffered file of stdout or stderr."""
        self._file = file
        self.name = file.name

    def fileno(self) -> int:
        """The file's number."""
        return int(self._file.fileno())

    def isatty(self) -> bool:
        """Whether the file is a terminal."""
        return bool(self._file.isatty())

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: Any) -> int:
        """Writes all of the data, or drops it."""
        left = memoryview(data).cast("B")
        size = len(left)
        while left:
            try:
                count = self._file.write(left)
            except OSError as error:
                self._drop(error)
                break
            if count is None:  # another program has made the pipe non-blocking, and it is full
                select.select([], [self], [])
            left = left[count or 0 :]
        return size

    def _drop(self, error: OSError) -> None:
        """Puts the null device in the file's place: TensorFlow and child processes write there."""
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self.fileno())
        os.close(null)
        if error.errno not in _NO_READER and self.fileno() != _STDERR:
            program = Path(sys.argv[0]).name
            print(f"{program}: output is lost from here on: {error.strerror}", file=sys.stderr)
