"""Locks by which only one program at a time works in a folder or on a file."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from p2p_graph.utils.errors import UserError

if sys.platform != "win32":
    import fcntl


@contextlib.contextmanager
def held(path: Path, *, wait: bool = False) -> Iterator[None]:
    """Holds an exclusive lock on a folder or a file while the context is entered.

    The operating system releases the lock when the program ends, killed programs included.
    Windows and some network file systems have no such locks: there, every program enters.

    Args:
      path: an existing folder, or a file. A missing file is created.
      wait: whether to wait for the lock instead of raising an error.

    Raises:
      UserError: another program holds the lock.
      OSError: the folder does not exist.
    """
    if sys.platform == "win32":
        yield
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT)
    try:
        with contextlib.suppress(OSError):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                folder = path if path.is_dir() else path.parent
                raise UserError(
                    f"another program is at work in {folder}: wait for it, or stop it"
                ) from None
        yield
    finally:
        os.close(handle)
