"""One program at a time: in a folder, or at a file."""

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
    """Keeps out other programs that ask for a folder or a file, which is made if it is not there.

    The system lets go when this program ends, however that is.

    Windows, and some file systems of networks, have no such locks: nothing is kept out there.

    Args:
      path: the folder, which must be there, or the file.
      wait: whether to wait until others let go, instead of an error.

    Raises:
      UserError: another program holds it.
      OSError: there is no such folder.
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
