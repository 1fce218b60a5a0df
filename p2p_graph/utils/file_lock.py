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
def held(path: Path, *, wait: bool = False, shared: bool = False) -> Iterator[None]:
    """Holds a lock on a folder or a file while the context is entered.

    The operating system releases the lock when the program ends, killed programs included.
    Windows and some network file systems have no such locks: there, every program enters.

    Args:
      path: an existing folder, or a file. A missing file is created.
      wait: whether to wait for the lock instead of raising an error.
      shared: whether others may hold the lock, too, if theirs is shared.

    Raises:
      UserError: another program holds the lock.
      OSError: the folder does not exist.
    """
    if sys.platform == "win32":
        yield
        return
    handle = _lock(path, wait=wait, shared=shared)
    while not _is_at(handle, path):  # a file that was removed while this program waited
        os.close(handle)
        handle = _lock(path, wait=wait, shared=shared)
    try:
        yield
    finally:
        os.close(handle)


def _lock(path: Path, *, wait: bool, shared: bool) -> int:
    """Opens a folder or a file, and takes its lock."""
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT)
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        with contextlib.suppress(OSError):
            try:
                fcntl.flock(handle, kind | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                folder = path if path.is_dir() else path.parent
                raise UserError(
                    f"another program is at work in {folder}: wait for it, or stop it"
                ) from None
    except BaseException:
        os.close(handle)
        raise
    return handle


def _is_at(handle: int, path: Path) -> bool:
    """Whether an open file is still the one that a path names."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False
