"""The error that a person can mend, and helpers that put errors into one line."""

import errno
import math
import os
import re
from collections.abc import Sequence
from pathlib import Path

# Lines before and after the reason in TensorFlow's messages, which help nobody who runs a tool.
_HEADINGS = ("Graph execution error", "Detected at node", "Original stack trace", "Node: ", " ")
_LISTED = 20  # lines
_TRANSFORMATION = re.compile(r"Error in user-defined function passed to .* iterator: \S+: ")
# Line breaks and other control characters.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# A full disk, and a quota that is used up, which Windows does not have.
_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))


class UserError(ValueError):
    """An error that the person who runs a tool can mend.

    The message is one line that says what is wrong, where, and what to do; a list of images may
    follow. The tools print it to stderr without a traceback and exit with code 2. Names of files in
    it may hold line breaks, which are escaped.
    """

    def __init__(self, message: str, *listed: str) -> None:
        """Takes the message, and lines that are listed below it, such as one for each image."""
        super().__init__(message, *listed)

    def __str__(self) -> str:
        """The message, and a shortened list of the lines below it."""
        message, *listed = self.args
        return "\n".join([escaped(message), *([shortened_list(listed)] if listed else [])])


def escaped(text: str) -> str:
    """Escapes line breaks and other control characters, which names of files may hold."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def shortened_list(lines: Sequence[str]) -> str:
    """Joins the first 20 lines, indented by two spaces, and says how many more there are."""
    more = len(lines) - _LISTED
    shown = "\n".join(f"  {escaped(line)}" for line in lines[:_LISTED])
    return shown + (f"\n  ... and {more} more" if more > 0 else "")


def check_bounds(name: str, value: float, least: float, most: float) -> None:
    """Checks an option's number.

    Raises:
      UserError: the number is below `least` or above `most`, or no number.
    """
    if not value >= least:
        raise UserError(f"{name} must be at least {least}, not {value}")
    if value > most:
        raise UserError(f"{name} must be at most {most}, not {value}")


def printable(name: str) -> str:
    """A name from a file for a message: in quotes if it would not fit in a line as it is."""
    return name if name.isprintable() else repr(name)


def why_no_folder(path: Path) -> str:
    """Says why a path is not a folder; the text continues the path's name."""
    if path.exists():
        return "is not a folder"
    return "is a link that leads nowhere" if path.is_symlink() else "does not exist"


def one_line_reason(error: BaseException) -> str:
    """Extracts the reason from an error's message: one line, without TensorFlow's additions."""
    try:
        lines = str(getattr(error, "message", None) or error).splitlines()
    except Exception:  # an error of another program, which has no text
        lines = []
    reasons = [line for line in lines if line.strip() and not line.startswith(_HEADINGS)]
    return _TRANSFORMATION.sub("", reasons[0].strip()) if reasons else type(error).__name__


def why_not_written(error: Exception, size: int | None = None) -> str:
    """Says why a file cannot be written and, if the disk is full, what to do.

    Args:
      error: of the operating system, or TensorFlow's.
      size: the bytes that are to be written, if they are known.
    """
    reason = getattr(error, "strerror", None) or one_line_reason(error)
    number = getattr(error, "errno", None)
    for full in _FULL:
        if number == full or (number is None and reason.endswith(os.strerror(full))):
            room = f"{math.ceil(size / 1e6)} MB there" if size else "some space on that disk"
            return f"{os.strerror(full)}: free {room}, then run the same command again"
    return str(reason)
