"""Hides what C libraries write to stderr: messages that name no file and help nobody."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def hidden_stderr() -> Iterator[None]:
    """Discards what is written to file descriptor 2 within the context, but not by Python."""
    if sys.stderr is None:  # closed; another file may have its descriptor
        yield
        return
    visible = os.dup(2)
    with contextlib.ExitStack() as cleanup:
        stream = cleanup.enter_context(os.fdopen(visible, "w", 1, errors="backslashreplace"))
        if _descriptor(sys.stderr) == 2:
            sys.stderr.flush()
            cleanup.enter_context(contextlib.redirect_stderr(stream))
        with Path(os.devnull).open("wb") as nothing:
            os.dup2(nothing.fileno(), 2)
        cleanup.callback(os.dup2, visible, 2)
        yield


def _descriptor(stream: object) -> int | None:
    """The file descriptor that a stream writes to, if there is one."""
    try:
        return stream.fileno()  # type: ignore[attr-defined, no-any-return]
    except (AttributeError, OSError, ValueError):
        return None
