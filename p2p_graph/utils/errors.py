"""The error that a person can mend, and helpers that put errors into one line."""

import re
from collections.abc import Sequence
from pathlib import Path

# Lines before and after the reason in TensorFlow's messages, which help nobody who runs a tool.
_HEADINGS = ("Graph execution error", "Detected at node", "Original stack trace", "Node: ", " ")
_LISTED = 20  # lines
_TRANSFORMATION = re.compile(r"Error in user-defined function passed to .* iterator: \S+: ")


class UserError(ValueError):
    """An error that the person who runs a tool can mend.

    The message is one line that says what is wrong, where, and what to do. The tools print it to
    stderr without a traceback and exit with code 2.
    """


def shortened_list(lines: Sequence[str]) -> str:
    """Joins the first 20 lines, indented by two spaces, and says how many more there are."""
    more = len(lines) - _LISTED
    shown = "\n".join(f"  {line}" for line in lines[:_LISTED])
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
    return "is not a folder" if path.exists() else "does not exist"


def one_line_reason(error: BaseException) -> str:
    """Extracts the reason from an error's message: one line, without TensorFlow's additions."""
    try:
        lines = str(getattr(error, "message", None) or error).splitlines()
    except Exception:  # an error of another program, which has no text
        lines = []
    reasons = [line for line in lines if line.strip() and not line.startswith(_HEADINGS)]
    return _TRANSFORMATION.sub("", reasons[0].strip()) if reasons else type(error).__name__
