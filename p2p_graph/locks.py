"""One program at a time in a folder."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from p2p_graph.errors import UserError

if sys.platform != "win32":
    import fcntl


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keeps other programs that ask out of a folder; the system lets go when this one ends.

    Windows, and some file systems of networks, have no such locks: nothing is kept out there.

    Raises:
      UserError: another program holds it.
      OSError: there is no such folder.
    """
    if sys.platform == "win32":
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(
                    f"another program is training in {folder}: wait for it, or stop it"
                ) from None
        yield
    finally:
        os.close(handle)
